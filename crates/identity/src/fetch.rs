//! Fetching the keys of an issuer: bounded in time and bytes, and inside TLS.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::is_this_machine;
use model::limit::PROVIDER_ANSWER_BYTES_MAX;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

use crate::jwt::clipped;
use crate::keys::Keys;
use crate::plan::{IssuerPlan, KeysFrom};

/// Time for one request, from looking up the name to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many keys an issuer has now; asks it, and waits for the answer.
///
/// # Errors
/// They cannot be had, and why; for the operator.
pub fn count_keys(plan: &IssuerPlan) -> Result<usize, String> {
    Ok(Fetcher::new(plan.ca.as_deref())?.keys(plan)?.len())
}

/// Whose certificates are believed: the system's, and those in `ca` (PEM).
///
/// # Errors
/// There is none in `ca`.
pub fn tls_config(ca: Option<&[u8]>) -> Result<TlsConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut found = rustls_native_certs::load_native_certs().certs;
    if let Some(pem) = ca {
        let more: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let more = more.ok().filter(|more| !more.is_empty());
        found.extend(more.ok_or("the file of certificates to trust holds none in PEM")?);
    }
    let roots: Vec<Certificate<'static>> =
        found.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

/// Fetches for one issuer.
pub(crate) struct Fetcher {
    agent: ureq::Agent,
}

impl Fetcher {
    /// Prepares to ask; the error is the operator's to mend.
    pub fn new(ca: Option<&[u8]>) -> Result<Self, String> {
        let tls = tls_config(ca)?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent("narrows")
            .tls_config(tls)
            .timeout_global(Some(TIMEOUT));
        Ok(Self { agent: config.build().into() })
    }

    /// The keys of the issuer, as they are now.
    pub fn keys(&self, plan: &IssuerPlan) -> Result<Keys, String> {
        let (text, place) = match &plan.keys {
            KeysFrom::File(path) => (read(path)?, path.display().to_string()),
            KeysFrom::Url(url) => (self.get(url)?, url.to_string()),
            KeysFrom::Discovery => {
                let url = self.discovered(plan)?;
                (self.get(&url)?, url.to_string())
            }
        };
        Keys::read(&text, plan.is_trust_domain()).map_err(|error| format!("{place}: {error}"))
    }

    /// Where the metadata of the issuer says that its keys are.
    fn discovered(&self, plan: &IssuerPlan) -> Result<Url, String> {
        let (metadata, openid) = self.metadata(plan)?;
        let keys = metadata
            .get("jwks_uri")
            .and_then(Value::as_str)
            .ok_or_else(|| format!("{openid}: there is no text \"jwks_uri\""))?;
        Url::parse(keys).map_err(|error| format!("{openid}: jwks_uri: {error}"))
    }

    /// What the issuer says of itself, and where it says so.
    pub fn metadata(&self, plan: &IssuerPlan) -> Result<(Value, Url), String> {
        let [openid, oauth] = metadata_of(&plan.issuer)?;
        let found = match self.get(&openid) {
            Ok(found) => found,
            Err(why) => self.get(&oauth).map_err(|_| why)?,
        };
        let metadata: Value = serde_json::from_slice(&found)
            .map_err(|error| format!("{openid}: no JSON: {error}"))?;
        // Discovery section 4.3: whoever could name another issuer here could speak for it.
        match metadata.get("issuer").and_then(Value::as_str) {
            Some(issuer) if issuer == plan.issuer => {}
            Some(other) => {
                return Err(format!(
                    "{openid}: it is the metadata of {:?}; write the issuer exactly so",
                    clipped(other)
                ));
            }
            None => return Err(format!("{openid}: there is no text \"issuer\"")),
        }
        Ok((metadata, openid))
    }

    fn get(&self, url: &Url) -> Result<Vec<u8>, String> {
        match self.ask(url, None, None)? {
            (200, text) => Ok(text),
            (status, _) => Err(format!("{url}: it answered {status}")),
        }
    }

    /// Asks an endpoint of a provider, with a form if there is one; the status and the answer.
    pub fn ask(
        &self,
        url: &Url,
        authorization: Option<&str>,
        form: Option<&str>,
    ) -> Result<(u16, Vec<u8>), String> {
        const FORM: &str = "application/x-www-form-urlencoded";
        safe(url)?;
        let mut request = ureq::http::Request::builder().uri(url.as_str());
        request = request.header("accept", "application/json");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        // What went wrong names the place only: neither the form nor its credentials.
        let response = match form {
            None => request.body(()).map(|request| self.agent.run(request)),
            Some(form) => request
                .method("POST")
                .header("content-type", FORM)
                .body(form.to_owned())
                .map(|request| self.agent.run(request)),
        };
        let mut response = response
            .map_err(|_| format!("{url}: the request cannot be made"))?
            .map_err(|error| format!("{url}: {error}"))?;
        let status = response.status().as_u16();
        let mut text = Vec::new();
        let mut reader = response.body_mut().as_reader().take(PROVIDER_ANSWER_BYTES_MAX + 1);
        reader.read_to_end(&mut text).map_err(|error| format!("{url}: {error}"))?;
        if text.len() as u64 > PROVIDER_ANSWER_BYTES_MAX {
            return Err(format!("{url}: its answer is longer than {PROVIDER_ANSWER_BYTES_MAX} B"));
        }
        Ok((status, text))
    }
}

/// Keys that somebody on the way can change prove nothing.
pub(crate) fn safe(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if url.host_str().is_some_and(is_this_machine) => Ok(()),
        _ => Err(format!("{url}: keys are fetched by https:// only (http:// from this machine)")),
    }
}

/// Where the metadata of an issuer is: by OpenID Connect Discovery section 4.1, then by RFC 8414
/// section 3.1, which put the path of the issuer on different sides.
fn metadata_of(issuer: &str) -> Result<[Url; 2], String> {
    let wrong = |error| format!("{issuer}: no address: {error}");
    let base = Url::parse(issuer).map_err(wrong)?;
    let path = base.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = base.clone();
        url.set_path(&path);
        url
    };
    Ok([
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ])
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let place = path.display();
    let file = std::fs::File::open(path).map_err(|error| format!("{place}: {error}"))?;
    let mut text = Vec::new();
    file.take(PROVIDER_ANSWER_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(|error| format!("{place}: {error}"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_beside_the_issuer_or_before_its_path() {
        let [openid, oauth] = metadata_of("https://idp.example/realms/acme/").unwrap();
        let realm = "https://idp.example/realms/acme/.well-known/openid-configuration";
        assert_eq!(openid.as_str(), realm);
        let server = "https://idp.example/.well-known/oauth-authorization-server/realms/acme";
        assert_eq!(oauth.as_str(), server);
        let [openid, _] = metadata_of("https://idp.example").unwrap();
        assert_eq!(openid.as_str(), "https://idp.example/.well-known/openid-configuration");
    }

    #[test]
    fn keys_travel_inside_tls() {
        for (url, fine) in [
            ("https://idp.example/keys", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://localhost/keys", true),
            ("http://idp.example/keys", false),
            ("file:///etc/keys", false),
        ] {
            assert_eq!(safe(&Url::parse(url).unwrap()).is_ok(), fine, "{url}");
        }
    }
}
