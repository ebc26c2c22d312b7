//! What holds of any text: no panic, and one form that is its own form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

/// Pieces that authorities and targets are made of, and ones they should not be made of.
fn pieces(alphabet: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(alphabet), 0..8).prop_map(|parts| parts.concat())
}

const HOSTS: &[&str] = &[
    "a",
    "B",
    "example",
    ".com",
    ".",
    "..",
    "-",
    "_",
    "xn--",
    "bcher-kva",
    "ü",
    "ß",
    "／",
    "。",
    "127",
    "0x7f",
    "0177",
    "1",
    "256",
    "[",
    "]",
    "::1",
    "ffff:",
    ":",
    "80",
    "443",
    "0",
    "@",
    "%",
    "\\",
    "\u{ad}",
    "\u{200d}",
    "\u{202e}",
    " ",
    "\0",
    "İ",
    "K",
];
const TARGETS: &[&str] = &[
    "/", "/", "a", "b", ".", "..", "%2e", "%2E", "%2f", "%5C", "%41", "%7e", "%c3%a9", "%C3%A9",
    "%25", "%3b", ";", "?", "x=1", "&", "+", "%", "%zz", "%00", "\\", "{", "\"", "#", " ", "é",
    "*", "[", "@", "2e", "~",
];

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = host(&text);
        let _ = path(&text, false);
        let _ = path(&text, true);
        let _ = query_pairs(&text);
        let _ = is_metadata_name(&text);
    }

    #[test]
    fn the_form_of_a_host_is_its_own_form(text in pieces(HOSTS)) {
        if let Ok(found) = host(&text) {
            let canonical = found.authority(443);
            let again = host(&canonical);
            prop_assert!(again.is_ok(), "{text:?} {canonical:?} {again:?}");
            let again = again.expect("just seen");
            prop_assert_eq!((&again.name, again.ip), (&found.name, found.ip));
            prop_assert!(is_canonical_host(&canonical, &again, 443), "{:?}", canonical);
            // Nothing but ASCII that any resolver takes.
            prop_assert!(found.name.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(!found.name.bytes().any(|byte| byte.is_ascii_uppercase()));
        }
    }

    #[test]
    fn the_form_of_a_path_is_its_own_form(text in pieces(TARGETS)) {
        let target = format!("/{text}");
        let strict = path(&target, false);
        if let Ok(found) = path(&target, true) {
            let canonical = found.target();
            prop_assert_eq!(path(&canonical, false), Ok(found.clone()), "{:?}", target);
            // What passes strictly passes unchanged.
            prop_assert_eq!(strict.is_ok(), canonical == target, "{:?}", target);
        } else {
            prop_assert!(strict.is_err(), "{target:?}");
        }
    }

    #[test]
    fn ipv4_is_the_same_in_every_notation(bits in any::<u32>()) {
        let ip = Ipv4Addr::from(bits);
        let [a, b, c, d] = ip.octets();
        let low = u32::from_be_bytes([0, b, c, d]);
        for text in [
            format!("{bits}"),
            format!("{bits:#x}"),
            format!("0{bits:o}"),
            format!("{a}.{low}"),
            format!("{a}.{b}.{}", u16::from_be_bytes([c, d])),
            format!("{a:#x}.0{b:o}.{c}.{d:#X}").replace("0X", "0x"),
            format!("[::ffff:{ip}]"),
        ] {
            prop_assert_eq!(host(&text).expect("an address").ip, Some(IpAddr::V4(ip)));
        }
    }

    #[test]
    fn no_wrapping_makes_an_address_public(
        bits in any::<u32>(),
        kind in 0..12_usize,
        high in any::<u16>(),
    ) {
        const PRIVATE: [[u8; 4]; 12] = [
            [10, 0, 0, 1], [127, 0, 0, 1], [169, 254, 169, 254], [192, 168, 0, 1], [172, 16, 0, 1],
            [100, 64, 0, 1], [0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255], [198, 18, 0, 1],
            [168, 63, 129, 16], [169, 254, 170, 2],
        ];
        let [.., c, d] = bits.to_be_bytes();
        let [a, b, e, f] = PRIVATE[kind];
        // Within the wide ranges any address will do.
        let ip = if kind < 2 { Ipv4Addr::new(a, b, c, d) } else { Ipv4Addr::new(a, b, e, f) };
        prop_assert_ne!(reach(IpAddr::V4(ip)), Reach::Public);
        let number = u32::from(ip);
        let (x, y) = ((number >> 16) as u16, (number & 0xffff) as u16);
        let flipped = (!x, !y);
        for wrapped in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, x, y),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, x, y),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, x, y),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, x, y),
            Ipv6Addr::new(0x64, 0xff9b, 1, high, 0, 0, x, y),
            Ipv6Addr::new(0x2002, x, y, high, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, high, flipped.0, flipped.1),
            Ipv6Addr::new(0x2001, 0, x, y, 0, high, 0xf7f7, 0xf7f7),
            Ipv6Addr::new(0x2a00, high, 0, 0, 0, 0x5efe, x, y),
        ] {
            prop_assert_ne!(reach(IpAddr::V6(wrapped)), Reach::Public, "{}", wrapped);
        }
    }
}
