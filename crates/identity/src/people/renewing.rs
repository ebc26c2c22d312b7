//! Providers are asked again about everybody who is signed in.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use model::Timestamp;
use store::{Login, Renewal};

use super::client::{Again, Client};
use super::{People, Set};
use crate::plan::Role;

/// How often it is looked for whom to ask about.
const LOOK: Duration = Duration::from_secs(1);
/// How long a provider may take to answer, with all that it is asked.
const TAKES: Duration = Duration::from_secs(60);
/// How long a provider that could not be asked is left alone.
const PAUSE: Duration = Duration::from_secs(30);

/// Providers that could not be asked, and until when they are left alone.
type Paused = HashMap<String, Instant>;

impl People {
    /// Starts to ask providers again, until nobody needs it any more.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn renew_on(self: &Arc<Self>) -> Result<(), String> {
        let people = Arc::downgrade(self);
        thread::Builder::new()
            .name("logins".to_owned())
            .spawn(move || follow(&people))
            .map(drop)
            .map_err(|error| format!("no thread can be started: {error}"))
    }

    fn look(&self, paused: &mut Paused) {
        let now = (self.now)();
        match self.logins.sweep(now) {
            Ok(over) => {
                for login in over {
                    let detail = Some("its time is over".to_owned());
                    self.note(&login.subject, "login.end", &login.id, detail, now);
                }
            }
            // Said already, by what lost it.
            Err(error) if error.is_unreachable() => {}
            Err(error) => tracing::error!(%error, "logins that are over cannot be ended"),
        }
        let Some(set) = self.set.load_full() else { return };
        // The pause is shorter where people are asked about more often.
        let pause = PAUSE.min(set.plan.refresh);
        paused.retain(|_, until| Instant::now() < *until);
        let due = |login: &Arc<Login>| {
            // A refresh token that is sent twice ends the login: another gateway may be asking.
            let is_asked = login.confirmed_at < login.asked_at && login.trouble.is_none();
            let wait = if is_asked { TAKES.max(set.plan.refresh) } else { set.plan.refresh };
            let is_time = login.renews && now >= login.asked_at.plus(wait);
            is_time && self.logins.honours(login)
        };
        for login in self.logins.list().into_iter().filter(due) {
            if paused.contains_key(&*login.method) {
                continue;
            }
            if !self.ask_again(&set, &login) {
                paused.insert(login.method.to_string(), Instant::now() + pause);
            }
        }
    }

    /// Asks about one person; whether the provider could be asked.
    fn ask_again(&self, set: &Set, login: &Arc<Login>) -> bool {
        let mut clients = set.clients.iter();
        let Some(client) = clients.find(|client| client.name() == *login.method) else {
            return true;
        };
        let now = (self.now)();
        match self.logins.claim(login, now) {
            Ok(true) => {}
            Ok(false) => return true,
            Err(error) => {
                tracing::error!(%error, "a login cannot be renewed");
                return true;
            }
        }
        match self.logins.kept(&login.id) {
            Ok(Some(kept)) => self.take(login, client, client.again(&kept, now), now),
            Ok(None) => {
                // Another installation key, or a file that was changed: it cannot be asked again.
                self.end(login, "login_ended", "what was kept to ask again cannot be read");
                true
            }
            Err(error) => {
                tracing::error!(%error, "a login cannot be renewed");
                true
            }
        }
    }

    fn take(&self, login: &Arc<Login>, client: &Client, again: Again, now: Timestamp) -> bool {
        let issuer = &*client.plan.issuer.issuer;
        match again {
            Again::Is { groups, keep } => {
                let role = |groups: &[Arc<str>]| self.role(groups).map_or("none", Role::as_str);
                let detail = format!(
                    "groups [{}], role {}; before: groups [{}], role {}",
                    groups.join(", "),
                    role(&groups),
                    login.groups.join(", "),
                    role(&login.groups)
                );
                match self.logins.renew(&login.id, Renewal { groups, keep: Some(keep) }, now) {
                    Ok(true) => {
                        self.note(&login.subject, "login.groups", &login.id, Some(detail), now);
                    }
                    Ok(false) => {}
                    // Groups that are not known any more count for nobody.
                    Err(error) => {
                        let words = format!("what the provider says now cannot be kept: {error}");
                        self.end(login, "login_ended", &words);
                    }
                }
                true
            }
            Again::Over(why) => {
                tracing::info!(issuer, login = &*login.id, why, "a provider ended a login");
                self.end(login, "login_ended", "the provider ended it");
                true
            }
            Again::Trouble(why, keep) => {
                match self.logins.trouble(&login.id, &why, keep) {
                    Ok(true) => {
                        let subject = &*login.subject;
                        let detail = Some("provider_unreachable; the login goes on".to_owned());
                        self.note(subject, "login.refresh_fail", &login.id, detail, now);
                        tracing::warn!(
                            issuer,
                            why,
                            "a provider cannot be asked about people who are signed in; their \
                             logins go on until they end"
                        );
                    }
                    Ok(false) => {}
                    Err(error) => tracing::error!(%error, "a login cannot be written"),
                }
                false
            }
        }
    }
}

fn follow(people: &Weak<People>) {
    let mut paused = Paused::new();
    loop {
        match people.upgrade() {
            Some(people) => people.look(&mut paused),
            None => return,
        }
        thread::sleep(LOOK);
    }
}
