//! A key in AWS Key Management Service.

use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::limit::{KEY_ID_BYTES_MAX, WRAPPED_KEY_BYTES_MAX};
use model::text::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::data_key::DataKey;
use crate::encryption::{KeyContext, KeyEncryption, Wrapped};
use crate::error::SealError;
use crate::local::data_key;
use crate::remote::{Answer, Body, Field, Purpose, Remote, RemoteOptions, foreign};
use crate::sigv4::{Signer, amz_date};

const SCHEME: &str = "aws-kms:";

/// What AWS knows the gateway by.
#[derive(Clone, Debug)]
pub struct AwsCredentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Secret<String>,
    /// `AWS_SESSION_TOKEN`, with temporary credentials.
    pub session_token: Option<Secret<String>>,
}

/// Gives credentials. Asked before every request, so temporary ones may be renewed behind it; an
/// error is words for the operator, without the credentials.
pub type AwsCredentialsSource = Box<dyn Fn() -> Result<AwsCredentials, String> + Send + Sync>;

impl AwsCredentials {
    /// Reads credentials from variables of the environment, such as `|name|
    /// std::env::var(name).ok()`. Empty variables count as missing.
    ///
    /// # Errors
    ///
    /// Words that name the missing variable.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let optional = |name: &str| variable(name).filter(|value| !value.is_empty());
        let needed = |name: &str| optional(name).ok_or_else(|| format!("{name} is not set"));
        Ok(Self {
            access_key_id: needed("AWS_ACCESS_KEY_ID")?,
            secret_access_key: Secret::new(needed("AWS_SECRET_ACCESS_KEY")?),
            session_token: optional("AWS_SESSION_TOKEN").map(Secret::new),
        })
    }
}

/// Which key, and how to reach it.
pub struct AwsKmsOptions {
    /// The key: an ARN, a key id, an alias (`alias/NAME`) or the ARN of one. It has to be
    /// symmetric, and the credentials need `kms:Encrypt`, for reading `kms:Decrypt`.
    pub key: String,
    /// `AWS_REGION`. May be empty if the key is an ARN, which names the region itself and wins.
    pub region: String,
    /// The service's address; `None` for the region's own.
    pub endpoint: Option<String>,
    /// Gives credentials.
    pub credentials: AwsCredentialsSource,
    /// Time and tries.
    pub remote: RemoteOptions,
}

impl AwsKmsOptions {
    /// `key`, with everything else from the environment: `AWS_REGION` or `AWS_DEFAULT_REGION`,
    /// `AWS_ENDPOINT_URL_KMS` or `AWS_ENDPOINT_URL`, and the variables of [`AwsCredentials`].
    /// Profiles and roles of machines and containers are not looked up: give credentials of your
    /// own.
    #[must_use]
    pub fn from_environment(key: &str) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let either = |first: &str, second: &str| variable(first).or_else(|| variable(second));
        Self {
            key: key.to_owned(),
            region: either("AWS_REGION", "AWS_DEFAULT_REGION").unwrap_or_default(),
            endpoint: either("AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"),
            credentials: Box::new(move || AwsCredentials::from_variables(variable)),
            remote: RemoteOptions::default(),
        }
    }
}

/// A symmetric key in AWS KMS. Gateway and session are bound as the encryption context
/// `narrows:gateway`, `narrows:session`, so key policies can ask for them and CloudTrail shows
/// them.
///
/// Its id is `aws-kms:` and the key as configured; a wrapped data key names the key's ARN, as KMS
/// answered it. Rotation inside KMS needs nothing here. If an alias moves to another key, the alias
/// still opens what the former key wrapped, as long as KMS allows that key to the credentials.
///
/// Each call is one request, `Encrypt` or `Decrypt`.
pub struct AwsKms {
    id: String,
    key: String,
    region: String,
    credentials: AwsCredentialsSource,
    remote: Remote,
}

