//! Whether an answer is for us, now, and to what was asked (SAML Profiles section 4.1.4.3).

use jiff::Timestamp as Moment;
use model::Timestamp;
use uppsala::{Document, NodeId};

use crate::fault::{Fault, clipped};
use crate::plan::{ProviderPlan, Service};
use crate::provider::Expected;
use crate::signature::Signed;
use crate::tree::{
    ASSERTION, PROTOCOL, all, attribute, children, is, name_of, one, parse, root, the, token,
};

const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";
/// Longest an assertion may be good for, seconds: so long it has to be remembered.
const VALID_SECONDS_MAX: u64 = 24 * 60 * 60;
/// Attributes of one assertion, and values of all of them.
const ATTRIBUTES_MAX: usize = 512;
const VALUES_MAX: usize = 4_096;

/// Everything that an answer is compared with.
pub(crate) struct Answer<'a> {
    pub plan: &'a ProviderPlan,
    pub service: &'a Service,
    pub now: Timestamp,
    pub expected: Expected<'a>,
}

/// What a signed assertion says.
pub(crate) struct Proved {
    pub id: String,
    /// When it cannot be used any more.
    pub until: Timestamp,
    pub name_id: Option<NameId>,
    pub attributes: Vec<(String, Vec<String>)>,
    pub session_index: Option<String>,
    pub session_until: Option<Timestamp>,
}

/// A name of the person.
pub(crate) struct NameId {
    pub value: String,
    pub format: String,
}

