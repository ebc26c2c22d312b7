//! The places where people are told of approvals, made ready and, at a reload, replaced.

use std::path::PathBuf;
use std::sync::Arc;

use admin::{SlackClick, SlackOutcome, SlackRefused, SlackSigned};
use anyhow::Context as _;
use model::{Timestamp, is_this_machine};
use notify::{
    Account, App, Buttons, ClickError, Clicks, Email, Hook, Notifier, Outcome, Pace, Place, Safety,
    Signed, SigningKey, Slack, Texts, Way,
};
use parking_lot::RwLock;
use runtime::clock::now;
use store::{Approvals, Store};
use stream::{Trust, Webhook};
use url::Url;

use crate::client::admin_url;
use crate::config::Config;
use crate::config::telling::{self, ClicksFrom, Mail, SlackWay, Telling, TellingWay};
use crate::streams::{read_more, signing_secret};
use crate::wire::secret;

/// What tells people of approvals now, and takes their clicks.
pub struct Notices {
    approvals: Arc<Approvals>,
    data_dir: PathBuf,
    /// The address of the admin API, as people are told it.
    admin: String,
    notifier: RwLock<Arc<Notifier>>,
    clicks: RwLock<Clicks>,
}

/// Places made ready: nothing is told yet.
pub struct Opened {
    places: Vec<Place>,
    apps: Vec<App>,
}

/// Makes the places of a configuration ready, its secrets fetched. One that cannot be reached is
/// no reason not to start.
///
/// # Errors
/// The first place that cannot be used, and why.
pub async fn open(config: &Config) -> Result<Opened, (policy::Location, anyhow::Error)> {
    let mut opened = Opened { places: Vec::new(), apps: Vec::new() };
    for (index, telling) in config.notify.iter().enumerate() {
        let what = format!("approvals.notify[{index}]");
        let place = place(telling, &mut opened.apps).await.context(what);
        opened.places.push(place.map_err(|error| (telling.at.clone(), error))?);
    }
    Ok(opened)
}

async fn place(telling: &Telling, apps: &mut Vec<App>) -> anyhow::Result<Place> {
    let trust = Trust { more: read_more(telling.ca.as_deref())? };
    let texts = if telling.texts { Texts::Sent } else { Texts::Withheld };
    let (kind, way): (_, Box<dyn Way>) = match &telling.way {
        TellingWay::Webhook(url, form) => {
            let hook = Webhook::new(url, &trust, signing_secret(form).await?, now)?;
            ("webhook", Box::new(Hook(hook)))
        }
        TellingWay::Slack(way, clicks) => {
            let buttons = if clicks.is_some() { Buttons::Shown } else { Buttons::Absent };
            let (slack, base) = slack(way, &trust, buttons).await?;
            if let Some(from) = clicks {
                apps.push(app(from, texts, base, trust).await?);
            }
            ("slack", Box::new(slack))
        }
        TellingWay::Email(mail) => ("email", Box::new(email(mail, &trust).await?)),
    };
    Ok(Place {
        name: telling.way.to_string(),
        kind,
        address: telling::address_of(&telling.way),
        groups: telling.groups.iter().map(|group| group.as_str().into()).collect(),
        texts,
        way,
    })
}

async fn slack(way: &SlackWay, trust: &Trust, buttons: Buttons) -> anyhow::Result<(Slack, Url)> {
    match way {
        SlackWay::Incoming(form) => {
            let text = secret(form).fetch().await.context("slack")?;
            // The words of the error do not repeat it.
            let url = Url::parse(text.expose().trim()).context("slack: not an address")?;
            let secure = url.scheme() == "https" || url.host_str().is_some_and(is_this_machine);
            anyhow::ensure!(secure, "slack: not an address of https");
            Ok((Slack::incoming(&url, trust, buttons)?, url))
        }
        SlackWay::Channel(api, channel, form) => {
            let token = secret(form).fetch().await.context("slack.token")?;
            Ok((Slack::channel(api, trust, channel, &token, buttons)?, api.clone()))
        }
    }
}

async fn app(from: &ClicksFrom, texts: Texts, base: Url, trust: Trust) -> anyhow::Result<App> {
    let secret = secret(&from.signing_secret).fetch().await.context("signing_secret")?;
    anyhow::ensure!(!secret.expose().trim().is_empty(), "signing_secret: it is empty");
    let user = |(id, subject, groups): &(String, String, Vec<String>)| {
        let groups = groups.iter().map(|group| group.as_str().into()).collect();
        (id.clone(), (subject.as_str().into(), groups))
    };
    let users = from.users.iter().map(user).collect();
    Ok(App { key: SigningKey::new(&secret), users, texts, base: Some(base), trust })
}