impl AwsKms {
    /// Prepares to use a key; asks for nothing yet.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): no key or region, or an address without TLS.
    pub fn new(options: AwsKmsOptions) -> Result<Self, SealError> {
        let AwsKmsOptions { key, region, endpoint, credentials, remote } = options;
        let id = format!("{SCHEME}{key}");
        let unusable = |why: &str| SealError::Unusable { key: id.clone(), why: why.to_owned() };
        let fine = |letter: char| letter.is_ascii_alphanumeric() || ":/_-.".contains(letter);
        if key.is_empty() || id.len() > KEY_ID_BYTES_MAX || !key.chars().all(fine) {
            return Err(unusable("it is no ARN, key id or alias"));
        }
        let region = match region_of(&key) {
            Some(region) => region.to_owned(),
            None if key.starts_with("arn:") => {
                return Err(unusable("it is not the ARN of a KMS key"));
            }
            None => region,
        };
        let domain = region_in(&region).ok_or_else(|| {
            unusable("AWS_REGION is not set, and the key is not an ARN that names it")
        })?;
        let endpoint = endpoint.unwrap_or_else(|| format!("https://kms.{region}.{domain}"));
        let remote = Remote::new(&id, &endpoint, remote)?;
        Ok(Self { id, key, region, credentials, remote })
    }

    /// Asks KMS.
    fn ask(
        &self,
        purpose: Purpose<'_>,
        target: &'static str,
        body: Body<'_>,
    ) -> Result<Answer, SealError> {
        let fields = || self.fields(purpose, target, body.bytes);
        let passing = |answer: &Answer| {
            let error = KmsError::of(answer);
            error.may_pass(answer.status).then(|| error.words(answer))
        };
        let answer = self.remote.ask(purpose, "/", fields, body, passing)?;
        if answer.status == 200 {
            return Ok(answer);
        }
        let error = KmsError::of(&answer);
        match error.name() {
            "InvalidCiphertextException" | "IncorrectKeyException" => Err(purpose.not_unwrapped()),
            _ => Err(purpose.refused(error.words(&answer))),
        }
    }

    fn fields(
        &self,
        purpose: Purpose<'_>,
        target: &'static str,
        body: &[u8],
    ) -> Result<Vec<Field>, SealError> {
        let credentials = (self.credentials)()
            .map_err(|why| purpose.refused(format!("there are no credentials: {why}")))?;
        let date = amz_date(SystemTime::now());
        let signer = Signer {
            access_key_id: &credentials.access_key_id,
            secret_access_key: credentials.secret_access_key.expose(),
            region: &self.region,
            service: "kms",
        };
        let token = credentials.session_token.as_ref();
        Ok(signer.fields(&date, self.remote.host(), target, token, body))
    }
}

impl KeyEncryption for AwsKms {
    fn id(&self) -> &str {
        &self.id
    }

    fn opens(&self, key_id: &str) -> bool {
        let Some(arn) = key_id.strip_prefix(SCHEME) else { return false };
        if arn == self.key {
            return true;
        }
        if region_of(arn) != Some(self.region.as_str()) {
            return false;
        }
        match self.key.rsplit_once(':').map_or(self.key.as_str(), |(_, name)| name) {
            alias if alias.starts_with("alias/") => arn.contains(":key/"),
            // The key of an ARN: only itself, which was compared above.
            named if named.starts_with("key/") => false,
            id => arn.ends_with(&format!(":key/{id}")),
        }
    }

    fn wrap(&self, key: &DataKey, context: &KeyContext<'_>) -> Result<Wrapped, SealError> {
        let purpose = Purpose { key_id: &self.id, verb: "wrap a data key" };
        let plain = Zeroizing::new(STANDARD.encode(key.expose()));
        let body = body(&[("KeyId", &self.key), ("Plaintext", &plain)], context);
        let body = Body { bytes: &body, secrets: &[&plain] };
        let said = self.ask(purpose, "TrentService.Encrypt", body)?;
        let answer: Encrypted = serde_json::from_slice(&said.body)
            .map_err(|_| purpose.misanswered("Encrypt answers KeyId and CiphertextBlob"))?;
        let bytes = STANDARD
            .decode(answer.blob)
            .map_err(|_| purpose.misanswered("CiphertextBlob is not base64"))?;
        let key_id = format!("{SCHEME}{}", answer.key_id);
        if !self.opens(&key_id) {
            let why = format!("it encrypted with {}", said.words(&answer.key_id));
            return Err(purpose.misanswered(why));
        }
        if bytes.is_empty() || bytes.len() > WRAPPED_KEY_BYTES_MAX {
            return Err(purpose.misanswered(format!("a data key of {} bytes", bytes.len())));
        }
        Ok(Wrapped { key_id, bytes })
    }