impl Answer<'_> {
    /// What the answer says before anything of it is proved: whether it is worth the trouble, and
    /// what the provider has to say if it is not. Whoever could change it could only have it
    /// refused.
    pub fn look_at(&self, document: &[u8]) -> Result<(), Fault> {
        let document = parse(document)?;
        let answer = root(&document)?;
        self.envelope(&document, answer, Destination::May)
    }

    /// What the signed part says, if all of it is right.
    pub fn check(&self, signed: &Signed) -> Result<Proved, Fault> {
        let document = parse(&signed.octets)?;
        let top = root(&document)?;
        let assertion = if signed.whole {
            self.envelope(&document, top, Destination::Must)?;
            the(&document, top, (ASSERTION, "Assertion"))?
        } else {
            top
        };
        if !is(&document, assertion, ASSERTION, "Assertion") {
            return Err(Fault::Missing("Assertion"));
        }
        self.assertion(&document, assertion)
    }

    fn envelope(
        &self,
        document: &Document<'_>,
        answer: NodeId,
        destination: Destination,
    ) -> Result<(), Fault> {
        if !is(document, answer, PROTOCOL, "Response") {
            let message = format!("it is a {}, and no Response", name_of(document, answer));
            return Err(Fault::Malformed(message));
        }
        version(document, answer)?;
        match attribute(document, answer, "Destination") {
            Some(found) => self.place("Destination", found)?,
            // SAML Bindings section 3.5.5.2: what is signed says where it is to be sent.
            None if destination == Destination::Must => return Err(Fault::Missing("Destination")),
            None => {}
        }
        if let Some(issuer) = one(document, answer, (ASSERTION, "Issuer"))? {
            self.issuer(document, issuer)?;
        }
        self.answers(attribute(document, answer, "InResponseTo"))?;
        self.issued(document, answer)?;
        status(document, answer)
    }

    fn assertion(&self, document: &Document<'_>, assertion: NodeId) -> Result<Proved, Fault> {
        version(document, assertion)?;
        let id = attribute(document, assertion, "ID").ok_or(Fault::Missing("ID"))?.to_owned();
        self.issued(document, assertion)?;
        self.issuer(document, the(document, assertion, (ASSERTION, "Issuer"))?)?;
        let subject = the(document, assertion, (ASSERTION, "Subject"))?;
        let confirmed = self.confirmed(document, subject)?;
        let conditions = the(document, assertion, (ASSERTION, "Conditions"))?;
        let until = self.conditions(document, conditions)?.map_or(confirmed, |one| {
            // Either end makes it unusable; what is remembered is remembered to the later one.
            one.max(confirmed)
        });
        if until > self.now.plus(std::time::Duration::from_secs(VALID_SECONDS_MAX)) {
            return Err(Fault::Long);
        }
        let (session_index, session_until) = self.session(document, assertion)?;
        Ok(Proved {
            id,
            until,
            name_id: name_id(document, subject)?,
            attributes: attributes(document, assertion)?,
            session_index,
            session_until,
        })
    }

    fn place(&self, what: &'static str, found: &str) -> Result<(), Fault> {
        let wanted = self.service.acs.as_str();
        match found == wanted {
            true => Ok(()),
            false => Err(Fault::Place { what, found: clipped(found), wanted: wanted.to_owned() }),
        }
    }

    fn issuer(&self, document: &Document<'_>, issuer: NodeId) -> Result<(), Fault> {
        let found = token(document, issuer)?;
        let entity = attribute(document, issuer, "Format").is_none_or(|format| format == ENTITY);
        match found == self.plan.entity_id && entity {
            true => Ok(()),
            false => {
                Err(Fault::Issuer { found: clipped(&found), wanted: self.plan.entity_id.clone() })
            }
        }
    }

    fn answers(&self, found: Option<&str>) -> Result<(), Fault> {
        match (self.expected, found) {
            (Expected::Request(asked), Some(found)) if asked == found => Ok(()),
            (Expected::Nothing, None) if self.plan.idp_initiated => Ok(()),
            (Expected::Nothing, None) => Err(Fault::Unsolicited),
            (expected, found) => Err(Fault::InResponseTo {
                found: found.map_or_else(|| "nothing".to_owned(), clipped),
                wanted: match expected {
                    Expected::Request(asked) => asked.to_owned(),
                    Expected::Nothing => "nothing".to_owned(),
                },
            }),
        }
    }

    fn issued(&self, document: &Document<'_>, node: NodeId) -> Result<(), Fault> {
        let issued =
            moment(document, node, "IssueInstant")?.ok_or(Fault::Missing("IssueInstant"))?;
        self.has_begun("IssueInstant", issued)
    }

    fn has_begun(&self, what: &'static str, from: Timestamp) -> Result<(), Fault> {
        match from > self.now.plus(self.plan.clock_skew) {
            true => Err(Fault::Early { what, seconds: from.since(self.now).as_secs() }),
            false => Ok(()),
        }
    }

    /// The end as it counts here: with what the clocks may differ by.
    fn is_not_over(&self, what: &'static str, until: Timestamp) -> Result<Timestamp, Fault> {
        let until = until.plus(self.plan.clock_skew);
        match self.now < until {
            true => Ok(until),
            false => Err(Fault::Late { what, seconds: self.now.since(until).as_secs() }),
        }
    }

    /// Until when the bearer may come, by the first confirmation that fits.
    fn confirmed(&self, document: &Document<'_>, subject: NodeId) -> Result<Timestamp, Fault> {
        let mut first = None;
        for confirmation in all(document, subject, ASSERTION, "SubjectConfirmation") {
            if attribute(document, confirmation, "Method") != Some(BEARER) {
                continue;
            }
            match self.bearer(document, confirmation) {
                Ok(until) => return Ok(until),
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        Err(first.unwrap_or(Fault::Missing("SubjectConfirmation of the method bearer")))
    }

    fn bearer(&self, document: &Document<'_>, confirmation: NodeId) -> Result<Timestamp, Fault> {
        let data = the(document, confirmation, (ASSERTION, "SubjectConfirmationData"))?;
        let recipient = attribute(document, data, "Recipient");
        self.place("Recipient", recipient.ok_or(Fault::Missing("Recipient"))?)?;
        self.answers(attribute(document, data, "InResponseTo"))?;
        if let Some(from) = moment(document, data, "NotBefore")? {
            self.has_begun("NotBefore", from)?;
        }
        let until =
            moment(document, data, "NotOnOrAfter")?.ok_or(Fault::Missing("NotOnOrAfter"))?;
        self.is_not_over("NotOnOrAfter", until)
    }

    /// Until when, if the conditions say so (SAML Core section 2.5.1).
    fn conditions(
        &self,
        document: &Document<'_>,
        conditions: NodeId,
    ) -> Result<Option<Timestamp>, Fault> {
        if let Some(from) = moment(document, conditions, "NotBefore")? {
            self.has_begun("NotBefore", from)?;
        }
        let until = moment(document, conditions, "NotOnOrAfter")?
            .map(|until| self.is_not_over("NotOnOrAfter", until))
            .transpose()?;
        let mut restricted = false;
        for condition in children(document, conditions) {
            let known = |name| is(document, condition, ASSERTION, name);
            if known("AudienceRestriction") {
                self.audience(document, condition)?;
                restricted = true;
            } else if !known("OneTimeUse") && !known("ProxyRestriction") {
                // It is used once anyway, and nobody is told of it.
                return Err(Fault::Condition(name_of(document, condition)));
            }
        }
        match restricted {
            true => Ok(until),
            false => Err(Fault::Missing("AudienceRestriction")),
        }
    }

    fn audience(&self, document: &Document<'_>, restriction: NodeId) -> Result<(), Fault> {
        let found: Result<Vec<String>, Fault> = all(document, restriction, ASSERTION, "Audience")
            .into_iter()
            .map(|one| token(document, one))
            .collect();
        let found = found?;
        match found.contains(&self.service.entity_id) {
            true => Ok(()),
            false => Err(Fault::Audience {
                found: clipped(&found.join(", ")),
                wanted: self.service.entity_id.clone(),
            }),
        }
    }

    /// The provider's own session, by whichever statement ends it first.
    fn session(
        &self,
        document: &Document<'_>,
        assertion: NodeId,
    ) -> Result<(Option<String>, Option<Timestamp>), Fault> {
        let statements = all(document, assertion, ASSERTION, "AuthnStatement");
        let (mut index, mut until) = (None, None);
        if statements.is_empty() {
            return Err(Fault::Missing("AuthnStatement"));
        }
        for statement in statements {
            if let Some(from) = moment(document, statement, "AuthnInstant")? {
                self.has_begun("AuthnInstant", from)?;
            }
            if let Some(end) = moment(document, statement, "SessionNotOnOrAfter")? {
                let end = self.is_not_over("SessionNotOnOrAfter", end)?;
                until = Some(until.map_or(end, |one: Timestamp| one.min(end)));
            }
            let named = attribute(document, statement, "SessionIndex").map(str::to_owned);
            index = index.or(named);
        }
        Ok((index, until))
    }
}

/// Whether an answer has to say where it is sent.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Destination {
    May,
    Must,
}

