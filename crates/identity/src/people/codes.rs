//! Tokens for `narrows login`: the gateway is the authorization server of its own commands, by a
//! code that the browser brings to the command (RFC 6749 section 4.1, RFC 7636, RFC 8252), or by a
//! code that the person compares (RFC 8628).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use model::text::is_unseen;
use model::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Code, Login, LoginKey, LoginsError, Take};

use super::People;
use super::client::challenge;
use super::words::{NotGranted, NotSignedIn};

/// How long a code is good that the browser brings to the command.
const BROUGHT: Duration = Duration::from_secs(60);
/// How long a code is good that the person compares.
const SAID: Duration = Duration::from_secs(600);
/// Seconds between questions of a device.
const INTERVAL: u64 = 5;
/// Letters that are not mistaken for others and make no words (RFC 8628 section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a code that the person compares: 34 bits.
const SAID_LETTERS: usize = 8;
/// Longest name of what asks.
const NAME_CHARS_MAX: usize = 80;

/// What `narrows login` on this computer wants, in the words of its address.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Wish {
    /// The port of this computer that it listens on.
    pub port: u16,
    /// The challenge of its verifier (S256).
    pub challenge: String,
    /// What it expects back.
    pub state: String,
    /// What it calls itself.
    #[serde(default)]
    pub name: String,
}

/// A device that asks for a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceAsked {
    /// What it shows nobody.
    pub device_code: String,
    /// What the person compares: `BCDF-GHJK`.
    pub user_code: String,
    /// How long both are good.
    pub expires_in: Duration,
    /// Seconds between its questions.
    pub interval: u64,
}

/// A device that waits for a yes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// What it shows: `BCDF-GHJK`.
    pub code: String,
    /// What it calls itself.
    pub name: String,
    /// Where it asked from.
    pub source: String,
    /// When.
    pub asked_at: Timestamp,
    /// As it is kept.
    kept: String,
}

/// What a program asks for a token with.
#[derive(Clone, Copy, Debug)]
pub enum Exchange<'a> {
    /// The code that the browser brought.
    Brought {
        /// The code.
        code: &'a str,
        /// Whose challenge it was asked for with.
        verifier: &'a str,
        /// Where it was brought to.
        redirect: &'a str,
    },
    /// The code that a device was given.
    Device(&'a str),
}

/// What a code is for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kept {
    Brought {
        login: Arc<str>,
        wish: Wish,
    },
    Device {
        name: String,
        source: String,
        asked_at: u64,
        answer: Answer,
        polled_at: u64,
        interval: u64,
    },
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    None,
    Yes(Arc<str>),
    No,
}

const BAD_CODE: NotGranted =
    NotGranted::of("invalid_grant", "the code is not good, not any more, or not for this");
const TROUBLE: NotGranted =
    NotGranted::of("server_error", "it cannot be kept now; the gateway's log says why");
const TOO_MANY: NotGranted =
    NotGranted::of("slow_down", "too many wrong codes came from there; wait a minute");

impl Wish {
    /// Where the browser brings the code.
    #[must_use]
    pub fn redirect(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Whether it can be what `narrows login` asks for.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let url_safe = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        self.port >= 1024
            && self.challenge.len() == 43
            && url_safe(&self.challenge)
            && (16..=128).contains(&self.state.len())
            && url_safe(&self.state)
            && is_name(&self.name)
    }
}

/// Whether something may call itself so.
fn is_name(name: &str) -> bool {
    name.chars().nth(NAME_CHARS_MAX).is_none() && !name.chars().any(is_unseen)
}

