//! The authority: a name or an address, and perhaps a port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::Malformed;

/// Longest authority that is looked at, bytes: every escape of the longest name fits.
const AUTHORITY_BYTES_MAX: usize = 2048;
/// Longest name in its ASCII form, bytes (RFC 1035, section 2.3.4, without the root's dot).
const NAME_BYTES_MAX: usize = 253;
/// Longest label, bytes (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

const EMPTY: Malformed = Malformed::new("host_empty", "the request names no host");
const LONG: Malformed = Malformed::new("host_long", "the host is too long");
const CONTROL: Malformed =
    Malformed::new("host_control", "the host holds a space or a control character");
const USERINFO: Malformed =
    Malformed::new("host_userinfo", "the host carries a user name or password");
const ESCAPE: Malformed =
    Malformed::new("host_escape", "the host is percent-encoded or has a zone");
const CHARACTER: Malformed =
    Malformed::new("host_character", "the host holds a character that no host name has");
const LABEL: Malformed = Malformed::new("host_label", "the host has an empty or too long label");
const IDNA: Malformed = Malformed::new("host_idna", "the host is not a valid international name");
const ADDRESS: Malformed = Malformed::new("host_address", "the host is not a valid address");
const PORT: Malformed = Malformed::new("port", "the port is not a number from 1 to 65535");

/// One form of an authority.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Host {
    /// The name in lower case, in its ASCII form (A-labels), without the root's dot; or the text of
    /// the address, without brackets (RFC 5952 for IPv6).
    pub name: Arc<str>,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// The address, where the name is one in any notation. An IPv4 address mapped into IPv6 is
    /// the IPv4 address.
    pub ip: Option<IpAddr>,
}

impl Host {
    /// The name as it is written in an authority: with brackets around IPv6.
    #[must_use]
    pub fn bracketed(&self) -> String {
        match self.ip {
            Some(IpAddr::V6(_)) => format!("[{}]", self.name),
            _ => self.name.to_string(),
        }
    }

    /// The authority in its canonical form: without the port when it is the default one.
    #[must_use]
    pub fn authority(&self, default_port: u16) -> String {
        match self.port {
            Some(port) if port != default_port => format!("{}:{port}", self.bracketed()),
            _ => self.bracketed(),
        }
    }
}

/// Reads an authority as every resolver and server would, or not at all.
///
/// International names become A-labels (UTS 46, non-transitional). IPv4 is read in every notation
/// that `inet_aton` takes, so that `ip` is set for `2852039166`, `0xA9.0xFE.0xA9.0xFE` and `127.1`
/// too; a name whose last label is a number but which is no address is refused, because resolvers
/// differ about it.
///
/// # Errors
/// Nothing, user information, escapes, zones, characters no host has (the underscore is one that
/// has), labels over 63 or names over 253 bytes, and ports that are not written as a number from 1
/// to 65535 without leading zeros.
pub fn host(authority: &str) -> Result<Host, Malformed> {
    if authority.is_empty() {
        return Err(EMPTY);
    }
    if authority.len() > AUTHORITY_BYTES_MAX {
        return Err(LONG);
    }
    for character in authority.chars() {
        match character {
            '@' => return Err(USERINFO),
            '%' => return Err(ESCAPE),
            '\\' | '/' | '?' | '#' | '<' | '>' | '^' | '|' | '"' | '`' | '{' | '}' => {
                return Err(CHARACTER);
            }
            _ if character.is_control() || character.is_whitespace() => return Err(CONTROL),
            _ => {}
        }
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(ADDRESS)?;
        let written: Ipv6Addr = inside.parse().map_err(|_| ADDRESS)?;
        let ip = written.to_canonical();
        let port = match after.strip_prefix(':') {
            Some(digits) => Some(port(digits)?),
            None if after.is_empty() => None,
            None => return Err(PORT),
        };
        return Ok(Host { name: ip.to_string().into(), port, ip: Some(ip) });
    }
    let (written, port) = match authority.split_once(':') {
        Some((name, digits)) => (name, Some(port(digits)?)),
        None => (authority, None),
    };
    let name = name(written)?;
    let last = name.rsplit('.').next().unwrap_or_default();
    if !is_number(last) {
        return Ok(Host { name: name.into(), port, ip: None });
    }
    let ip = ipv4(&name).ok_or(ADDRESS)?;
    Ok(Host { name: ip.to_string().into(), port, ip: Some(IpAddr::V4(ip)) })
}

