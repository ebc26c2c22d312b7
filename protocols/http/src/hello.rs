//! The first thing a TLS client says (RFC 8446 section 4.1.2), of which one word is read: the name
//! of the server it means.
//!
//! Nothing else of a tunnel that is passed on unopened can be read, so this must have one meaning.
//! What hides the name (Encrypted Client Hello) or leaves it out is refused.

use crate::canonical::Malformed;

/// Longest hello, bytes, records and all. The longest of today have under 3 KiB.
pub const HELLO_BYTES_MAX: usize = 32 * 1024;

/// A handshake record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
/// Its longest content, bytes.
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// A client's hello among handshake messages.
const CLIENT_HELLO: u8 = 1;
/// Extensions (IANA, "TLS ExtensionType Values"): the server's name, and both ways to hide it.
const SERVER_NAME: u16 = 0;
const ENCRYPTED_HELLO: u16 = 0xfe0d;
const ENCRYPTED_NAME: u16 = 0xffce;
/// A name of type `host_name` (RFC 6066 section 3).
const HOST_NAME: u8 = 0;

const fn wrong(what: &'static str) -> Malformed {
    Malformed { reason: "not_tls", what }
}

const NOT_TLS: Malformed = wrong("what came through the tunnel is not the hello of a TLS client");
const LONG: Malformed = wrong("the TLS hello is longer than it may be");
const BROKEN: Malformed = wrong("the TLS hello is broken");
const UNNAMED: Malformed =
    Malformed { reason: "tls_name", what: "the TLS hello names no server, so it cannot be judged" };
const HIDDEN: Malformed = Malformed {
    reason: "tls_name",
    what: "the TLS hello is encrypted (ECH), so the server it means cannot be judged",
};

/// The name in a hello, in what came so far; `None` when more has to come.
///
/// # Errors
///
/// It is no hello of TLS, or not one that says which server it means.
pub fn server_name(sent: &[u8]) -> Result<Option<String>, Malformed> {
    let mut message = Vec::new();
    let mut rest = sent;
    let wanted = loop {
        if let Some(wanted) = wanted(&message)?
            && message.len() >= wanted
        {
            break wanted;
        }
        let Some((record, after)) = record(rest)? else {
            return if sent.len() < HELLO_BYTES_MAX { Ok(None) } else { Err(LONG) };
        };
        message.extend_from_slice(record);
        rest = after;
    };
    let hello = message.get(4..wanted).ok_or(BROKEN)?;
    // A second message would be sent before the server's answer, which no client does.
    if message.len() > wanted {
        return Err(BROKEN);
    }
    name(&mut Reader(hello)).map(Some)
}

/// How long a handshake message is, with its head; `None` when that has not come.
fn wanted(message: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut reader = Reader(message);
    match reader.u8() {
        Ok(CLIENT_HELLO) => {}
        Ok(_) => return Err(NOT_TLS),
        Err(_) => return Ok(None),
    }
    let Ok(length) = reader.u24() else { return Ok(None) };
    let wanted = length.saturating_add(4);
    if wanted > HELLO_BYTES_MAX { Err(LONG) } else { Ok(Some(wanted)) }
}

/// What a record holds, and what follows it.
type Record<'a> = (&'a [u8], &'a [u8]);

/// The first handshake record; `None` when not all of it came.
fn record(sent: &[u8]) -> Result<Option<Record<'_>>, Malformed> {
    let mut reader = Reader(sent);
    match (reader.u8(), reader.u8()) {
        (Ok(HANDSHAKE), Ok(3)) => {}
        (Ok(HANDSHAKE), Err(_)) | (Err(_), _) => return Ok(None),
        _ => return Err(NOT_TLS),
    }
    let (Ok(_minor), Ok(length)) = (reader.u8(), reader.u16()) else { return Ok(None) };
    let length = usize::from(length);
    if length == 0 || length > RECORD_BYTES_MAX {
        return Err(NOT_TLS);
    }
    Ok(reader.take(length).ok().map(|record| (record, reader.0)))
}

fn name(hello: &mut Reader<'_>) -> Result<String, Malformed> {
    // Version and random.
    if hello.u8()? != 3 {
        return Err(BROKEN);
    }
    hello.take(33)?;
    let session = hello.u8()?;
    hello.take(session.into())?;
    let suites = hello.u16()?;
    hello.take(suites.into())?;
    let compressions = hello.u8()?;
    hello.take(compressions.into())?;
    if hello.0.is_empty() {
        return Err(UNNAMED);
    }
    let length = hello.u16()?;
    let mut extensions = Reader(hello.take(length.into())?);
    if !hello.0.is_empty() {
        return Err(BROKEN);
    }
    let mut named = None;
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let length = extensions.u16()?;
        let content = extensions.take(length.into())?;
        match kind {
            ENCRYPTED_HELLO | ENCRYPTED_NAME => return Err(HIDDEN),
            SERVER_NAME if named.is_some() => return Err(BROKEN),
            SERVER_NAME => named = Some(listed(content)?),
            _ => {}
        }
    }
    named.ok_or(UNNAMED)
}

