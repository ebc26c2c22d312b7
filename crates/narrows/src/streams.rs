//! The receivers of events that a configuration names, made ready.

use std::path::Path;

use anyhow::Context as _;
use stream::SigningSecret;

use crate::config::Config;
use crate::config::outgoing::{Receiver, Way};
use crate::config::scalar::SecretForm;
use crate::wire::secret;

/// Certificates to trust besides the system's.
pub fn read_more(ca: Option<&Path>) -> anyhow::Result<Option<Vec<u8>>> {
    ca.map(|path| std::fs::read(path).with_context(|| format!("read {}", path.display())))
        .transpose()
}

/// The secret of a webhook.
pub async fn signing_secret(form: &SecretForm) -> anyhow::Result<SigningSecret> {
    let text = secret(form).fetch().await.context("secret")?;
    SigningSecret::new(&text).context("secret")
}

/// Whether two configurations tell others differently.
pub fn differ(old: &Config, new: &Config) -> bool {
    let plan = |config: &Config| -> Vec<_> {
        let stream = config.recording.outgoing.stream.iter();
        let plan = stream.map(|Receiver { way, ca, texts }| {
            let (address, secrets) = match way {
                Way::Syslog(..) => (way.to_string(), Vec::new()),
                Way::Webhook(url, form) => (url.to_string(), vec![(String::new(), secret(form))]),
                Way::Otlp(url, fields) => {
                    let field = |(name, form): &(String, SecretForm)| (name.clone(), secret(form));
                    (format!("otlp {url}"), fields.iter().map(field).collect())
                }
            };
            (address, secrets, ca.clone(), *texts)
        });
        plan.collect()
    };
    plan(old) != plan(new)
}