fn version(document: &Document<'_>, node: NodeId) -> Result<(), Fault> {
    match attribute(document, node, "Version") {
        Some("2.0") => Ok(()),
        other => {
            let found = clipped(other.unwrap_or_default());
            Err(Fault::Malformed(format!("its version is {found:?}; it should be 2.0")))
        }
    }
}

fn status(document: &Document<'_>, answer: NodeId) -> Result<(), Fault> {
    let status = the(document, answer, (PROTOCOL, "Status"))?;
    let code = the(document, status, (PROTOCOL, "StatusCode"))?;
    let value = attribute(document, code, "Value").unwrap_or_default();
    if value == SUCCESS {
        return Ok(());
    }
    let short = |value: &str| clipped(value.rsplit(':').next().unwrap_or_default());
    let mut said = short(value);
    if let Some(inner) = one(document, code, (PROTOCOL, "StatusCode"))? {
        said =
            format!("{said}, {}", short(attribute(document, inner, "Value").unwrap_or_default()));
    }
    if let Some(message) = one(document, status, (PROTOCOL, "StatusMessage"))? {
        said = format!("{said}: {}", clipped(&token(document, message)?));
    }
    Err(Fault::Status(said))
}

/// A time (SAML Core section 1.3.3: in UTC).
fn moment(
    document: &Document<'_>,
    node: NodeId,
    name: &'static str,
) -> Result<Option<Timestamp>, Fault> {
    let Some(written) = attribute(document, node, name) else { return Ok(None) };
    let wrong = || Fault::Malformed(format!("its {name} is {:?}", clipped(written)));
    let moment: Moment = written.trim_ascii().parse().map_err(|_| wrong())?;
    let nanos = u64::try_from(moment.as_nanosecond()).map_err(|_| wrong())?;
    Ok(Some(Timestamp(nanos)))
}

fn name_id(document: &Document<'_>, subject: NodeId) -> Result<Option<NameId>, Fault> {
    if one(document, subject, (ASSERTION, "EncryptedID"))?.is_some() {
        return Err(Fault::Encrypted);
    }
    let Some(name) = one(document, subject, (ASSERTION, "NameID"))? else { return Ok(None) };
    let format = attribute(document, name, "Format").unwrap_or_default().to_owned();
    Ok(Some(NameId { value: crate::tree::text(document, name)?, format }))
}

/// The attributes, by their `Name`. Values that are more than text are left out: they are nobody's
/// subject and no group, unless the plan names them, and then they are missed.
fn attributes(
    document: &Document<'_>,
    assertion: NodeId,
) -> Result<Vec<(String, Vec<String>)>, Fault> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut values = 0_usize;
    for statement in all(document, assertion, ASSERTION, "AttributeStatement") {
        if one(document, statement, (ASSERTION, "EncryptedAttribute"))?.is_some() {
            return Err(Fault::Encrypted);
        }
        for node in all(document, statement, ASSERTION, "Attribute") {
            let name = attribute(document, node, "Name").ok_or(Fault::Missing("Name"))?;
            let texts: Vec<String> = all(document, node, ASSERTION, "AttributeValue")
                .into_iter()
                .map(|value| value_of(document, value))
                .collect();
            values += texts.len();
            if found.len() == ATTRIBUTES_MAX || values > VALUES_MAX {
                return Err(Fault::Malformed("it has too many attributes".to_owned()));
            }
            found.push((name.to_owned(), texts));
        }
    }
    Ok(found)
}

/// The text of a value; of one that is no text, something that nothing is called.
fn value_of(document: &Document<'_>, value: NodeId) -> String {
    crate::tree::text(document, value).unwrap_or_else(|_| NO_TEXT.to_owned())
}

/// Stands for a value that is no text. No text in XML can hold it.
pub(crate) const NO_TEXT: &str = "\u{0}";
