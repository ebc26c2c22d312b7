//! International bank account numbers (ISO 13616): country, length, check digits.

use crate::text::{Gap, Unit, closes, opens, unit_at};

/// Country and total length. Source: SWIFT IBAN Registry, release 99.
const COUNTRIES: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// Characters before and after the check digits that cannot be right anyway (ISO 7064: 02 to 98).
const CHECK_MAX: u32 = 98;

/// Where an account number starts and ends, in bytes.
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The account number whose check digits start at `at`.
pub(crate) fn recognise(text: &[u8], at: usize) -> Option<Found> {
    let found = candidate(text, at)?;
    (opens(text, found.start) && closes(text, found.end)).then_some(found)
}

/// The same, whatever stands around it.
pub(crate) fn candidate(text: &[u8], at: usize) -> Option<Found> {
    let start = at.checked_sub(2)?;
    let &[first, second] = text.get(start..at)? else { return None };
    if !(first.is_ascii_alphabetic() && second.is_ascii_alphabetic()) {
        return None;
    }
    let country = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
    let (_, length) = COUNTRIES.iter().find(|(code, _)| **code == country)?;
    let mut rest = Remainder(0);
    let (mut at, mut check, mut digits) = (at, 0, 0_usize);
    let mut style = None;
    for place in 2..*length {
        at = skip_separator(text, at, place, &mut style)?;
        let (value, bytes) = character(text, at)?;
        at += bytes;
        if place < 4 {
            check = check * 10 + value;
            if value > 9 {
                return None;
            }
        } else {
            rest.push(value);
        }
        digits += usize::from(value <= 9);
    }
    for letter in country {
        rest.push(u32::from(letter - b'A') + 10);
    }
    rest.push(check / 10);
    rest.push(check % 10);
    // Every registered account number is digits for the most part; words and random tokens are not.
    let plausible = (2..=CHECK_MAX).contains(&check) && digits * 5 >= *length * 2;
    (plausible && rest.0 == 1).then_some(Found { start, end: at })
}

/// Steps over what may stand before character number `place`: one space or dash after every four
/// characters, and anything invisible. Written in one style throughout.
fn skip_separator(text: &[u8], at: usize, place: usize, style: &mut Option<bool>) -> Option<usize> {
    let mut at = at;
    let mut split = false;
    for _ in 0..4 {
        match unit_at(text, at) {
            (Unit::Invisible, bytes) => at += bytes,
            (Unit::Separator(Gap::Space | Gap::Dash), bytes) if !split => {
                split = true;
                at += bytes;
            }
            _ => break,
        }
    }
    match (place % 4, *style) {
        (0, None) => *style = Some(split),
        (0, Some(style)) if style != split => return None,
        (0, _) => {}
        _ if split => return None,
        _ => {}
    }
    Some(at)
}

fn character(text: &[u8], at: usize) -> Option<(u32, usize)> {
    match (unit_at(text, at), text.get(at)?) {
        ((Unit::Digit(digit), bytes), _) => Some((u32::from(digit), bytes)),
        (_, letter @ b'A'..=b'Z') => Some((u32::from(letter - b'A') + 10, 1)),
        (_, letter @ b'a'..=b'z') => Some((u32::from(letter - b'a') + 10, 1)),
        _ => None,
    }
}

/// The remainder modulo 97 of a number given character by character (ISO 7064, MOD 97-10).
struct Remainder(u32);

impl Remainder {
    fn push(&mut self, value: u32) {
        let scale = if value > 9 { 100 } else { 10 };
        self.0 = (self.0 * scale + value) % 97;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let at = text.find(|c: char| c.is_ascii_digit())?;
        let iban = recognise(text.as_bytes(), at)?;
        text.get(iban.start..iban.end)
    }

    #[test]
    fn registered_examples_are_found() {
        // Examples of the SWIFT IBAN Registry.
        for iban in [
            "AD1200012030200359100100",
            "AE070331234567890123456",
            "AT611904300234573201",
            "BE68539007547034",
            "BG80BNBG96611020345678",
            "BR1800360305000010009795493C1",
            "CH9300762011623852957",
            "DE89370400440532013000",
            "ES9121000418450200051332",
            "FR1420041010050500013M02606",
            "GB29NWBK60161331926819",
            "IT60X0542811101000000123456",
            "KW81CBKU0000000000001234560101",
            "LC55HEMM000100010012001200023015",
            "MT84MALT011000012345MTLCAST001S",
            "NL91ABNA0417164300",
            "NO9386011117947",
            "PL61109010140000071219812874",
            "SE4550000000058398257466",
            "DE89 3704 0044 0532 0130 00",
            "GB29 NWBK 6016 1331 9268 19",
            "BE68-5390-0754-7034",
            "de89370400440532013000",
            "DE89\u{200b}370400440532013000",
        ] {
            assert_eq!(found(iban), Some(iban));
            assert_eq!(found(&format!("to {iban}, today")), Some(iban));
        }
    }

    #[test]
    fn wrong_check_digits_lengths_and_countries_are_left_alone() {
        for text in [
            "DE88370400440532013000",
            "DE8937040044053201300",
            "DE893704004405320130001",
            "XX89370400440532013000",
            "DE01370400440532013000",
            "xDE89370400440532013000",
            "DE89 37040044 0532013000",
            "DE8 93704004405320130 00",
            "DE",
            "DE8",
            "DE89",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
