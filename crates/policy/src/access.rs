//! Who may reach what, and when: lines of `access` and what was given for a time.

use std::sync::Arc;

use model::{ClientText, Principal, Resource, Timestamp};

use crate::calendar::show_time;
use crate::hours::Schedule;
use crate::permit::{Refusal, reason};
use crate::policy::PolicySet;
use crate::rule::{Places, meets};
use crate::spec::Location;

/// Moments tried to find one in which both parties of a delegation have access.
const JOINT_MAX: usize = 32;

/// A line of access.
#[derive(Debug)]
pub(crate) struct Access {
    pub groups: Box<[Arc<str>]>,
    pub subjects: Box<[Arc<str>]>,
    pub places: Places,
    pub schedule: Schedule,
    /// As written, for people.
    pub hours: Box<[Arc<str>]>,
    pub at: Location,
}

impl Access {
    /// Whether the line concerns one party; both keys must hold where both are given.
    pub fn names(&self, subject: &Arc<str>, groups: &[Arc<str>]) -> bool {
        let everyone = self.subjects.iter().any(|name| &**name == "*");
        meets(&self.groups, groups.iter())
            && (everyone || meets(&self.subjects, std::iter::once(subject)))
            && !(self.groups.is_empty() && self.subjects.is_empty())
    }
}

/// Access that somebody was given until a moment, beside the lines of the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemporaryAccess {
    /// Who has it.
    pub subject: Arc<str>,
    /// Who vouches for them: another issuer's subject of that name is somebody else.
    pub issuer: Arc<str>,
    /// Who made their token, if somebody did: whoever makes tokens does not come in by what was
    /// given to somebody else's.
    pub minted_by: Option<Arc<str>>,
    /// To what.
    pub resource: Arc<str>,
    /// Until then, exclusively.
    pub until: Timestamp,
}

/// Whether a principal may reach a resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// They may. At `until` it has to be asked again, which need not be the end; `None`: as long as
    /// the policy is in force.
    Open {
        /// When to ask again.
        until: Option<Timestamp>,
    },
    /// Lines that name them grant it at other times.
    Closed {
        /// When it is open next.
        opens: Timestamp,
    },
    /// No line grants it, or none does any more.
    Never,
}

impl Admission {
    /// Of two grants to the same party: whichever is better.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open { until: Some(a) }, Self::Open { until: Some(b) }) => {
                Self::Open { until: Some(a.max(b)) }
            }
            (Self::Open { .. }, Self::Open { .. }) => Self::Open { until: None },
            (open @ Self::Open { .. }, _) | (_, open @ Self::Open { .. }) => open,
            (Self::Closed { opens: a }, Self::Closed { opens: b }) => {
                Self::Closed { opens: a.min(b) }
            }
            (closed @ Self::Closed { .. }, _) | (_, closed) => closed,
        }
    }

    /// Of two parties who both need it: whatever is worse.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::Closed { opens: a }, Self::Closed { opens: b }) => {
                Self::Closed { opens: a.max(b) }
            }
            (closed @ Self::Closed { .. }, _) | (_, closed @ Self::Closed { .. }) => closed,
            (Self::Open { until: a }, Self::Open { until: b }) => {
                Self::Open { until: a.into_iter().chain(b).min() }
            }
        }
    }

    /// The refusal of whoever is not let in. When access opens again is told only to those whom a
    /// line names.
    #[must_use]
    pub fn refusal(self, subject: &str, resource: &str) -> Refusal {
        match self {
            Self::Closed { opens } => {
                let opens = show_time(opens.0);
                let words = format!(
                    "\"{subject}\" may not use \"{resource}\" now: access opens again at {opens}"
                );
                Refusal::unjudgeable(reason::ACCESS_CLOSED, ClientText::composed(words))
            }
            Self::Never | Self::Open { .. } => {
                let words =
                    format!("\"{subject}\" may not use \"{resource}\": no access line grants it");
                Refusal::unjudgeable(reason::NO_ACCESS, ClientText::composed(words))
            }
        }
    }
}

