//! Why an answer of an identity provider was not believed.

/// What was wrong; for the operator, never for the browser, which hears only [`Fault::class`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It is too large to be looked at.
    #[error("it is longer than {0} KiB")]
    Large(usize),
    /// It is not base64.
    #[error("it is not base64")]
    Encoding,
    /// XML has this, answers of identity providers have not, and attacks live of it.
    #[error("it holds {0}, which has no place in an answer")]
    NotPlain(&'static str),
    /// It is not well-formed, or has more or fewer of something than there may be.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// The assertion is encrypted.
    #[error(
        "its assertion is encrypted, which is not supported; have the provider sign it and send \
         it unencrypted (it travels inside TLS)"
    )]
    Encrypted,
    /// There is nothing signed in it that could be believed.
    #[error("neither it nor its assertion is signed")]
    Unsigned,
    /// A signature of another form than the one that is believed.
    #[error("its signature is not of the form that is believed: {0}")]
    Profile(String),
    /// The signature is not by a key of the provider, or not over this.
    #[error("its signature is wrong: {0}")]
    Signature(String),
    /// Of somebody else.
    #[error("its issuer is {found:?}; the provider is {wanted:?}")]
    Issuer {
        /// What it says.
        found: String,
        /// What is configured, or in the provider's metadata.
        wanted: String,
    },
    /// The provider says no.
    #[error("the provider refused: {0}")]
    Status(String),
    /// Sent to, or meant to be sent to, another place.
    #[error("its {what} is {found:?}; it came to {wanted:?}")]
    Place {
        /// `Destination` or `Recipient`.
        what: &'static str,
        /// What it says.
        found: String,
        /// Where answers come in.
        wanted: String,
    },
    /// For somebody else.
    #[error("it is meant for {found:?}; we are {wanted:?}")]
    Audience {
        /// Who it is for.
        found: String,
        /// Our name.
        wanted: String,
    },
    /// An answer to another question.
    #[error("it answers {found:?}; {wanted} was asked")]
    InResponseTo {
        /// What it says.
        found: String,
        /// What was asked.
        wanted: String,
    },
    /// An answer to no question, and that is not allowed.
    #[error(
        "it answers no sign-in that was begun here; with idp_initiated: true it would be taken"
    )]
    Unsolicited,
    /// Its time is over.
    #[error("its {what} was {seconds} s ago")]
    Late {
        /// Which of its times.
        what: &'static str,
        /// How long ago.
        seconds: u64,
    },
    /// Its time has not come.
    #[error("its {what} is {seconds} s from now; do the clocks agree?")]
    Early {
        /// Which of its times.
        what: &'static str,
        /// How far ahead.
        seconds: u64,
    },
    /// Good for longer than anything is remembered.
    #[error("it says that it is good for more than a day; have the provider say minutes")]
    Long,
    /// It was taken before.
    #[error("it was used before")]
    Replayed,
    /// That it was taken cannot be remembered, so it is not taken.
    #[error("that it was used cannot be remembered: {0}")]
    Unkept(String),
    /// Something that the profile wants is not there.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A condition that nobody here understands (SAML Core section 2.5.1).
    #[error("it is good under a condition that is not understood: {0}")]
    Condition(String),
    /// Nobody can be told by it.
    #[error("its {0} is {1}")]
    Claim(String, &'static str),
}

/// What a browser is told, so that people know what to do, and attackers nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// It is no answer of the provider that is configured.
    NotBelieved,
    /// It was one, and its time is over, or it was used, or another sign-in was begun since.
    Stale,
    /// The provider said no.
    Refused,
    /// The provider and the gateway have to be set up for each other.
    Setup,
}

impl Class {
    /// The word for it, as in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotBelieved => "not_believed",
            Self::Stale => "stale",
            Self::Refused => "refused_by_provider",
            Self::Setup => "setup",
        }
    }

    /// What a person is told: what happened, and what to do.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NotBelieved => (
                "The answer of the identity provider was not believed.",
                "Whoever keeps this gateway finds the reason in its log.",
            ),
            Self::Stale => (
                "This answer of the identity provider is too old, was used, or answers another \
                 sign-in.",
                "Sign in again, from this page.",
            ),
            Self::Refused => (
                "The identity provider did not sign you in.",
                "Sign in again, or ask whoever keeps the identity provider.",
            ),
            Self::Setup => (
                "What the identity provider says of you lacks something that is needed here.",
                "Whoever keeps this gateway finds in its log what it is.",
            ),
        }
    }
}

impl Fault {
    /// What a browser may hear of it.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Large(_)
            | Self::Encoding
            | Self::NotPlain(_)
            | Self::Malformed(_)
            | Self::Unsigned
            | Self::Profile(_)
            | Self::Signature(_)
            | Self::Issuer { .. }
            | Self::Place { .. }
            | Self::Audience { .. } => Class::NotBelieved,
            Self::InResponseTo { .. }
            | Self::Unsolicited
            | Self::Late { .. }
            | Self::Early { .. }
            | Self::Replayed
            | Self::Unkept(_) => Class::Stale,
            Self::Status(_) => Class::Refused,
            Self::Encrypted
            | Self::Long
            | Self::Missing(_)
            | Self::Condition(_)
            | Self::Claim(..) => Class::Setup,
        }
    }
}

/// Words of a stranger, shortened and printable.
pub(crate) fn clipped(words: &str) -> String {
    const CHARS_MAX: usize = 100;
    let seen = words.chars().map(|c| if model::text::is_unseen(c) { '\u{fffd}' } else { c });
    let mut short: String = seen.take(CHARS_MAX).collect();
    if words.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