/// Whether an authority is written in its canonical form.
///
/// Two differences are tolerated, because nobody reads them in two ways: the case of ASCII letters,
/// and a default port that is written out or left out. Nothing else is: the root's dot, an
/// international name outside its ASCII form, and addresses in any notation but the usual one (IPv4
/// as four decimals, IPv6 as in RFC 5952, never IPv4 mapped into IPv6) are other forms.
#[must_use]
pub fn is_canonical_host(authority: &str, host: &Host, default_port: u16) -> bool {
    let name = host.bracketed();
    let Some((start, rest)) = authority.split_at_checked(name.len()) else { return false };
    if !start.eq_ignore_ascii_case(&name) {
        return false;
    }
    let written = match rest.strip_prefix(':') {
        Some(digits) => match port(digits) {
            Ok(port) => port,
            Err(_) => return false,
        },
        None if rest.is_empty() => default_port,
        None => return false,
    };
    written == host.port.unwrap_or(default_port)
}

fn port(digits: &str) -> Result<u16, Malformed> {
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !decimal || digits.starts_with('0') {
        return Err(PORT);
    }
    digits.parse().map_err(|_| PORT)
}

/// The ASCII form of a name, without the root's dot.
fn name(written: &str) -> Result<String, Malformed> {
    if written.is_empty() {
        return Err(EMPTY);
    }
    let ascii = Uts46::new()
        .to_ascii(
            written.as_bytes(),
            AsciiDenyList::EMPTY,
            Hyphens::CheckFirstLast,
            DnsLength::Ignore,
        )
        .map_err(|_| IDNA)?;
    let name = ascii.strip_suffix('.').unwrap_or(&ascii);
    if name.is_empty() {
        return Err(EMPTY);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(LONG);
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return Err(LABEL);
        }
        // Mapping makes other characters out of some: `／` becomes a slash.
        let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if !label.bytes().all(known) {
            return Err(CHARACTER);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(CHARACTER);
        }
    }
    Ok(name.to_owned())
}

/// Whether a last label makes the whole name an address (WHATWG URL, "ends in a number").
fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// An IPv4 address in any notation that `inet_aton` takes: one to four numbers, decimal, octal
/// after `0`, hexadecimal after `0x`; the last one fills what is left.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut numbers = Vec::with_capacity(4);
    for part in text.split('.') {
        if numbers.len() == 4 {
            return None;
        }
        numbers.push(number(part)?);
    }
    let last = numbers.pop()?;
    let mut address: u64 = 0;
    for octet in &numbers {
        if *octet > 255 {
            return None;
        }
        address = address << 8 | octet;
    }
    // `numbers` has at most three left, so at least one byte is.
    let bits = 8 * (4 - u32::try_from(numbers.len()).ok()?);
    if last >= 1 << bits {
        return None;
    }
    u32::try_from(address << bits | last).ok().map(Ipv4Addr::from)
}

