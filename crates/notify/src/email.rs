//! A message by e-mail, over SMTP.

use std::fmt;
use std::time::{Duration, SystemTime};

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport as _};
use model::{Secret, Timestamp};
use stream::{SendError, Trust, UnusableSink, clipped};

use crate::notice::{Notice, line};
use crate::worker::Way;

/// Time for each word with the server.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Letters of a subject.
const SUBJECT_CHARS_MAX: usize = 200;

/// How the connection to a server is protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Safety {
    /// Inside TLS from the beginning (`smtps`, RFC 8314).
    Tls,
    /// In clear text until STARTTLS, without which nothing is sent.
    StartTls,
    /// With STARTTLS if the server has it: for this machine only.
    StartTlsIfOffered,
}

/// The account at a server.
#[derive(Debug)]
pub struct Account {
    /// Its name.
    pub user: String,
    /// Its password.
    pub password: Secret<String>,
}

/// Mailboxes that are written to.
pub struct Email {
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
    clock: fn() -> Timestamp,
}

/// Whether a text is an address to write to: `ann@example.org`, or `Ann <ann@example.org>`.
#[must_use]
pub fn is_mailbox(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

impl Email {
    /// Prepares to write through the server at `host` and `port`; `clock` tells the time.
    ///
    /// # Errors
    ///
    /// When an address is none, or there is nothing to trust.
    pub fn new(
        (host, port, safety): (&str, u16, Safety),
        trust: &Trust,
        account: Option<Account>,
        (from, to): (&str, &[String]),
        clock: fn() -> Timestamp,
    ) -> Result<Self, UnusableSink> {
        let mailbox = |text: &str| {
            let wrong =
                |_| UnusableSink(format!("{} is no address", line(text, SUBJECT_CHARS_MAX)));
            text.parse::<Mailbox>().map_err(wrong)
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let parameters = parameters(bare, trust)?;
        let tls = match safety {
            Safety::Tls => Tls::Wrapper(parameters),
            Safety::StartTls => Tls::Required(parameters),
            Safety::StartTlsIfOffered => Tls::Opportunistic(parameters),
        };
        let mut builder =
            SmtpTransport::builder_dangerous(bare).port(port).tls(tls).timeout(Some(TIMEOUT));
        if let Some(Account { user, password }) = account {
            builder = builder.credentials(Credentials::new(user, password.expose().clone()));
        }
        let to = to.iter().map(|one| mailbox(one)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { transport: builder.build(), from: mailbox(from)?, to, clock })
    }

    fn message(&self, notice: &Notice) -> Result<Message, lettre::error::Error> {
        let now = Duration::from_secs((self.clock)().seconds());
        let name = |word: &str| format!("<{}.{word}@{}>", notice.id, self.from.email.domain());
        let mut message = Message::builder()
            .from(self.from.clone())
            .date(SystemTime::UNIX_EPOCH + now)
            .subject(line(&format!("[narrows] {}", notice.title()), SUBJECT_CHARS_MAX))
            .message_id(Some(name(notice.word())));
        for to in &self.to {
            message = message.to(to.clone());
        }
        if !notice.waits() {
            // In one thread with the question.
            message = message.in_reply_to(name("requested")).references(name("requested"));
        }
        message.header(ContentType::TEXT_PLAIN).body(text(notice))
    }
}

/// What is trusted of servers, as elsewhere: the system's roots, and more from a file.
fn parameters(host: &str, trust: &Trust) -> Result<TlsParameters, UnusableSink> {
    let wrong = |error: lettre::transport::smtp::Error| UnusableSink(error.to_string());
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(more) = &trust.more {
        builder = builder.add_root_certificate(Certificate::from_pem(more).map_err(wrong)?);
    }
    builder.build_rustls().map_err(wrong)
}

/// The body: plain text, so that nothing in it can be more than text.
fn text(notice: &Notice) -> String {
    let mut text = format!("{}\n\n", notice.title());
    for (label, value) in notice.details() {
        text.push_str(&format!("{label}: {value}\n"));
    }
    text.push_str(&format!("\n{}:\n\n", notice.of_text()));
    for of_text in notice.operation.lines() {
        text.push_str(&format!("    {of_text}\n"));
    }
    if let Some(values) = notice.values() {
        text.push_str(&format!("\nValues: {values}\n"));
    }
    if notice.waits() {
        text.push_str(&format!(
            "\nTo answer:\n\n    {}\n    {}\n\nor {}\n",
            notice.approve, notice.deny, notice.url
        ));
    }
    text
}

impl Way for Email {
    fn tell(&mut self, notice: &Notice, _: Option<&str>) -> Result<String, SendError> {
        let message = self.message(notice);
        let message = message.map_err(|error| SendError::Refused(clipped(&error.to_string())))?;
        match self.transport.send(&message) {
            Ok(_) => Ok(String::new()),
            Err(error) => {
                let mut words = error.to_string();
                if let Some(source) = std::error::Error::source(&error) {
                    words.push_str(&format!(": {source}"));
                }
                // A server that wants an account or a way inside TLS says no for good too, and is
                // put right by its operator: so every no is tried again until its time is over.
                Err(SendError::away(clipped(&words)))
            }
        }
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email").field("to", &self.to.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Texts;
    use crate::notice::tests::new;
    use crate::worker::tests::Desk;

    #[test]
    fn a_message_has_the_question_and_no_header_that_somebody_else_wrote() {
        let desk = Desk::new();
        let mut ask = new("UPDATE pay SET card = 'x'\r\n.\r\nRCPT TO:<eve@example.org>");
        ask.resource = "shop\r\nBcc: eve@example.org".into();
        let id = desk.ask(ask);
        let approval = desk.approvals.approval(&id).unwrap().unwrap();
        let notice = Notice::of(&approval, Texts::Sent, "http://127.0.0.1:7070");
        let to = ["Dora <dora@example.org>".to_owned(), "dba@example.org".to_owned()];
        let server = ("127.0.0.1", 25, Safety::StartTlsIfOffered);
        let from = ("narrows@example.org", &to[..]);
        let email =
            Email::new(server, &Trust::default(), None, from, || Timestamp(1_000_000_000)).unwrap();
        let message = email.message(&notice).unwrap();
        let recipients = message.envelope().to();
        assert_eq!(recipients.len(), 2, "{recipients:?}");
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(!text.contains("\r\nBcc"), "{text}");
        assert!(text.contains(&format!("Message-ID: <{id}.requested@example.org>")), "{text}");
        assert!(text.contains("Date: Thu, 01 Jan 1970 00:00:01 +0000"), "{text}");
        let text = text.replace("=\r\n", "").replace("=3D", "=");
        assert!(text.contains(&format!("narrows approve {id}")), "{text}");
        assert!(text.contains("UPDATE pay SET card = 'x'"), "{text}");
    }

    #[test]
    fn an_address_is_a_mailbox() {
        for text in ["ann@example.org", "Ann Lee <ann@example.org>"] {
            assert!(is_mailbox(text), "{text}");
        }
        for text in ["", "ann", "ann@", "a@b, c@d", "ann@example.org\r\nBcc: eve@example.org"] {
            assert!(!is_mailbox(text), "{text}");
        }
    }
}