    fn unwrap(&self, wrapped: &Wrapped, context: &KeyContext<'_>) -> Result<DataKey, SealError> {
        let purpose = Purpose { key_id: &wrapped.key_id, verb: "unwrap a data key" };
        if !self.opens(&wrapped.key_id) {
            return Err(purpose.not_unwrapped());
        }
        let key = wrapped.key_id.strip_prefix(SCHEME).unwrap_or(&self.key);
        let blob = STANDARD.encode(&wrapped.bytes);
        let body = body(&[("KeyId", key), ("CiphertextBlob", &blob)], context);
        let body = Body { bytes: &body, secrets: &[] };
        let said = self.ask(purpose, "TrentService.Decrypt", body)?;
        let answer: Decrypted<'_> = serde_json::from_slice(&said.body)
            .map_err(|_| purpose.misanswered("Decrypt answers KeyId and Plaintext"))?;
        if key.starts_with("arn:") && key.contains(":key/") && answer.key_id != key {
            return Err(purpose.misanswered("it decrypted with another key"));
        }
        let mut plain = Zeroizing::new(
            STANDARD
                .decode(answer.plain.as_bytes())
                .map_err(|_| purpose.misanswered("Plaintext is not base64"))?,
        );
        data_key(&mut plain).ok_or_else(|| purpose.misanswered("Plaintext is not 32 bytes"))?
    }
}

impl fmt::Debug for AwsKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKms").field("id", &self.id).field("remote", &self.remote).finish()
    }
}

#[derive(Deserialize)]
struct Encrypted {
    #[serde(rename = "KeyId")]
    key_id: String,
    #[serde(rename = "CiphertextBlob")]
    blob: String,
}

/// Borrows, so that the key is only in the answer, which is wiped.
#[derive(Deserialize)]
struct Decrypted<'a> {
    #[serde(rename = "KeyId")]
    key_id: String,
    #[serde(rename = "Plaintext", borrow)]
    plain: &'a str,
}

/// The domain in which a region is; `None` if there can be no such region.
pub(crate) fn region_in(region: &str) -> Option<&'static str> {
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let can_be = !region.is_empty() && region.chars().all(plain);
    let china = region.starts_with("cn-");
    can_be.then_some(if china { "amazonaws.com.cn" } else { "amazonaws.com" })
}

#[derive(Default, Deserialize)]
pub(crate) struct KmsError {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl KmsError {
    pub fn of(answer: &Answer) -> Self {
        match answer.status {
            200 => Self::default(),
            _ => serde_json::from_slice(&answer.body)
                .unwrap_or_else(|_| Self { kind: String::new(), message: foreign(answer) }),
        }
    }

    /// The kind without its namespace, `com.amazonaws.kms#`.
    pub fn name(&self) -> &str {
        self.kind.rsplit('#').next().unwrap_or_default()
    }

    /// What "AWS Key Management Service API Reference, Common Errors" says may pass.
    pub fn may_pass(&self, status: u16) -> bool {
        let passing = ["ThrottlingException", "KeyUnavailableException", "RequestTimeout"];
        status == 429 || status >= 500 || passing.contains(&self.name())
    }

    pub fn words(&self, answer: &Answer) -> String {
        answer.words(&format!("{} {} {}", answer.status, self.name(), self.message))
    }
}

/// A request of KMS, with the encryption context. KMS wants no empty values.
fn body(members: &[(&str, &str)], context: &KeyContext<'_>) -> Zeroizing<Vec<u8>> {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut json =
        Zeroizing::new(String::with_capacity(KEY_ID_BYTES_MAX + 2 * WRAPPED_KEY_BYTES_MAX));
    json.push_str("{\"EncryptionContext\":{\"narrows:gateway\":");
    json.push_str(&text(context.gateway));
    if !context.session.is_empty() {
        json.push_str(",\"narrows:session\":");
        json.push_str(&text(context.session));
    }
    json.push('}');
    for (name, value) in members {
        // Keys, ARNs and base64: nothing in them needs escaping.
        json.push_str(",\"");
        json.push_str(name);
        json.push_str("\":\"");
        json.push_str(value);
        json.push('"');
    }
    json.push('}');
    Zeroizing::new(std::mem::take(&mut *json).into_bytes())
}

/// The region that an ARN of KMS names: `arn:aws:kms:REGION:ACCOUNT:key/ID`.
fn region_of(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    let found = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    match found {
        ("arn", _, "kms", region) if parts.count() == 2 && !region.is_empty() => Some(region),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
