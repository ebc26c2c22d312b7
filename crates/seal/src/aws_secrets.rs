//! Secrets in AWS Secrets Manager.

use std::fmt;
use std::time::SystemTime;

use model::text::Secret;
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::kms::{AwsCredentials, AwsCredentialsSource, KmsError, region_in};
use crate::remote::{Answer, Body, Purpose, Remote, RemoteOptions};
use crate::sigv4::{Signer, amz_date};

/// How to reach the service.
pub struct AwsSecretsOptions {
    /// `AWS_REGION`.
    pub region: String,
    /// The service's address; `None` for the region's own.
    pub endpoint: Option<String>,
    /// Gives credentials, which need `secretsmanager:GetSecretValue`.
    pub credentials: AwsCredentialsSource,
    /// Time and tries.
    pub remote: RemoteOptions,
}

impl AwsSecretsOptions {
    /// Everything from the environment: `AWS_REGION` or `AWS_DEFAULT_REGION`,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER` or `AWS_ENDPOINT_URL`, and the variables of
    /// [`AwsCredentials`].
    #[must_use]
    pub fn from_environment(remote: RemoteOptions) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let either = |first: &str, second: &str| variable(first).or_else(|| variable(second));
        Self {
            region: either("AWS_REGION", "AWS_DEFAULT_REGION").unwrap_or_default(),
            endpoint: either("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"),
            credentials: Box::new(move || AwsCredentials::from_variables(variable)),
            remote,
        }
    }
}

/// AWS Secrets Manager, of one region ("AWS Secrets Manager API Reference", `GetSecretValue`).
pub struct AwsSecrets {
    region: String,
    credentials: AwsCredentialsSource,
    remote: Remote,
}

impl AwsSecrets {
    /// Prepares to ask; asks for nothing yet.
    ///
    /// # Errors
    ///
    /// [`SealError::Unusable`] (the operator's): no region, or an address without TLS.
    pub fn new(options: AwsSecretsOptions) -> Result<Self, SealError> {
        let AwsSecretsOptions { region, endpoint, credentials, remote } = options;
        let id = "aws secrets manager";
        let domain = region_in(&region).ok_or_else(|| SealError::Unusable {
            key: id.to_owned(),
            why: "AWS_REGION is not set to the name of a region".to_owned(),
        })?;
        let endpoint =
            endpoint.unwrap_or_else(|| format!("https://secretsmanager.{region}.{domain}"));
        let remote = Remote::new(id, &endpoint, remote)?;
        Ok(Self { region, credentials, remote })
    }

    /// The newest text of a secret, by its name or ARN.
    ///
    /// # Errors
    ///
    /// [`SealError::NotThere`] if the service says so; otherwise that it refuses, or cannot be
    /// asked.
    pub fn read(&self, purpose: Purpose<'_>, name: &str) -> Result<Secret<String>, SealError> {
        let target = "secretsmanager.GetSecretValue";
        let body = serde_json::json!({ "SecretId": name }).to_string();
        let body = Body { bytes: body.as_bytes(), secrets: &[] };
        let fields = || {
            let credentials = (self.credentials)()
                .map_err(|why| purpose.refused(format!("there are no credentials: {why}")))?;
            let signer = Signer {
                access_key_id: &credentials.access_key_id,
                secret_access_key: credentials.secret_access_key.expose(),
                region: &self.region,
                service: "secretsmanager",
            };
            let date = amz_date(SystemTime::now());
            let token = credentials.session_token.as_ref();
            Ok(signer.fields(&date, self.remote.host(), target, token, body.bytes))
        };
        let passing = |answer: &Answer| {
            let error = KmsError::of(answer);
            error.may_pass(answer.status).then(|| error.words(answer))
        };
        let answer = self.remote.ask(purpose, "/", fields, body, passing)?;
        if answer.status != 200 {
            let error = KmsError::of(&answer);
            let gone = error.name() == "ResourceNotFoundException";
            let why = error.words(&answer);
            let key_id = purpose.key_id.to_owned();
            return Err(if gone {
                SealError::NotThere { key_id, why }
            } else {
                purpose.refused(why)
            });
        }
        let said: Value<'_> = serde_json::from_slice(&answer.body)
            .map_err(|_| purpose.misanswered("GetSecretValue answers SecretString"))?;
        let text = said.text.ok_or_else(|| {
            purpose.misanswered("the secret is bytes (SecretBinary); a text is wanted")
        })?;
        let text: Zeroizing<String> = Zeroizing::new(
            serde_json::from_str(text.get())
                .map_err(|_| purpose.misanswered("SecretString is not a text"))?,
        );
        Ok(Secret::new(text.as_str().to_owned()))
    }
}

impl fmt::Debug for AwsSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSecrets").field("remote", &self.remote).finish()
    }
}

/// Borrows, so that the secret is only in the answer, which is wiped.
#[derive(Deserialize)]
struct Value<'a> {
    #[serde(rename = "SecretString", borrow)]
    text: Option<&'a RawValue>,
}
