// A certified OpenID provider (oidc-provider) on loopback, set up as an organisation would: agents
// get JWT access tokens with their client credentials, and people sign in with a browser.
//
//   node provider.js PORT-FILE KEYS-FILE [PEOPLE-FILE]
//
// PORT-FILE says which port to take, and is written when it is missing; PORT-FILE.ready is written
// once it serves. KEYS-FILE holds the private keys (JWK) that it signs with, and is made when it is
// missing. PEOPLE-FILE says who there is and who the gateway is, read again at every question:
// {"redirects": [address, …], "after": [address, …], "people": {"ann": {"groups": ["dba"]}}}
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");

const { default: Provider } = require("oidc-provider");

const [portFile, keysFile, peopleFile] = process.argv.slice(2);
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

function directory() {
  const file = peopleFile && fs.existsSync(peopleFile) ? fs.readFileSync(peopleFile, "utf8") : "{}";
  return { redirects: [], after: [], people: {}, ...JSON.parse(file) };
}

/** The gateway, as the place where people sign in: one client with a secret, one without. */
function gateways() {
  const { redirects, after } = directory();
  if (redirects.length === 0) return [];
  const common = {
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    redirect_uris: redirects,
    post_logout_redirect_uris: after,
  };
  return [
    { ...common, client_id: "gateway", client_secret: "gateway-secret-of-thirty-two-letters" },
    { ...common, client_id: "public", token_endpoint_auth_method: "none" },
  ];
}

async function findAccount(_, id) {
  const person = directory().people[id];
  if (!person) return undefined;
  return { accountId: id, claims: () => ({ sub: id, ...person }) };
}

/** Signing in and consenting, as plain as it gets. */
async function interact(provider, req, res) {
  const page = (body) => {
    res.setHeader("content-type", "text/html");
    res.end(`<!DOCTYPE html><title>Provider</title><form method="post">${body}</form>`);
  };
  const { prompt, params, grantId, session } = await provider.interactionDetails(req, res);
  if (req.method === "GET") {
    const { name } = prompt;
    return page(name === "login"
      ? '<input id="name" name="name"><button id="login" name="go" value="login">Sign in</button>'
      : '<button id="consent" name="go" value="consent">Agree</button>' +
        '<button id="refuse" name="go" value="refuse">Refuse</button>');
  }
  let body = "";
  for await (const part of req) body += part;
  const said = new URLSearchParams(body);
  if (said.get("go") === "refuse") {
    const result = { error: "access_denied", error_description: "the person said no" };
    return provider.interactionFinished(req, res, result);
  }
  if (said.get("go") === "login") {
    const accountId = said.get("name");
    if (!directory().people[accountId]) return page("nobody is called so");
    const result = { login: { accountId } };
    return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
  }
  const { accountId } = session;
  const known = grantId && (await provider.Grant.find(grantId));
  const grant = known || new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
}

function serve(port) {
  const people = ["gateway", "public"];
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    jwks: { keys: keys() },
    clients: [client("robot"), client("brief"), client("stranger"), ...gateways()],
    claims: { profile: ["name"], groups: ["groups"], openid: ["sub"] },
    scopes: ["openid", "profile", "groups", "offline_access"],
    findAccount,
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    cookies: { keys: ["a test's own"] },
    features: {
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_, { clientId }) => (people.includes(clientId) ? undefined : "urn:narrows"),
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
  const callback = provider.callback();
  http.createServer((req, res) => {
    if (!req.url.startsWith("/interaction/")) return callback(req, res);
    return interact(provider, req, res).catch((error) => {
      res.statusCode = 500;
      res.end(String(error));
    });
  }).listen(port, "127.0.0.1", () => {
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