async fn email(mail: &Mail, trust: &Trust) -> anyhow::Result<Email> {
    let account = match &mail.account {
        Some((user, form)) => {
            let password = secret(form).fetch().await.context("email.password")?;
            Some(Account { user: user.clone(), password })
        }
        None => None,
    };
    let safety = match mail.tls {
        true => Safety::Tls,
        false if is_this_machine(&mail.server.host) => Safety::StartTlsIfOffered,
        false => Safety::StartTls,
    };
    let server = (mail.server.host.as_str(), mail.server.port, safety);
    Ok(Email::new(server, trust, account, (&mail.from, &mail.to), now)?)
}

impl Notices {
    /// Starts telling people.
    ///
    /// # Errors
    /// A place cannot be used.
    pub async fn start(config: &Config, store: &Store) -> anyhow::Result<Arc<Self>> {
        let Opened { places, apps } = open(config).await.map_err(|(_, error)| error)?;
        let approvals = Arc::clone(&store.approvals);
        let data_dir = store.data_dir.path().to_owned();
        let admin = admin_url(&config.admin);
        let notifier = Notifier::start(places, &approvals, &data_dir, &admin, Pace::default())
            .context("approvals.notify")?;
        let notices = Arc::new(Self {
            approvals,
            data_dir,
            admin,
            notifier: RwLock::new(Arc::new(notifier)),
            clicks: RwLock::new(Clicks::new(apps)),
        });
        let hears = Arc::downgrade(&notices);
        notices.approvals.observe(Box::new(move |approval| {
            if let Some(notices) = hears.upgrade() {
                notices.notifier.read().hear(approval);
            }
        }));
        Ok(notices)
    }

    /// Puts other places in force. What they were not told they are told now. Waits a little for
    /// what is on its way to the old ones.
    pub fn replace(&self, opened: Opened) {
        let Opened { places, apps } = opened;
        let mut clicks = self.clicks.write();
        *clicks = std::mem::take(&mut *clicks).with(apps);
        drop(clicks);
        let old = Arc::clone(&self.notifier.read());
        // Before the others begin, which go by what these remember.
        old.stop();
        let pace = Pace::default();
        match Notifier::start(places, &self.approvals, &self.data_dir, &self.admin, pace) {
            Ok(notifier) => *self.notifier.write() = Arc::new(notifier),
            Err(error) => {
                tracing::error!(%error, "approvals.notify: nobody is told until the next reload");
            }
        }
        // What was asked in between.
        let notifier = Arc::clone(&self.notifier.read());
        self.approvals.pending().iter().for_each(|approval| notifier.hear(approval));
    }

    /// Waits a little for what is on its way; whether everybody was told everything.
    pub fn stop(&self) -> bool {
        let notifier = Arc::clone(&self.notifier.read());
        notifier.stop()
    }
}

impl admin::Slack for Notices {
    fn take(
        &self,
        signed: &SlackSigned<'_>,
        now: Timestamp,
    ) -> Result<Option<SlackClick>, SlackRefused> {
        let SlackSigned { timestamp, signature, body } = *signed;
        let taken = self.clicks.read().take(&Signed { timestamp, signature, body }, now);
        let refused = |error: ClickError| {
            let why = error.to_string();
            match error {
                ClickError::Unwanted => SlackRefused::Unwanted(why),
                ClickError::Signature | ClickError::Age | ClickError::Again => {
                    SlackRefused::Unproved(why)
                }
                ClickError::Form => SlackRefused::Malformed(why),
                ClickError::Full => SlackRefused::Busy(why),
            }
        };
        Ok(taken.map_err(refused)?.map(|click| {
            let (reply, admin) = (click.reply, self.admin.clone());
            SlackClick {
                user: click.user,
                person: click.person.map(Arc::new),
                approval: click.approval.to_string(),
                yes: click.yes,
                reply: Box::new(move |outcome| {
                    let Some(reply) = reply else { return };
                    match outcome {
                        SlackOutcome::Counts(approval) => {
                            reply.say(&Outcome::Counts(approval), &admin);
                        }
                        SlackOutcome::Refused(why) => reply.say(&Outcome::Refused(why), &admin),
                    }
                }),
            }
        }))
    }
}
