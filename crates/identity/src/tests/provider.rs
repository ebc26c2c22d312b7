//! Keys, tokens, and a provider that serves its keys over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::keys::Keys;
use crate::plan::IssuerPlan;

pub(super) const ISSUER: &str = "https://idp.example";
pub(super) const AUDIENCE: &str = "narrows";
/// 2026-01-01T00:00:00Z.
pub(super) const NOW_S: u64 = 1_767_225_600;

pub(super) fn now() -> Timestamp {
    at(NOW_S)
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000_000)
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key of one of the three families.
pub(super) enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    pub fn rsa() -> Self {
        let size = aws_lc_rs::rsa::KeySize::Rsa2048;
        Self::Rsa(Box::new(RsaKeyPair::generate(size).unwrap()))
    }

    pub fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key, as bytes that anybody can have.
    pub fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.public_key().as_ref().to_vec(),
            Self::Ec(key) => key.public_key().as_ref().to_vec(),
            Self::Ed(key) => key.public_key().as_ref().to_vec(),
        }
    }

    /// The public key as a JWK.
    pub fn jwk(&self, id: &str) -> Value {
        let public = self.public();
        let mut jwk = match self {
            Self::Rsa(key) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                let (n, e) =
                    (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                json!({"kty": "RSA", "n": base64(n), "e": base64(e)})
            }
            Self::Ec(_) => {
                let (x, y) = public[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y)})
            }
            Self::Ed(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64(&public)}),
        };
        jwk["kid"] = json!(id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token with these claims, rightly signed.
    pub fn token(&self, id: &str, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "typ": "at+jwt", "kid": id}), claims)
    }

    /// A token with this header and these claims.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let signature = self.sign(message.as_bytes());
        format!("{message}.{}", base64(signature))
    }
}

/// The claims of a token that is good for five minutes.
pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "robot", "groups": ["agents", "etl"],
        "iat": NOW_S - 10, "exp": NOW_S + 300,
    })
}

/// The claims above, with one of them otherwise; `null` takes it away.
pub(super) fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

pub(super) fn plan() -> IssuerPlan {
    IssuerPlan::new(ISSUER, AUDIENCE)
}

pub(super) fn set(keys: &[Value]) -> Vec<u8> {
    json!({"keys": keys}).to_string().into_bytes()
}

pub(super) fn keys(all: &[Value]) -> Keys {
    Keys::read(&set(all), false).unwrap()
}

/// A whole request, with the form that comes with it.
fn request(stream: &mut TcpStream) -> String {
    let mut whole = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&whole).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part) {
            Ok(read @ 1..) => whole.extend_from_slice(&part[..read]),
            _ => return text,
        }
    }
}

/// Serves its metadata, its keys and tokens, and can be told to fail.
pub(super) struct Provider {
    pub issuer: String,
    pub keys: Arc<Mutex<Vec<Value>>>,
    pub metadata: Arc<Mutex<Value>>,
    pub is_down: Arc<AtomicBool>,
    pub asked: Arc<AtomicUsize>,
    /// What it answers to whoever brings a code, and the last form that did.
    pub tokens: Arc<Mutex<Value>>,
    pub sent: Arc<Mutex<String>>,
    /// What it says of whoever has a token.
    pub userinfo: Arc<Mutex<Value>>,
}

impl Provider {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let metadata = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")});
        let metadata = Arc::new(Mutex::new(metadata));
        let keys = Arc::new(Mutex::new(Vec::new()));
        let (is_down, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (tokens, sent) = (Arc::new(Mutex::new(Value::Null)), Arc::default());
        let userinfo = Arc::new(Mutex::new(Value::Null));
        let provider = Self { issuer, keys, metadata, is_down, asked, tokens, sent, userinfo };
        let userinfo = Arc::clone(&provider.userinfo);
        let (tokens, sent) = (Arc::clone(&provider.tokens), Arc::clone(&provider.sent));
        let (keys, metadata) = (Arc::clone(&provider.keys), Arc::clone(&provider.metadata));
        let (is_down, asked) = (Arc::clone(&provider.is_down), Arc::clone(&provider.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let request = request(&mut stream);
                let (status, body) = if is_down.load(Ordering::SeqCst) {
                    (503, String::new())
                } else if request.starts_with("GET /keys ") {
                    asked.fetch_add(1, Ordering::SeqCst);
                    (200, json!({"keys": *keys.lock()}).to_string())
                } else if request.starts_with("GET /.well-known/openid-configuration ") {
                    (200, metadata.lock().to_string())
                } else if request.starts_with("GET /userinfo ") {
                    (200, userinfo.lock().to_string())
                } else if request.starts_with("POST /token ") {
                    let form = request.split_once("\r\n\r\n").map(|(_, form)| form);
                    *sent.lock() = form.unwrap_or_default().to_owned();
                    (200, tokens.lock().to_string())
                } else {
                    (404, String::new())
                };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
            }
        });
        provider
    }

    pub fn plan(&self) -> IssuerPlan {
        IssuerPlan::new(&self.issuer, AUDIENCE)
    }

    /// The claims of a token of this provider.
    pub fn claims(&self) -> Value {
        but("iss", json!(self.issuer))
    }
}
