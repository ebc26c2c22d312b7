//! Numbers: integers, floating point as PostgreSQL prints it, and the binary form of `numeric`.

use std::fmt::Write as _;

/// Decimal digits in one group of a binary `numeric`.
const GROUP_DIGITS: usize = 4;

pub(super) fn integer_text(bytes: &[u8]) -> Option<String> {
    let number = match bytes.len() {
        2 => i16::from_be_bytes(bytes.try_into().ok()?).into(),
        4 => i32::from_be_bytes(bytes.try_into().ok()?).into(),
        8 => i64::from_be_bytes(bytes.try_into().ok()?),
        _ => return None,
    };
    Some(number.to_string())
}

/// As `float4out` with the shortest digits that lead back to the value.
pub(super) fn float4_text(value: f32) -> String {
    special(value.into()).unwrap_or_else(|| shortest(&format!("{value:e}"), 6))
}

/// As `float8out`.
pub(super) fn float8_text(value: f64) -> String {
    special(value).unwrap_or_else(|| shortest(&format!("{value:e}"), 15))
}

fn special(value: f64) -> Option<String> {
    let name = match value {
        nan if nan.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => return None,
    };
    Some(name.to_owned())
}

/// `1.5e-7` as PostgreSQL lays it out: plain for exponents from -4 up to `plain_below`.
fn shortest(scientific: &str, plain_below: i32) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    if !(-4..plain_below).contains(&exponent) {
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{direction}{:02}", exponent.unsigned_abs());
    }
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(places.saturating_sub(1)));
    }
    match digits.split_at_checked(places.saturating_add(1)) {
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{digits:0<width$}", width = places.saturating_add(1)),
    }
}

/// The text of a binary `numeric`: groups of four digits, the weight of the first, a sign, and the
/// number of digits after the point (`numeric_send`).
#[must_use]
pub(super) fn numeric_text(bytes: &[u8]) -> Option<String> {
    let (header, groups) = bytes.split_first_chunk::<8>()?;
    let [count_high, count_low, weight_high, weight_low, sign_high, sign_low, scale @ ..] = *header;
    let count = usize::from(u16::from_be_bytes([count_high, count_low]));
    let weight = i32::from(i16::from_be_bytes([weight_high, weight_low]));
    let scale = usize::from(u16::from_be_bytes(scale));
    let sign = match u16::from_be_bytes([sign_high, sign_low]) {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    if groups.len() != count.checked_mul(2)? || scale > 0x3fff {
        return None;
    }
    let groups: Vec<u16> = groups
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |n, b| n << 8 | u16::from(*b)))
        .collect();
    if groups.iter().any(|group| *group > 9999) {
        return None;
    }
    let group = |place: i32| {
        let index = usize::try_from(weight.checked_sub(place)?).ok()?;
        groups.get(index).copied()
    };
    let mut text = sign.to_owned();
    let whole = text.len();
    for place in (0..=weight.max(0)).rev() {
        let _ = write!(text, "{:04}", group(place).unwrap_or(0));
    }
    let zeros = text.bytes().skip(whole).take_while(|byte| *byte == b'0').count();
    let most = text.len().saturating_sub(whole).saturating_sub(1);
    text.replace_range(whole..whole.saturating_add(zeros.min(most)), "");
    if scale > 0 {
        text.push('.');
        let end = text.len().saturating_add(scale);
        let mut place = -1;
        while text.len() < end {
            let _ = write!(text, "{:04}", group(place).unwrap_or(0));
            place -= 1;
        }
        text.truncate(end);
    }
    Some(text)
}

/// The binary form of a plain decimal number that is not negative (`123.40`). The digits after the
/// point are its scale.
#[must_use]
pub fn encode_numeric(text: &str) -> Vec<u8> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.trim_start_matches('0');
    let padding = whole.len().next_multiple_of(GROUP_DIGITS).saturating_sub(whole.len());
    let mut digits = "0".repeat(padding);
    digits.push_str(whole);
    let mut weight = i32::try_from(digits.len() / GROUP_DIGITS).unwrap_or(0) - 1;
    digits.push_str(fraction);
    digits.push_str(&"0".repeat(digits.len().next_multiple_of(GROUP_DIGITS) - digits.len()));
    let mut groups: Vec<u16> = digits
        .as_bytes()
        .chunks(GROUP_DIGITS)
        .map(|four| {
            four.iter().fold(0, |n, digit| n * 10 + u16::from(digit.wrapping_sub(b'0') % 10))
        })
        .collect();
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight = if groups.is_empty() { 0 } else { weight - i32::try_from(leading).unwrap_or(0) };
    let mut bytes = Vec::with_capacity(groups.len().saturating_mul(2).saturating_add(8));
    bytes.extend(u16::try_from(groups.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(i16::try_from(weight).unwrap_or(0).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(u16::try_from(fraction.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(groups.into_iter().flat_map(u16::to_be_bytes));
    bytes
}

/// `digits` × 10^-`scale` as plain text, with exactly `scale` digits after the point. A negative
/// scale, as `numeric(3,-2)` has, appends zeros.
#[must_use]
pub fn scale_digits(digits: u64, scale: i32) -> String {
    let Ok(places) = usize::try_from(scale) else {
        let zeros = usize::try_from(scale.unsigned_abs()).unwrap_or(0);
        return if digits == 0 { "0".to_owned() } else { format!("{digits}{}", "0".repeat(zeros)) };
    };
    if places == 0 {
        return digits.to_string();
    }
    let padded = format!("{digits:0>width$}", width = places.saturating_add(1));
    let (whole, fraction) =
        padded.split_at_checked(padded.len().saturating_sub(places)).unwrap_or((&padded, ""));
    format!("{whole}.{fraction}")
}
