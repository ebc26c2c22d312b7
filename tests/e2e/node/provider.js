// A certified OpenID provider (oidc-provider) on loopback, set up as an organisation would: agents
// get JWT access tokens with their client credentials.
//
//   node provider.js PORT-FILE KEYS-FILE
//
// PORT-FILE says which port to take, and is written when it is missing; PORT-FILE.ready is written
// once it serves. KEYS-FILE holds the private keys (JWK) that it signs with, and is made when it is
// missing.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");

const { default: Provider } = require("oidc-provider");

const [portFile, keysFile] = process.argv.slice(2);
const AUDIENCES = { "urn:narrows": "narrows", "urn:other": "other" };
/** Of this client's tokens, seconds; all others are good for five minutes. */
const BRIEF = 4;

function key(kind, options, alg) {
  const { privateKey } = crypto.generateKeyPairSync(kind, options);
  const kid = crypto.randomBytes(6).toString("hex");
  return { ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg };
}

function keys() {
  if (!fs.existsSync(keysFile)) {
    const made = [
      key("rsa", { modulusLength: 2048 }, "RS256"),
      key("ec", { namedCurve: "P-256" }, "ES256"),
    ];
    fs.writeFileSync(keysFile, JSON.stringify(made));
  }
  return JSON.parse(fs.readFileSync(keysFile, "utf8"));
}

function client(id) {
  return {
    client_id: id,
    client_secret: `${id}-secret-of-thirty-two-letters`,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  };
}

function serve(port) {
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    jwks: { keys: keys() },
    clients: [client("robot"), client("brief"), client("stranger")],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:narrows",
        getResourceServerInfo: (ctx, resource) => ({
          audience: AUDIENCES[resource],
          scope: "elliptic",
          accessTokenFormat: "jwt",
          accessTokenTTL: ctx.oidc.client.clientId === "brief" ? BRIEF : 300,
          jwt: { sign: { alg: ctx.oidc.params.scope === "elliptic" ? "ES256" : "RS256" } },
        }),
      },
    },
    extraTokenClaims: (_, token) => ({
      groups: token.clientId === "stranger" ? ["strangers"] : ["agents"],
    }),
  });
  http.createServer(provider.callback()).listen(port, "127.0.0.1", () => {
    fs.writeFileSync(`${portFile}.ready`, String(port));
  });
}

if (fs.existsSync(portFile)) {
  serve(Number(fs.readFileSync(portFile, "utf8")));
} else {
  // The port is part of the issuer's name, so it has to be known beforehand.
  const probe = http.createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => {
      fs.writeFileSync(portFile, String(port));
      serve(port);
    });
  });
}
