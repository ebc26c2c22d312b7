//! Signatures of webhooks, as the Standard Webhooks specification (version 1.0.0) has them.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Secret;

const PREFIX: &str = "whsec_";
/// Shortest secret, bytes, as the specification recommends.
const SECRET_BYTES_MIN: usize = 24;

/// The secret that a webhook's sender and receiver share.
pub struct SigningSecret(hmac::Key);

/// A text that is no secret to sign with; the operator's to mend.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretError {
    /// Not base64 behind `whsec_`.
    #[error("what follows whsec_ is not base64")]
    Encoding,
    /// Too short to sign with.
    #[error("it has {0} bytes; it needs at least {SECRET_BYTES_MIN}")]
    Short(usize),
}

impl SigningSecret {
    /// Takes a secret: `whsec_` and base64, as the specification writes it, or any other text, of
    /// which the bytes count.
    ///
    /// # Errors
    ///
    /// When it is not base64 behind `whsec_`, or shorter than 24 bytes.
    pub fn new(text: &Secret<String>) -> Result<Self, SecretError> {
        let text = text.expose().trim();
        let bytes = Secret::new(match text.strip_prefix(PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| SecretError::Encoding)?,
            None => text.as_bytes().to_vec(),
        });
        match bytes.expose().len() {
            length if length < SECRET_BYTES_MIN => Err(SecretError::Short(length)),
            _ => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes.expose()))),
        }
    }

    /// The value of `webhook-signature`: `v1,` and base64 of HMAC-SHA-256 over `id.timestamp.body`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(id.as_bytes());
        context.update(format!(".{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<SigningSecret, SecretError> {
        SigningSecret::new(&Secret::new(text.to_owned()))
    }

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let key = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_that_is_none_is_refused_at_23_bytes_and_taken_at_24() {
        assert_eq!(secret("whsec_%").err(), Some(SecretError::Encoding));
        assert_eq!(secret(&"a".repeat(23)).err(), Some(SecretError::Short(23)));
        assert!(secret(&"a".repeat(24)).is_ok());
        assert_eq!(secret("whsec_AAAA").err(), Some(SecretError::Short(3)));
    }
}
