//! `identity.login` and `identity.roles`: people who sign in, and what they may do.

use std::time::Duration;

use ::identity::{Role, Roles, SignInPlan};
use url::Url;

use super::address::{self, Carries};
use super::read::{At, Report, form};
use super::scalar::{Address, Time};
use crate::client::admin_url;

form! {
    /// How people sign in, wherever they do.
    pub struct LoginForm {
        /// Where browsers reach the admin listener; identity providers send people back to
        /// `URL/login/callback`. Default: `http://` and `listen.admin`.
        "url" => url: At<String>,
        /// How often the provider is asked about a person again: so long may a group that was taken
        /// away still count. Default: 5m.
        "refresh" => refresh: At<Time>,
        /// Longest time until a person has to sign in again. Default: 12h.
        "session" => session: At<Time>,
        /// How long a browser may be silent until then. Default: 1h.
        "idle" => idle: At<Time>,
    }
}

form! {
    /// Which groups may do what in the admin API. Each role may do what those before it may.
    pub struct RolesForm {
        /// Read: sessions and recordings, approvals, resources, access.
        "viewer" => viewer: Vec<At<String>>,
        /// Answer approvals, as far as the rules ask their groups, and revoke what was approved.
        "approver" => approver: Vec<At<String>>,
        /// End sessions, make and revoke tokens, reload the configuration.
        "operator" => operator: Vec<At<String>>,
        /// Whatever the admin token may.
        "admin" => admin: Vec<At<String>>,
    }
}

/// What holds for everybody who signs in; none where browsers could not reach it.
pub fn complete(
    (login, roles): (Option<LoginForm>, Option<RolesForm>),
    signs_in: bool,
    admin: &Address,
    report: &mut Report,
) -> Option<SignInPlan> {
    if !signs_in {
        let help = "people sign in at an entry of identity.oidc that has a client_id, or at one of \
                    identity.saml";
        if let Some(login) = &login {
            let message = "identity.login: nobody can sign in, so it has no effect";
            report.warn(&login.here.at, message, help);
        }
        if let Some(roles) = &roles {
            let message = "identity.roles: nobody can sign in; only tokens of people \
                           (kind: person) have a role";
            report.warn(&roles.here.at, message, help);
        }
    }
    let url = login.as_ref().and_then(|login| login.url.as_ref());
    let url = match url {
        Some(written) => page(written, report),
        None => {
            let url = Url::parse(&admin_url(admin)).ok();
            if url.is_none()
                && let Some(login) = &login
            {
                let message = "identity.login has no url, and listen.admin is no address that \
                               browsers can open";
                report.problem(&login.here.at, message, "write url: https://HOST");
            }
            url
        }
    };
    let url = url?;
    let mut plan = SignInPlan::new(url);
    if let Some(login) = login {
        let times = [
            ("refresh", login.refresh, &mut plan.refresh),
            ("session", login.session, &mut plan.session),
            ("idle", login.idle, &mut plan.idle),
        ];
        for (name, written, into) in times {
            let Some(written) = written else { continue };
            if written.value.0 < Duration::from_secs(1) || written.value.0 > LONGEST {
                let message = format!("identity.login.{name}: not from a second to 30 days");
                report.problem(&written.at, message, "write 5m, 1h, 12h");
            }
            *into = written.value.0;
        }
        if plan.refresh > plan.session {
            let message = "identity.login: refresh is longer than session, so nobody is ever \
                           asked about again";
            report.warn(&login.here.at, message, "write refresh: 5m");
        }
    }
    plan.roles = roles.map(given).unwrap_or_default();
    Some(plan)
}

/// Longest time of a login.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

fn page(written: &At<String>, report: &mut Report) -> Option<Url> {
    let what = "identity.login.url";
    let url = address::url(written, what, Carries::Secrets, report)?;
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        let message = format!("{what}: an address with a path; the pages are at the top of a host");
        report.problem(&written.at, message, "write https://HOST[:PORT]");
        return None;
    }
    Some(url)
}

fn given(roles: RolesForm) -> Roles {
    let all = [
        (Role::Viewer, roles.viewer),
        (Role::Approver, roles.approver),
        (Role::Operator, roles.operator),
        (Role::Admin, roles.admin),
    ];
    let named = |groups: Option<Vec<At<String>>>| {
        groups.unwrap_or_default().into_iter().map(|group| group.value).collect()
    };
    Roles(all.map(|(role, groups)| (role, named(groups))).into())
}
