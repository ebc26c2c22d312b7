//! `narrows doctor`: what is wrong on this machine, in the order in which to mend it.

use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use store::InstallationKey;

use super::SaidNo;
use crate::args::Common;
use crate::client::{Client, config_path};
use crate::config::telling::{SlackWay, TellingWay};
use crate::config::{self, Config};
use crate::output::{self, Cell, Out, Tone};
use crate::protocols::Rulebook;
use crate::wire;

const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Eq, PartialEq)]
enum Health {
    Good,
    Careful,
    Bad,
}

struct Finding {
    health: Health,
    what: String,
    words: String,
}

/// Looks at configuration, data folder, gateway, upstreams and issuers; fails if one is broken.
pub fn doctor(common: &Common) -> anyhow::Result<()> {
    let mut findings = Vec::new();
    if let Some(config) = look_at_configuration(common, &mut findings) {
        look_at_data_dir(&config, &mut findings);
        look_at_state(&config, &mut findings);
        look_at_gateway(common, &mut findings);
        look_at_upstreams(&config, &mut findings);
        look_at_stores(&config, &mut findings);
        look_at_issuers(&config, &mut findings);
        look_at_certificates(&config, &mut findings);
        look_at_sign_in(&config, &mut findings);
        look_at_places(&config, &mut findings);
    }
    let word = |health| match health {
        Health::Good => ("ok", Tone::Good),
        Health::Careful => ("careful", Tone::Careful),
        Health::Bad => ("broken", Tone::Bad),
    };
    if common.json {
        let list: Vec<_> = findings
            .iter()
            .map(
                |one| json!({ "status": word(one.health).0, "what": one.what, "words": one.words }),
            )
            .collect();
        output::json(&list)?;
    } else {
        let out = Out::stdout(runtime::clock::now());
        let rows: Vec<Vec<Cell>> = findings
            .iter()
            .map(|one| {
                let (text, tone) = word(one.health);
                vec![Cell::new(tone, text), Cell::from(&one.what), Cell::from(&one.words)]
            })
            .collect();
        output::print(&out.table(&["STATUS", "WHAT", "FOUND"], &rows))?;
    }
    match findings.iter().any(|one| one.health == Health::Bad) {
        true => Err(SaidNo.into()),
        false => Ok(()),
    }
}

fn say(findings: &mut Vec<Finding>, health: Health, what: &str, words: impl Into<String>) {
    let words: String = words.into();
    // The first line says what is wrong; what to do follows for those who run the command itself.
    let words = words.lines().next().unwrap_or_default().to_owned();
    findings.push(Finding { health, what: what.to_owned(), words });
}

fn look_at_configuration(common: &Common, findings: &mut Vec<Finding>) -> Option<Config> {
    let path = config_path(common);
    match config::load(&path, &Rulebook::new(), 1) {
        Ok(loaded) => {
            let words = format!("{} is right", path.display());
            say(findings, Health::Good, "configuration", words);
            for warning in loaded.warnings {
                say(findings, Health::Careful, "configuration", warning.to_string());
            }
            Some(loaded.config)
        }
        Err(unusable) => {
            let count = output::counted(unusable.problems.len() as u64, "problem");
            let words = format!("{} has {count}; narrows check lists them", path.display());
            say(findings, Health::Bad, "configuration", words);
            config::whereabouts(&path)
        }
    }
}

fn look_at_data_dir(config: &Config, findings: &mut Vec<Finding>) {
    let path = &config.data_dir;
    let what = "data folder";
    match std::fs::metadata(path) {
        Err(_) => {
            let words = format!("{} is made when the gateway first starts", path.display());
            say(findings, Health::Careful, what, words);
        }
        Ok(found) if !found.is_dir() => {
            say(findings, Health::Bad, what, format!("{} is not a folder", path.display()));
        }
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            let words = format!("{} is open to others; run: chmod 700 {0}", path.display());
            say(findings, Health::Careful, what, words);
        }
        Ok(_) => say(findings, Health::Good, what, path.display().to_string()),
    }
}

/// Where several gateways share the state.
fn look_at_state(config: &Config, findings: &mut Vec<Finding>) {
    let what = "state database";
    let options = match wire::shared_state(config) {
        Ok(None) => return,
        Ok(Some(options)) => options,
        Err(error) => return say(findings, Health::Bad, what, format!("{error:#}")),
    };
    let key = match state_key(config) {
        Ok(key) => key,
        Err(error) => return say(findings, Health::Bad, what, format!("{error:#}")),
    };
    match store::Looked::at(&options, key.as_ref()) {
        Err(error) => say(findings, Health::Bad, what, error.to_string()),
        Ok(looked) if looked.same_key == Some(false) => {
            let words = "it belongs to an installation with another key; give all gateways that \
                         share it the same keys.installation";
            say(findings, Health::Bad, what, words);
        }
        Ok(looked) => {
            let present = looked.gateways.iter().filter(|one| one.present).count();
            let present = output::counted(present as u64, "gateway");
            let words = format!("{} answers; {present} there now", looked.server);
            say(findings, Health::Good, what, words);
        }
    }
}

/// The key that the gateway would use; none before it first starts.
fn state_key(config: &Config) -> anyhow::Result<Option<InstallationKey>> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(match tokio.block_on(wire::given_key(config))? {
        Some(given) => Some(InstallationKey::from_bytes(given.expose())?),
        None => InstallationKey::find(&config.data_dir)?,
    })
}

