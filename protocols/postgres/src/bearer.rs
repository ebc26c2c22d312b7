//! OAUTHBEARER: a token as a SASL message instead of a password (RFC 7628; PostgreSQL 18, "SASL
//! OAUTHBEARER Authentication").
//!
//! The server chooses the method before it knows what the client can do, so a client says that it
//! wants this one: `options=-c narrows.auth=oauth` (ADR 0008).

use bytes::{BufMut, Bytes};
use engine::Fault;
use model::{Offer, Secret, Side};

use crate::message::{Frame, Reader, message, put_cstr};
use crate::startup::{Start, option_settings};

const MECHANISM: &str = "OAUTHBEARER";
/// `kvsep`.
const SEPARATOR: u8 = 0x01;
/// The setting by which a client asks for it; it is the gateway's own and goes no further.
pub(crate) const SETTING: &str = "narrows.auth";

/// A way to send a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Password,
    Bearer,
}

/// The way that the client asks for, if it does.
///
/// # Errors
/// What it asked for is not known.
pub(crate) fn wanted(start: &Start) -> Result<Option<Way>, String> {
    let settings = start.parameter("options").and_then(option_settings).unwrap_or_default();
    let given = settings.into_iter().rev().find(|(name, _)| name == SETTING);
    match given.as_ref().map(|(_, value)| value.as_str()) {
        None => Ok(None),
        Some("password") => Ok(Some(Way::Password)),
        Some("oauth") => Ok(Some(Way::Bearer)),
        Some(other) => Err(other.chars().take(20).collect()),
    }
}

/// `AuthenticationSASL`, with this one mechanism.
pub(crate) fn ask() -> Bytes {
    message(b'R', |out| {
        out.put_u32(10);
        put_cstr(out, MECHANISM.as_bytes());
        out.put_u8(0);
    })
}

/// `AuthenticationSASLContinue` with the reason why a token is not taken, and where to get another
/// (RFC 7628, section 3.2.2).
pub(crate) fn not_taken(offer: &Offer) -> Bytes {
    let failure = serde_json::json!({
        "status": "invalid_token",
        "scope": offer.scope,
        "openid-configuration": offer.configuration,
    });
    message(b'R', |out| {
        out.put_u32(11);
        out.put_slice(failure.to_string().as_bytes());
    })
}

/// The client's answer to that: it has understood (section 3.2.3).
///
/// # Errors
/// The client's: it says something else.
pub(crate) fn acknowledged(frame: &Frame) -> Result<(), Fault> {
    match (frame.tag, frame.body()) {
        (b'p', [SEPARATOR]) => Ok(()),
        _ => Err(Fault::client("expected the end of the OAUTHBEARER exchange")),
    }
}

/// The token in a `SASLInitialResponse`; `None` when the client has none and asks where to get one.
///
/// # Errors
/// The client's: another message, another mechanism, channel binding (which this mechanism does not
/// have), another's identity, or not the form of RFC 7628, section 3.1.
pub(crate) fn token(frame: &Frame) -> Result<Option<Secret<String>>, Fault> {
    if frame.tag != b'p' {
        return Err(Fault::client("expected the initial SASL response"));
    }
    let mut reader = Reader::new(frame.body(), Side::Client);
    if reader.cstr()? != MECHANISM.as_bytes() {
        return Err(Fault::client("a SASL mechanism that was not offered"));
    }
    let length = usize::try_from(reader.i32()?);
    let length = length.map_err(|_| Fault::client("no initial SASL response"))?;
    let response = reader.bytes(length)?;
    reader.end()?;
    bearer(response)
}

fn bearer(response: &[u8]) -> Result<Option<Secret<String>>, Fault> {
    let malformed = || Fault::client("malformed OAUTHBEARER message");
    // gs2-header kvsep *kvpair kvsep
    let rest = match response {
        [b'n' | b'y', b',', b',', SEPARATOR, rest @ ..] => rest,
        [b'p', ..] => return Err(Fault::client("OAUTHBEARER has no channel binding")),
        [b'n' | b'y', b',', b'a', ..] => {
            return Err(Fault::client("OAUTHBEARER for another identity is not supported"));
        }
        _ => return Err(malformed()),
    };
    let pairs = rest.strip_suffix(&[SEPARATOR]).ok_or_else(malformed)?;
    let pairs = match pairs {
        [] => return Err(malformed()),
        pairs => pairs.strip_suffix(&[SEPARATOR]).ok_or_else(malformed)?,
    };
    let mut auth = None;
    for pair in pairs.split(|byte| *byte == SEPARATOR) {
        let equals = pair.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        let (name, value) = pair.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        let is_text = |byte: &u8| matches!(byte, 0x20..=0x7e | b'\t' | b'\r' | b'\n');
        if name.is_empty()
            || !name.iter().all(u8::is_ascii_alphabetic)
            || !value.iter().all(is_text)
        {
            return Err(malformed());
        }
        if name == b"auth" && auth.replace(value).is_some() {
            return Err(malformed());
        }
    }
    let Some(auth) = auth else { return Err(malformed()) };
    if auth.is_empty() {
        return Ok(None);
    }
    let scheme = auth.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case(b"Bearer"));
    let token = scheme.and(auth.get(6..)).unwrap_or_default();
    let blanks = token.iter().take_while(|byte| **byte == b' ').count();
    let token = token.get(blanks..).unwrap_or_default();
    // b64token of RFC 6750, section 2.1.
    let is_token = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
    };
    if blanks == 0 || token.is_empty() || !token.iter().all(is_token) {
        return Err(Fault::client(
            "expected \"auth=Bearer\" and a token in the OAUTHBEARER message",
        ));
    }
    Ok(Some(Secret::new(String::from_utf8_lossy(token).into_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: &[u8]) -> Result<Option<String>, &'static str> {
        let token = bearer(response).map_err(|fault| fault.what);
        token.map(|token| token.map(|token| token.expose().clone()))
    }

    #[test]
    fn the_token_is_read_and_nothing_else_is_taken_for_one() {
        assert_eq!(
            read(b"n,,\x01auth=Bearer nrw_a.b-c~d+/=\x01\x01"),
            Ok(Some("nrw_a.b-c~d+/=".into()))
        );
        assert_eq!(
            read(b"y,,\x01host=x\x01auth=bearer  t\x01port=1\x01\x01"),
            Ok(Some("t".into()))
        );
        assert_eq!(read(b"n,,\x01auth=\x01\x01"), Ok(None), "it asks where to get one");
        for wrong in [
            &b""[..],
            b"\x01",
            b"n,,\x01\x01",
            b"n,,\x01auth=Bearer t\x01",
            b"n,,\x01auth=Bearer t",
            b"n,,auth=Bearer t\x01\x01",
            b"n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01",
            b"n,,\x01auth=Basic dTpw\x01\x01",
            b"n,,\x01auth=Bearer\x01\x01",
            b"n,,\x01auth=Bearert\x01\x01",
            b"n,,\x01auth=Bearer a b\x01\x01",
            b"n,,\x01auth=Bearer \xff\x01\x01",
            b"n,,\x01host=x\x01\x01",
            b"n,,\x01=x\x01auth=Bearer t\x01\x01",
            b"n,a=root,\x01auth=Bearer t\x01\x01",
            b"p=tls-server-end-point,,\x01auth=Bearer t\x01\x01",
        ] {
            assert!(read(wrong).is_err(), "{}", wrong.escape_ascii());
        }
    }
}
