//! Addresses of services that the gateway itself asks or tells.

use model::is_this_machine;
use url::Url;

use super::read::{At, Report};

/// What travels to an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carries {
    /// Events, which may cross the network in clear text.
    Events,
    /// Credentials or keys too, which may not.
    Secrets,
    /// Public keys: whoever can change them on the way can speak for their owner.
    Keys,
}

/// An address of HTTP without an account in it; `what` is its name in messages.
pub fn url(written: &At<String>, what: &str, carries: Carries, report: &mut Report) -> Option<Url> {
    let parsed = Url::parse(&written.value);
    let why = match &parsed {
        Err(_) => "not an address",
        Ok(url) if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() => {
            "not an address of https"
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "an address with a name or a password in it"
        }
        Ok(url)
            if url.scheme() == "http"
                && carries == Carries::Secrets
                && !is_this_machine(url.host_str().unwrap_or_default()) =>
        {
            "secrets must not cross the network in clear text"
        }
        Ok(url)
            if url.scheme() == "http"
                && carries == Carries::Keys
                && !is_this_machine(url.host_str().unwrap_or_default()) =>
        {
            "keys that come in clear text could be anybody's"
        }
        Ok(_) => return parsed.ok(),
    };
    report.problem(&written.at, format!("{what}: {why}"), "write https://HOST[:PORT][/PATH]");
    None
}
