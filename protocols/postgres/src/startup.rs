//! What a client says before it is known: encryption requests, cancel requests, start-up.
//!
//! PostgreSQL 17, "Message Flow", sections "Start-up", "SSL Session Encryption", "GSSAPI Session
//! Encryption" and "Canceling Requests in Progress".

use bytes::{BufMut, Bytes};
use engine::Fault;
use model::Side;
use model::limit::STARTUP_BYTES_MAX;

use crate::message::{Inbox, Reader, message, put_cstr};

/// Protocol 3.0.
pub const VERSION_3_0: u32 = 3 << 16;
/// Protocol 3.2, of PostgreSQL 18: longer cancel keys.
pub const VERSION_3_2: u32 = (3 << 16) | 2;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSS_ENCRYPTION_REQUEST: u32 = (1234 << 16) | 5680;
const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;

/// One message of a client that is not known yet.
#[derive(Debug, Eq, PartialEq)]
pub enum Opening {
    /// It wants the running operation of another session stopped. The key as sent; only keys of
    /// eight bytes are ours.
    Cancel(Option<[u8; 8]>),
    /// It wants GSSAPI encryption.
    GssEncryption,
    /// It wants to log in.
    Start(Start),
    /// It wants TLS.
    Tls,
}

/// A start-up message.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Start {
    /// The protocol version asked for.
    pub version: u32,
    /// Parameters in the order sent.
    pub parameters: Vec<(String, String)>,
}

impl Start {
    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Protocol options (`_pq_.…`) the client asked for; none are known.
    pub fn protocol_options(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(key, _)| key.as_str()).filter(|key| key.starts_with("_pq_."))
    }
}

/// What came first is no start-up message. PostgreSQL then closes without a word, and drivers that
/// leave before they log in count on it.
pub const IMPOSSIBLE_LENGTH: Fault =
    Fault { side: Side::Client, what: "start-up message of impossible length" };

/// Takes the next message, if it is whole.
///
/// # Errors
/// The client's: a length or version that cannot be, a message that is not what its code says, text
/// that is not UTF-8.
pub fn opening(inbox: &mut Inbox) -> Result<Option<Opening>, Fault> {
    let Some(&head) = inbox.peek().first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(head) as usize;
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(IMPOSSIBLE_LENGTH);
    }
    if inbox.len() < length {
        return Ok(None);
    }
    let whole = inbox.take(length);
    let mut reader = Reader::new(whole.get(4..).unwrap_or_default(), Side::Client);
    let code = reader.u32()?;
    match code {
        SSL_REQUEST => Ok(Some(Opening::Tls)),
        GSS_ENCRYPTION_REQUEST => Ok(Some(Opening::GssEncryption)),
        CANCEL_REQUEST => Ok(Some(Opening::Cancel(reader.rest().try_into().ok()))),
        version if version >> 16 == 3 => {
            Ok(Some(Opening::Start(Start { version, parameters: parameters(reader)? })))
        }
        _ => Err(Fault::client("unsupported protocol version")),
    }
}

fn parameters(mut reader: Reader<'_>) -> Result<Vec<(String, String)>, Fault> {
    let mut parameters = Vec::new();
    loop {
        let name = text(reader.cstr()?)?;
        if name.is_empty() {
            reader.end()?;
            return Ok(parameters);
        }
        parameters.push((name, text(reader.cstr()?)?));
    }
}

fn text(bytes: &[u8]) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Fault::client("start-up text is not UTF-8"))
}

/// Splits `options` (`-c name=value --name=value`) into settings, as PostgreSQL does: words are
/// separated by blanks, a backslash takes the next character as it is.
///
/// `None` when a word is not a setting; such options are refused, because what they do is unknown.
#[must_use]
pub fn option_settings(options: &str) -> Option<Vec<(String, String)>> {
    let mut settings = Vec::new();
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let setting = if let Some(rest) = word.strip_prefix("--") {
            rest.to_owned()
        } else if word == "-c" {
            words.next()?
        } else {
            word.strip_prefix("-c")?.to_owned()
        };
        let (name, value) = setting.split_once('=')?;
        settings.push((name.replace('-', "_").to_ascii_lowercase(), value.to_owned()));
    }
    Some(settings)
}

fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_with(String::new).extend(characters.next()),
            blank if blank.is_ascii_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_with(String::new).push(other),
        }
    }
    words.extend(word);
    words
}

/// `AuthenticationCleartextPassword`.
#[must_use]
pub fn ask_password() -> Bytes {
    message(b'R', |out| out.put_u32(3))
}

/// `AuthenticationOk`.
#[must_use]
pub fn authentication_ok() -> Bytes {
    message(b'R', |out| out.put_u32(0))
}

/// `NegotiateProtocolVersion`: the newest minor version spoken, and the options not known.
#[must_use]
pub fn negotiate<'a>(newest: u32, unknown: impl Iterator<Item = &'a str>) -> Bytes {
    let unknown: Vec<_> = unknown.collect();
    message(b'v', |out| {
        out.put_u32(newest);
        out.put_u32(u32::try_from(unknown.len()).unwrap_or(u32::MAX));
        for name in unknown {
            put_cstr(out, name.as_bytes());
        }
    })
}

/// `ParameterStatus`.
#[must_use]
pub fn parameter_status(name: &str, value: &str) -> Bytes {
    message(b'S', |out| {
        put_cstr(out, name.as_bytes());
        put_cstr(out, value.as_bytes());
    })
}

/// `BackendKeyData`.
#[must_use]
pub fn backend_key(key: [u8; 8]) -> Bytes {
    message(b'K', |out| out.put_slice(&key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::write_untagged;

    fn inbox(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::default();
        inbox.push(&Bytes::copy_from_slice(bytes));
        inbox
    }

    fn start(version: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
        let mut out = bytes::BytesMut::new();
        write_untagged(&mut out, |out| {
            out.put_u32(version);
            for (key, value) in parameters {
                put_cstr(out, key.as_bytes());
                put_cstr(out, value.as_bytes());
            }
            out.put_u8(0);
        });
        out.to_vec()
    }

    #[test]
    fn a_start_up_message_is_read_at_any_cut() {
        let whole = start(VERSION_3_0, &[("user", "ada"), ("database", "appdb")]);
        for cut in 0..whole.len() {
            assert_eq!(opening(&mut inbox(&whole[..cut])), Ok(None), "cut at {cut}");
        }
        let Ok(Some(Opening::Start(start))) = opening(&mut inbox(&whole)) else { panic!() };
        assert_eq!(start.parameter("database"), Some("appdb"));
    }

    #[test]
    fn impossible_lengths_are_faults() {
        for length in [0_u32, 7, 10_001, u32::MAX] {
            assert!(opening(&mut inbox(&length.to_be_bytes())).is_err(), "{length}");
        }
        let limit = u32::try_from(STARTUP_BYTES_MAX).unwrap();
        assert_eq!(opening(&mut inbox(&limit.to_be_bytes())), Ok(None));
    }

    #[test]
    fn parameters_must_end() {
        let mut bytes = start(VERSION_3_0, &[("user", "ada")]);
        let last = bytes.len() - 1;
        bytes[last] = b'x';
        assert!(opening(&mut inbox(&bytes)).is_err());
    }

    #[test]
    fn options_are_split_as_postgresql_does() {
        let settings = option_settings("-c search_path=a\\ b --geqo=off -cwork_mem=4MB").unwrap();
        let names: Vec<_> = settings.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(names, ["search_path=a b", "geqo=off", "work_mem=4MB"]);
        assert_eq!(option_settings("-f nl"), None);
        assert_eq!(option_settings("-c role"), None);
        assert_eq!(option_settings("").map(|s| s.len()), Some(0));
    }

    #[test]
    fn a_cancel_request_carries_its_key() {
        let mut bytes = 16_u32.to_be_bytes().to_vec();
        bytes.extend(CANCEL_REQUEST.to_be_bytes());
        bytes.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            opening(&mut inbox(&bytes)),
            Ok(Some(Opening::Cancel(Some([1, 2, 3, 4, 5, 6, 7, 8]))))
        );
    }
}