impl People {
    /// Whoever signed in lets `narrows login` on their computer act for them: the code that their
    /// browser brings it. Good once, for a minute.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn allow_command(&self, login: &Login, wish: Wish) -> Result<String, NotSignedIn> {
        let now = (self.now)();
        let code = random()?;
        let kept = to_text(&Kept::Brought { login: Arc::clone(&login.id), wish })?;
        self.logins
            .put_code(Code::Program, (&code, None), &kept, now.plus(BROUGHT), now)
            .map_err(|error| NotSignedIn::Kept(error.to_string()))?;
        Ok(code)
    }

    /// A device asks for a token. `name`: what it calls itself.
    ///
    /// # Errors
    /// It may not, or not now.
    pub fn device_asks(&self, name: &str, source: &str) -> Result<DeviceAsked, NotGranted> {
        let now = (self.now)();
        if !is_name(name) {
            const WORDS: &str = "device_name is longer than 80 characters, or cannot be shown";
            return Err(NotGranted::of("invalid_request", WORDS));
        }
        if !self.logins.honours_any() {
            const WORDS: &str = "nobody can sign in here: the gateway knows no provider for that";
            return Err(NotGranted::of("unauthorized_client", WORDS));
        }
        if !self.asked.may_try(source, now) {
            return Err(TOO_MANY);
        }
        self.asked.failed(source, now);
        let device_code = random().map_err(|_| TROUBLE)?;
        let user_code = letters().ok_or(TROUBLE)?;
        let kept = to_text(&Kept::Device {
            name: name.to_owned(),
            source: source.to_owned(),
            asked_at: now.0,
            answer: Answer::None,
            polled_at: 0,
            interval: INTERVAL,
        });
        let kept = kept.map_err(|_| TROUBLE)?;
        let codes = (&*device_code, Some(&*user_code));
        self.logins.put_code(Code::Device, codes, &kept, now.plus(SAID), now).map_err(|error| {
            tracing::warn!(%error, "a device gets no code");
            match error {
                LoginsError::Full(..) => {
                    NotGranted::of("temporarily_unavailable", "too many devices ask; try later")
                }
                _ => TROUBLE,
            }
        })?;
        let user_code = shown(&user_code);
        Ok(DeviceAsked { device_code, user_code, expires_in: SAID, interval: INTERVAL })
    }

    /// The device that shows this code, for the person who compares it.
    ///
    /// # Errors
    /// There is none, or whoever types them typed too many wrong ones.
    pub fn device(&self, said: &str, login: &Login) -> Result<Option<Device>, NotSignedIn> {
        let now = (self.now)();
        if !self.guesses.may_try(&login.id, now) {
            return Err(NotSignedIn::TooMany);
        }
        let found = self
            .logins
            .code_said(&said_letters(said), Take::Look, now)
            .map_err(|error| NotSignedIn::Kept(error.to_string()))?;
        let code = shown(&said_letters(said));
        let device = found.and_then(|kept| match serde_json::from_str(&kept).ok()? {
            Kept::Device { name, source, asked_at, answer: Answer::None, .. } => {
                Some(Device { code, name, source, asked_at: Timestamp(asked_at), kept })
            }
            _ => None,
        });
        if device.is_none() {
            self.guesses.failed(&login.id, now);
        }
        Ok(device)
    }

    /// Whoever signed in lets a device act for them, or not; `false` when it waits no more.
    ///
    /// # Errors
    /// It cannot be kept.
    pub fn answer_device(&self, said: &str, login: &Login, yes: bool) -> Result<bool, NotSignedIn> {
        let now = (self.now)();
        let failed = |error: store::StateError| NotSignedIn::Kept(error.to_string());
        // The device asks meanwhile, which changes what is kept.
        for _ in 0..5 {
            let Some(device) = self.device(said, login)? else { return Ok(false) };
            let Ok(Kept::Device { name, source, asked_at, polled_at, interval, .. }) =
                serde_json::from_str(&device.kept)
            else {
                return Ok(false);
            };
            let answer = if yes { Answer::Yes(Arc::clone(&login.id)) } else { Answer::No };
            let after = Kept::Device { name, source, asked_at, answer, polled_at, interval };
            let (said, after) = (said_letters(said), to_text(&after)?);
            if self.logins.change_code(&said, &device.kept, &after, now).map_err(failed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives a program its token, if its code is good.
    ///
    /// # Errors
    /// It is not, or not yet.
    pub fn exchange(
        &self,
        with: &Exchange<'_>,
        source: &str,
    ) -> Result<(Arc<Login>, LoginKey, Secret<String>), NotGranted> {
        let now = (self.now)();
        if !self.guesses.may_try(source, now) {
            return Err(TOO_MANY);
        }
        let granted = match with {
            Exchange::Brought { code, verifier, redirect } => {
                self.brought(code, verifier, redirect, now)
            }
            Exchange::Device(code) => self.polled(code, now),
        };
        let (login, name) = granted.inspect_err(|why| {
            if matches!(why.error, "invalid_grant" | "expired_token") {
                self.guesses.failed(source, now);
            }
        })?;
        let login = self.logins.login(&login).ok_or(BAD_CODE)?;
        let detail = Some(format!("for narrows login on {name:?}, from {source}"));
        let written = self.record(&login.subject, "login.token", &login.id, detail, now);
        written.map_err(|_| TROUBLE)?;
        match self.logins.token(&login.id, &name, now) {
            Ok((key, token)) => Ok((login, key, token)),
            Err(LoginsError::Ended) => Err(BAD_CODE),
            Err(LoginsError::Full(..)) => {
                const WORDS: &str = "this sign-in has as many tokens as it may; narrows logout";
                Err(NotGranted::of("access_denied", WORDS))
            }
            Err(error) => {
                tracing::error!(%error, "a token cannot be kept");
                Err(TROUBLE)
            }
        }
    }

    /// Good once, whatever comes of it.
    fn brought(
        &self,
        code: &str,
        verifier: &str,
        redirect: &str,
        now: Timestamp,
    ) -> Result<(Arc<str>, String), NotGranted> {
        let kept = self.logins.code(Code::Program, code, Take::Look, now).map_err(|_| TROUBLE)?;
        // The code of a device is no code that a browser brings.
        let is_ours = |kept: &str| matches!(serde_json::from_str(kept), Ok(Kept::Brought { .. }));
        if !kept.is_some_and(|kept| is_ours(&kept)) {
            return Err(BAD_CODE);
        }
        let kept = self
            .logins
            .code(Code::Program, code, Take::Once, now)
            .map_err(|_| TROUBLE)?
            .ok_or(BAD_CODE)?;
        let Ok(Kept::Brought { login, wish }) = serde_json::from_str(&kept) else {
            return Err(BAD_CODE);
        };
        let fits = challenge(verifier) == wish.challenge && redirect == wish.redirect();
        if fits { Ok((login, wish.name)) } else { Err(BAD_CODE) }
    }

    fn polled(&self, code: &str, now: Timestamp) -> Result<(Arc<str>, String), NotGranted> {
        const EXPIRED: NotGranted = NotGranted::of(
            "expired_token",
            "the code is too old or was never given; begin again: narrows login --device",
        );
        let kept = self
            .logins
            .code(Code::Device, code, Take::Look, now)
            .map_err(|_| TROUBLE)?
            .ok_or(EXPIRED)?;
        let Ok(Kept::Device { name, source, asked_at, answer, polled_at, interval }) =
            serde_json::from_str(&kept)
        else {
            return Err(BAD_CODE);
        };
        match answer {
            Answer::No => {
                let _ =
                    self.logins.code(Code::Device, code, Take::Once, now).map_err(|_| TROUBLE)?;
                Err(NotGranted::of("access_denied", "the person who signed in said no"))
            }
            Answer::Yes(login) => {
                let taken =
                    self.logins.code(Code::Device, code, Take::Once, now).map_err(|_| TROUBLE)?;
                taken.map(|_| (login, name)).ok_or(BAD_CODE)
            }
            Answer::None => {
                // Whoever asks too often costs no writing.
                if now.since(Timestamp(polled_at)) < Duration::from_secs(interval) {
                    let interval = Some(interval.saturating_add(INTERVAL));
                    let slow = NotGranted::of("slow_down", "it is asked too often");
                    return Err(NotGranted { interval, ..slow });
                }
                let (answer, polled_at) = (Answer::None, now.0);
                let after = Kept::Device { name, source, asked_at, answer, polled_at, interval };
                let after = to_text(&after).map_err(|_| TROUBLE)?;
                // Where somebody answered meanwhile, the next question finds that.
                let _ = self.logins.change_by_code(Code::Device, code, &kept, &after, now);
                Err(NotGranted::of("authorization_pending", "nobody has said yes yet"))
            }
        }
    }
}

/// What a person typed, as it is kept.
fn said_letters(said: &str) -> String {
    let letters = said.chars().filter(char::is_ascii_alphabetic).take(SAID_LETTERS * 2);
    letters.map(|letter| letter.to_ascii_uppercase()).collect()
}

/// A code as it is shown.
fn shown(letters: &str) -> String {
    match letters.split_at_checked(SAID_LETTERS / 2) {
        Some((first, second)) => format!("{first}-{second}"),
        None => letters.to_owned(),
    }
}

/// Random letters, each as likely as the others.
fn letters() -> Option<String> {
    let mut said = String::with_capacity(SAID_LETTERS);
    // 240 is the last multiple of 20 in a byte; what is above it is thrown away.
    for _ in 0..100 {
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).ok()?;
        for byte in bytes.into_iter().filter(|byte| *byte < 240) {
            said.push(char::from(*LETTERS.get(usize::from(byte % 20))?));
            if said.len() == SAID_LETTERS {
                return Some(said);
            }
        }
    }
    None
}

fn random() -> Result<String, NotSignedIn> {
    store::random_text().map_err(|error| NotSignedIn::Kept(error.to_string()))
}

fn to_text(kept: &Kept) -> Result<String, NotSignedIn> {
    serde_json::to_string(kept).map_err(|error| NotSignedIn::Kept(error.to_string()))
}