fn look_at_gateway(common: &Common, findings: &mut Vec<Finding>) {
    let client = match Client::find(common) {
        Ok(client) => client,
        Err(error) => return say(findings, Health::Bad, "gateway", format!("{error:#}")),
    };
    match client.get::<serde_json::Value>("/readyz") {
        Ok(_) => say(findings, Health::Good, "gateway", format!("ready at {}", client.base())),
        Err(error) => say(findings, Health::Bad, "gateway", format!("{error:#}")),
    }
}

/// Every secret that a store has to give, and a credential of each kind that it has to make.
fn look_at_stores(config: &Config, findings: &mut Vec<Finding>) {
    for reference in config.stores.references() {
        let what = format!("secret {reference}");
        match config.stores.probe(reference) {
            Ok(()) => say(findings, Health::Good, &what, "it can be read"),
            Err(why) => say(findings, Health::Bad, &what, why),
        }
    }
    for upstream in &config.upstreams {
        let Some(made) = &upstream.credentials else { continue };
        let what = format!("credentials of {}", upstream.resource.name);
        match made.probe() {
            Ok(()) => say(findings, Health::Good, &what, "one was made and revoked"),
            Err(why) => say(findings, Health::Bad, &what, why),
        }
    }
}

fn look_at_issuers(config: &Config, findings: &mut Vec<Finding>) {
    for plan in &config.issuers {
        let what = format!("issuer {}", plan.issuer);
        match identity::count_keys(plan) {
            Ok(keys) => {
                let keys = output::counted(keys as u64, "key");
                say(findings, Health::Good, &what, format!("{keys} to check its tokens with"));
            }
            Err(why) => say(findings, Health::Bad, &what, why),
        }
    }
}

fn look_at_certificates(config: &Config, findings: &mut Vec<Finding>) {
    for plan in &config.certificates {
        let what = format!("certificates of {}", plan.issuer);
        match (identity::check_certificates(plan), &plan.revoked) {
            (Err(why), _) => say(findings, Health::Bad, &what, why),
            (Ok(()), Some(_)) => say(findings, Health::Good, &what, "believed, with a CRL"),
            (Ok(()), None) => {
                let words = "believed until they end: no crl says what was revoked";
                say(findings, Health::Good, &what, words);
            }
        }
    }
}

fn look_at_sign_in(config: &Config, findings: &mut Vec<Finding>) {
    let Some(plan) = &config.sign_in else { return };
    let providers = config.clients.len() + config.saml.len();
    let words = format!("at {}, by {}", plan.url, output::counted(providers as u64, "provider"));
    say(findings, Health::Good, "people sign in", words);
    for one in &config.saml {
        let provider = &one.provider;
        let what = format!("provider {}", provider.entity_id);
        let host = provider.sso_url.host_str().unwrap_or_default();
        let port = provider.sso_url.port_or_known_default().unwrap_or(443);
        let acs = &one.service.acs;
        match dial(host, port) {
            Ok(_) => {
                let words = format!("{host} answers; it sends answers to {acs}");
                say(findings, Health::Good, &what, words);
            }
            // People's browsers go there, which may be where this machine may not.
            Err(error) => {
                let words = format!(
                    "{host}:{port}: {error}; from this machine, while people's browsers may reach \
                     it; it sends answers to {acs}"
                );
                say(findings, Health::Careful, &what, words);
            }
        }
    }
}

fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    (host, port).to_socket_addrs().and_then(|mut all| match all.next() {
        Some(address) => TcpStream::connect_timeout(&address, DIAL_TIMEOUT),
        None => Err(std::io::Error::other("the name has no address")),
    })
}

/// People who are not told are no reason for the gateway not to run.
fn look_at_places(config: &Config, findings: &mut Vec<Finding>) {
    for place in &config.notify {
        let what = format!("notify {}", place.way);
        let url = |url: &url::Url| {
            let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
            Some((host.to_owned(), url.port_or_known_default()?))
        };
        let address = match &place.way {
            TellingWay::Webhook(address, _)
            | TellingWay::Slack(SlackWay::Channel(address, ..), _) => url(address),
            // The address is a secret, which is not fetched here.
            TellingWay::Slack(SlackWay::Incoming(_), _) => None,
            TellingWay::Email(mail) => Some((mail.server.host.clone(), mail.server.port)),
        };
        let Some((host, port)) = address else { continue };
        match dial(&host, port) {
            Ok(_) => say(findings, Health::Good, &what, format!("{host}:{port} answers")),
            Err(error) => {
                let words = format!("{host}:{port} cannot be reached: {error}");
                say(findings, Health::Careful, &what, words);
            }
        }
    }
}

fn look_at_upstreams(config: &Config, findings: &mut Vec<Finding>) {
    for upstream in &config.upstreams {
        let what = format!("resource {}", upstream.resource.name);
        match dial(&upstream.address.host, upstream.address.port) {
            Ok(_) => {
                let words = format!("{} answers", upstream.address);
                say(findings, Health::Good, &what, words);
            }
            Err(error) => {
                let words = format!("{} cannot be reached: {error}", upstream.address);
                say(findings, Health::Bad, &what, words);
            }
        }
    }
}