/// The one name of a list of names.
fn listed(content: &[u8]) -> Result<String, Malformed> {
    let mut reader = Reader(content);
    let length = reader.u16()?;
    let mut list = Reader(reader.take(length.into())?);
    if !reader.0.is_empty() || list.u8()? != HOST_NAME {
        return Err(BROKEN);
    }
    let length = list.u16()?;
    let name = list.take(length.into())?;
    if !list.0.is_empty() {
        return Err(BROKEN);
    }
    let name = std::str::from_utf8(name).ok().filter(|name| name.is_ascii() && !name.is_empty());
    name.map(str::to_owned).ok_or(BROKEN)
}

/// Bytes that are left; whoever asks for more than there are gets [`BROKEN`].
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(BROKEN)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(BROKEN)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }

    fn u24(&mut self) -> Result<usize, Malformed> {
        Ok(usize::from(self.u8()?) << 16 | usize::from(self.u16()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("short");
        [&kind.to_be_bytes(), &length.to_be_bytes(), content].concat()
    }

    fn named(name: &str) -> Vec<u8> {
        let length = u16::try_from(name.len()).expect("short");
        let list = [&[HOST_NAME][..], &length.to_be_bytes(), name.as_bytes()].concat();
        let all = u16::try_from(list.len()).expect("short");
        extension(SERVER_NAME, &[&all.to_be_bytes()[..], &list].concat())
    }

    /// The handshake message with these extensions.
    fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
        let extensions = extensions.concat();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
        body.extend(extensions);
        let length = u32::try_from(body.len()).expect("short").to_be_bytes();
        [&[CLIENT_HELLO][..], &length[1..], &body].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let each = message.chunks(size).map(|piece| {
            let length = u16::try_from(piece.len()).expect("short").to_be_bytes();
            [&[HANDSHAKE, 3, 1][..], &length, piece].concat()
        });
        each.collect::<Vec<_>>().concat()
    }

    fn reason(sent: &[u8]) -> &'static str {
        match server_name(sent) {
            Ok(Some(_)) => "named",
            Ok(None) => "more",
            Err(malformed) => malformed.reason,
        }
    }

    #[test]
    fn the_name_is_read_however_the_hello_is_cut_into_records() {
        let message =
            message(&[extension(10, &[0, 2, 0, 29]), named("a.test"), extension(99, b"")]);
        for size in 1..=message.len() {
            let sent = records(&message, size);
            assert_eq!(server_name(&sent), Ok(Some("a.test".to_owned())), "records of {size}");
            // What follows the hello is not looked at.
            let more = [&sent[..], b"\x17\x03\x03\x00\x01x"].concat();
            assert_eq!(server_name(&more), Ok(Some("a.test".to_owned())));
            for cut in 0..sent.len() {
                assert_eq!(server_name(&sent[..cut]), Ok(None), "{cut} bytes of it");
            }
        }
    }

    #[test]
    fn p2_a_hello_that_does_not_say_which_server_it_means_is_refused() {
        let hello = |extensions: &[Vec<u8>]| records(&message(extensions), 4096);
        let twice = [named("a.test"), named("b.test")];
        let list = |content: &[u8]| hello(&[extension(SERVER_NAME, content)]);
        let table: [(&str, Vec<u8>); 14] = [
            ("tls_name", hello(&[])),
            ("tls_name", hello(&[named("a.test"), extension(ENCRYPTED_HELLO, b"x")])),
            ("tls_name", hello(&[extension(ENCRYPTED_NAME, b"x"), named("a.test")])),
            ("not_tls", hello(&twice)),
            ("not_tls", list(b"")),
            ("not_tls", list(b"\0\x09\0\0\x06a.testX")),
            ("not_tls", list(b"\0\x12\0\0\x06a.test\0\0\x06b.test")),
            ("not_tls", list(b"\0\x09\x01\0\x06a.test")),
            ("not_tls", list(b"\0\x03\0\0\0")),
            ("not_tls", list(b"\0\x04\0\0\x01\xff")),
            ("not_tls", records(&[&message(&[named("a.test")])[..], b"\x01"].concat(), 4096)),
            ("not_tls", b"GET / HTTP/1.1\r\n".to_vec()),
            ("not_tls", b"\x16\x03\x01\x00\x00".to_vec()),
            ("not_tls", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00".to_vec()),
        ];
        for (wanted, sent) in table {
            assert_eq!(reason(&sent), wanted, "{}", sent.escape_ascii());
        }
    }

    #[test]
    fn p8_a_hello_may_be_so_long_and_not_longer() {
        let announced = |length: u32| {
            let message = [&[CLIENT_HELLO][..], &length.to_be_bytes()[1..]].concat();
            records(&message, 4)
        };
        let most = u32::try_from(HELLO_BYTES_MAX).expect("short") - 4;
        assert_eq!(reason(&announced(most)), "more");
        assert_eq!(reason(&announced(most + 1)), "not_tls");
        // Records that hold a byte each.
        let mut slow = announced(most);
        while slow.len() < HELLO_BYTES_MAX {
            slow.extend([HANDSHAKE, 3, 1, 0, 1, 0]);
        }
        assert_eq!(reason(&slow), "not_tls");
    }
}