impl PolicySet {
    /// Whether access is granted at a moment; with delegation both parties must be granted (R12),
    /// each by a line of its own.
    #[must_use]
    pub fn admits(&self, principal: &Principal, resource: &Resource, now: Timestamp) -> bool {
        matches!(self.admission(principal, resource, now), Admission::Open { .. })
    }

    /// As [`Self::admits`], and until when, or from when on.
    #[must_use]
    pub fn admission(
        &self,
        principal: &Principal,
        resource: &Resource,
        now: Timestamp,
    ) -> Admission {
        let mut at = now;
        for _ in 0..JOINT_MAX {
            match self.admission_at(principal, resource, at) {
                Admission::Closed { opens } => at = opens,
                Admission::Open { .. } if at > now => return Admission::Closed { opens: at },
                settled => return settled,
            }
        }
        Admission::Never
    }

    /// The lines that concern a resource, in the order of the configuration.
    pub fn lines<'a>(&'a self, resource: &'a Resource) -> impl Iterator<Item = AccessLine<'a>> {
        self.access.iter().filter(|line| line.places.include(resource)).map(AccessLine)
    }

    fn admission_at(
        &self,
        principal: &Principal,
        resource: &Resource,
        now: Timestamp,
    ) -> Admission {
        let party = |subject, groups: &[Arc<str>]| {
            let lines = self.access.iter().filter(|line| line.places.include(resource));
            let lines = lines.filter(|line| line.names(subject, groups));
            let given = self.temporary.iter().filter(|given| {
                given.subject == *subject
                    && given.issuer == principal.issuer
                    && given.minted_by == principal.minted_by
                    && given.resource == resource.name
                    && now < given.until
            });
            let given = given.map(|given| Admission::Open { until: Some(given.until) });
            lines
                .map(|line| line.schedule.at(now))
                .chain(given)
                .fold(Admission::Never, Admission::or)
        };
        let own = party(&principal.subject, &principal.groups);
        match &principal.on_behalf_of {
            Some(other) => own.and(party(other, &principal.on_behalf_of_groups)),
            None => own,
        }
    }
}

/// A line of access, as the configuration has it.
#[derive(Clone, Copy, Debug)]
pub struct AccessLine<'a>(&'a Access);

impl<'a> AccessLine<'a> {
    /// Whether it concerns one party.
    #[must_use]
    pub fn names(&self, subject: &Arc<str>, groups: &[Arc<str>]) -> bool {
        self.0.names(subject, groups)
    }

    /// Whether it grants at a moment what it grants, and when that changes.
    #[must_use]
    pub fn admission(&self, now: Timestamp) -> Admission {
        self.0.schedule.at(now)
    }

    /// Members of any of these groups.
    #[must_use]
    pub fn groups(&self) -> &'a [Arc<str>] {
        &self.0.groups
    }

    /// These subjects; `*` is everyone.
    #[must_use]
    pub fn subjects(&self) -> &'a [Arc<str>] {
        &self.0.subjects
    }

    /// Its hours, as written; none: always.
    #[must_use]
    pub fn hours(&self) -> &'a [Arc<str>] {
        &self.0.hours
    }

    /// Whose clocks they go by.
    #[must_use]
    pub fn timezone(&self) -> Option<&'a str> {
        self.0.schedule.zone.as_ref()?.iana_name()
    }

    /// From when on it never grants anything again.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.0.schedule.until
    }

    /// Where it stands.
    #[must_use]
    pub fn at(&self) -> &'a Location {
        &self.0.at
    }
}

impl Schedule {
    fn at(&self, now: Timestamp) -> Admission {
        match self.open(now) {
            Some(until) => Admission::Open { until },
            None => self.opens(now).map_or(Admission::Never, |opens| Admission::Closed { opens }),
        }
    }
}