fn number(part: &str) -> Option<u64> {
    let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if part.len() > 1 && part.starts_with('0') => (part, 8),
        None => (part, 10),
    };
    // `from_str_radix` also takes a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(authority: &str) -> &'static str {
        host(authority).map_or_else(|malformed| malformed.reason, |_| "fine")
    }

    #[test]
    fn names_have_one_form() {
        let table = [
            ("example.com", "example.com", None),
            ("EXAMPLE.com:8443", "example.com", Some(8443)),
            ("example.com.", "example.com", None),
            ("example.com.:443", "example.com", Some(443)),
            ("bücher.example", "xn--bcher-kva.example", None),
            ("BÜCHER.example", "xn--bcher-kva.example", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("faß.example", "xn--fa-hia.example", None),
            ("ｅｘａｍｐｌｅ．com", "example.com", None),
            ("exam\u{ad}ple.com", "example.com", None),
            ("example。com", "example.com", None),
            ("_dmarc.example.com", "_dmarc.example.com", None),
            ("r3---sn-p5qlsnz6.video.example", "r3---sn-p5qlsnz6.video.example", None),
            ("localhost", "localhost", None),
            ("0x7g.example", "0x7g.example", None),
        ];
        for (written, name, port) in table {
            let host = host(written).unwrap_or_else(|error| panic!("{written}: {error:?}"));
            assert_eq!((&*host.name, host.port, host.ip), (name, port, None), "{written}");
        }
    }

    #[test]
    fn addresses_have_one_form() {
        let table = [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("0x7F000001", "127.0.0.1"),
            ("0177.0.0.01", "127.0.0.1"),
            ("2852039166", "169.254.169.254"),
            ("0xA9FEA9FE", "169.254.169.254"),
            ("0251.0376.0251.0376", "169.254.169.254"),
            ("0xa9.254.0251.0xfe", "169.254.169.254"),
            ("169.254.43518", "169.254.169.254"),
            ("169.16689662", "169.254.169.254"),
            ("0", "0.0.0.0"),
            ("１６９.254.１６９.254", "169.254.169.254"),
            ("169。254。169。254", "169.254.169.254"),
            ("[::1]", "::1"),
            ("[::]:80", "::"),
            ("[::ffff:169.254.169.254]", "169.254.169.254"),
            ("[::ffff:a9fe:a9fe]", "169.254.169.254"),
            ("[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"),
            ("[fd00:ec2::254]", "fd00:ec2::254"),
        ];
        for (written, address) in table {
            let host = host(written).unwrap_or_else(|error| panic!("{written}: {error:?}"));
            assert_eq!((&*host.name, host.ip), (address, address.parse().ok()), "{written}");
        }
    }

    #[test]
    fn what_no_host_is_written_like_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let longer = vec!["a".repeat(63); 4].join(".");
        let longest = format!("{}a", "é".repeat(AUTHORITY_BYTES_MAX / 2));
        let table = [
            ("", "host_empty"),
            (".", "host_empty"),
            (":80", "host_empty"),
            ("user@example.com", "host_userinfo"),
            ("partner.test:x@evil.test", "host_userinfo"),
            ("exa mple.com", "host_control"),
            ("example.com\t", "host_control"),
            ("example.com\0.evil.test", "host_control"),
            ("example.com\r\n", "host_control"),
            ("example.com\u{a0}", "host_control"),
            ("example.com\\evil.test", "host_character"),
            ("example.com/evil", "host_character"),
            ("example.com?a", "host_character"),
            ("example.com#a", "host_character"),
            ("ex%61mple.com", "host_escape"),
            ("[fe80::1%25eth0]", "host_escape"),
            ("[fe80::1%eth0]", "host_escape"),
            ("example.com／evil.test", "host_character"),
            ("a℀b.example", "host_character"),
            ("exam!ple.com", "host_character"),
            ("exam,ple.com", "host_character"),
            ("*.example.com", "host_character"),
            ("a..b", "host_label"),
            (".example.com", "host_label"),
            ("example.com..", "host_label"),
            (&long, "host_label"),
            (&longer, "host_long"),
            (&longest, "host_long"),
            ("-a.example", "host_idna"),
            ("a-.example", "host_idna"),
            ("xn--a.example", "host_idna"),
            ("xn--.example", "host_idna"),
            ("\u{202e}example.com", "host_idna"),
            ("example.com:", "port"),
            ("example.com:0", "port"),
            ("example.com:080", "port"),
            ("example.com:65536", "port"),
            ("example.com:+80", "port"),
            ("example.com:8o", "port"),
            ("example.com:80:80", "port"),
            ("::1", "port"),
            ("fe80::1", "port"),
            ("[::1]80", "port"),
            ("[::1", "host_address"),
            ("[1.2.3.4]", "host_address"),
            ("[::1]]", "port"),
            ("256.1.1.1", "host_address"),
            ("1.2.3.4.5", "host_address"),
            ("example.1", "host_address"),
            ("08.1.1.1", "host_address"),
            ("1.2.3.08", "host_address"),
            ("4294967296", "host_address"),
            ("0x1A9FEA9FE", "host_address"),
            ("127.0x", "host_address"),
            ("1.16777216", "host_address"),
            ("99999999999999999999999", "host_address"),
        ];
        for (written, expected) in table {
            assert_eq!(reason(written), expected, "{written:?}");
        }
    }

    #[test]
    fn names_may_be_as_long_as_dns_lets_them_be_and_not_longer() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), NAME_BYTES_MAX);
        assert_eq!(reason(&longest), "fine");
        assert_eq!(reason(&format!("{longest}.")), "fine");
        assert_eq!(reason(&format!("{longest}a")), "host_long");
    }

    #[test]
    fn only_case_and_the_default_port_may_differ() {
        let fine = [
            "example.com",
            "EXAMPLE.COM",
            "example.com:443",
            "example.com:8443",
            "xn--bcher-kva.example",
            "127.0.0.1",
            "[2001:db8::1]",
            "[2001:DB8::1]:443",
        ];
        let other = [
            "example.com.",
            "bücher.example",
            "exam\u{ad}ple.com",
            "2852039166",
            "0xA9FEA9FE",
            "0251.0376.0251.0376",
            "127.1",
            "0x7f.1",
            "127.000.0.1",
            "[::ffff:127.0.0.1]",
            "[2001:db8:0::1]",
            "[0:0:0:0:0:0:0:1]",
        ];
        for (list, canonical) in [(&fine[..], true), (&other[..], false)] {
            for written in list {
                let host = host(written).expect("it can be read");
                assert_eq!(is_canonical_host(written, &host, 443), canonical, "{written}");
            }
        }
        let with_port = host("example.com:443").expect("fine");
        assert!(is_canonical_host("example.com", &with_port, 443));
        assert!(!is_canonical_host("example.com", &with_port, 80));
        assert!(!is_canonical_host("example.comm", &with_port, 443));
        assert!(!is_canonical_host("example.co", &with_port, 443));
        assert_eq!(with_port.authority(443), "example.com");
        assert_eq!(with_port.authority(80), "example.com:443");
        assert_eq!(host("[::1]:80").expect("fine").authority(443), "[::1]:80");
    }
}
