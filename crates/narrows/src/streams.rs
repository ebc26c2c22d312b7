//! The receivers of events that a configuration names, made ready.

use std::path::Path;

use anyhow::Context as _;
use runtime::clock::now;
use store::Store;
use stream::{Otlp, Pace, SigningSecret, Sink, Streams, Syslog, Texts, Trust, Webhook};

use crate::config::Config;
use crate::config::outgoing::{Receiver, Way};
use crate::config::scalar::SecretForm;
use crate::wire::secret;

/// Starts what tells others what happens. A receiver that cannot be reached is no reason not to
/// start: the journal keeps its events.
pub async fn start(config: &Config, store: &Store) -> anyhow::Result<Streams> {
    let mut receivers = Vec::new();
    for (index, receiver) in config.recording.outgoing.stream.iter().enumerate() {
        let what = format!("recording.stream[{index}]");
        receivers.push(open(receiver).await.context(what)?);
    }
    Streams::start(receivers, &store.journal, store.data_dir.path(), Pace::default())
        .context("recording.stream")
}

async fn open(receiver: &Receiver) -> anyhow::Result<stream::Receiver> {
    let trust = Trust { more: read_more(receiver.ca.as_deref())? };
    let (kind, address, sink): (_, _, Box<dyn Sink>) = match &receiver.way {
        Way::Syslog(address, tls) => {
            let syslog = Syslog::new(&address.host, address.port, tls.then_some(&trust))?;
            ("syslog", address.to_string(), Box::new(syslog))
        }
        Way::Otlp(url, forms) => {
            let mut fields = Vec::new();
            for (name, form) in forms {
                let value =
                    secret(form).fetch().await.with_context(|| format!("headers.{name}"))?;
                fields.push((name.clone(), value));
            }
            let otlp = Otlp::new(url, &trust, &fields, now)?;
            ("otlp", url.to_string(), Box::new(otlp))
        }
        Way::Webhook(url, form) => {
            let webhook = Webhook::new(url, &trust, signing_secret(form).await?, now)?;
            ("webhook", url.to_string(), Box::new(webhook))
        }
    };
    let texts = if receiver.texts { Texts::Sent } else { Texts::Withheld };
    Ok(stream::Receiver { name: receiver.way.to_string(), kind, address, sink, texts })
}

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
