//! The kinds of sensitive values, sets of them, and places where one was found.

use std::fmt;

/// A kind of sensitive value.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum DetectionType {
    /// A payment card number (ISO/IEC 7812): issuer prefix, length and Luhn digit agree.
    CreditCard,
    /// A United States social security number.
    UsSsn,
    /// An e-mail address.
    Email,
    /// An international bank account number (ISO 13616): country, length and check digits agree.
    Iban,
    /// A telephone number in international form, or in a national form that cannot be mistaken.
    Phone,
    /// An AWS access key id or secret access key.
    AwsKey,
    /// A private key in PEM or OpenPGP armour, also when it is cut off.
    PrivateKey,
    /// A JSON Web Token (RFC 7519).
    Jwt,
}

impl DetectionType {
    /// Every kind, in the order in which they are declared.
    pub const ALL: [Self; 8] = [
        Self::CreditCard,
        Self::UsSsn,
        Self::Email,
        Self::Iban,
        Self::Phone,
        Self::AwsKey,
        Self::PrivateKey,
        Self::Jwt,
    ];

    /// The name used in configuration and records: `CREDIT_CARD`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreditCard => "CREDIT_CARD",
            Self::UsSsn => "US_SSN",
            Self::Email => "EMAIL",
            Self::Iban => "IBAN",
            Self::Phone => "PHONE",
            Self::AwsKey => "AWS_KEY",
            Self::PrivateKey => "PRIVATE_KEY",
            Self::Jwt => "JWT",
        }
    }

    /// What stands where a value of this kind was taken out of a text.
    #[must_use]
    pub const fn stand_in(self) -> &'static str {
        match self {
            Self::CreditCard => "[CREDIT_CARD]",
            Self::UsSsn => "[US_SSN]",
            Self::Email => "[EMAIL]",
            Self::Iban => "[IBAN]",
            Self::Phone => "[PHONE]",
            Self::AwsKey => "[AWS_KEY]",
            Self::PrivateKey => "[PRIVATE_KEY]",
            Self::Jwt => "[JWT]",
        }
    }

    /// Whether a value may have been taken out of a text: something in it reads like a stand-in.
    #[must_use]
    pub fn is_missing_in(text: &str) -> bool {
        text.match_indices('[').any(|(at, _)| {
            let rest = text.get(at..).unwrap_or_default();
            Self::ALL.into_iter().any(|kind| rest.starts_with(kind.stand_in()))
        })
    }

    /// The kind with this name, in whatever case it is written; `None` when there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for DetectionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct TypeSet(u16);

impl TypeSet {
    /// No kind.
    pub const EMPTY: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self((1 << DetectionType::ALL.len()) - 1);

    /// Whether `kind` is in the set.
    #[must_use]
    pub const fn contains(self, kind: DetectionType) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    /// Whether the set holds nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds that are in this set, in the other, or in both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds in the set, in the order in which they are declared.
    pub fn iter(self) -> impl Iterator<Item = DetectionType> {
        DetectionType::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<DetectionType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = DetectionType>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u16))
    }
}

/// Where a sensitive value was found: bytes `start..end` of the text that was scanned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte; greater than `start`.
    pub end: usize,
    /// What it is.
    pub kind: DetectionType,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_kind_in_any_case() {
        for kind in DetectionType::ALL {
            assert_eq!(DetectionType::from_name(kind.name()), Some(kind));
            assert_eq!(DetectionType::from_name(&kind.name().to_lowercase()), Some(kind));
        }
        assert_eq!(DetectionType::from_name("CREDITCARD"), None);
        assert_eq!(DetectionType::from_name(""), None);
    }

    #[test]
    fn a_text_from_which_a_value_was_taken_is_told_by_what_stands_there() {
        for kind in DetectionType::ALL {
            assert_eq!(kind.stand_in(), format!("[{kind}]"));
            assert!(DetectionType::is_missing_in(&format!("a [b] [{kind}]")));
        }
        for whole in ["", "[", "[EMAIL", "EMAIL]", "[email]", "[MAIL]", "é[é]"] {
            assert!(!DetectionType::is_missing_in(whole), "{whole}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = TypeSet::from_iter([DetectionType::Jwt, DetectionType::CreditCard]);
        assert!(set.contains(DetectionType::Jwt) && set.contains(DetectionType::CreditCard));
        assert!(!set.contains(DetectionType::Email));
        let kinds: Vec<_> = set.iter().collect();
        assert_eq!(kinds, [DetectionType::CreditCard, DetectionType::Jwt]);
        assert!(TypeSet::EMPTY.is_empty() && !set.is_empty());
        assert_eq!(TypeSet::from_iter(DetectionType::ALL), TypeSet::ALL);
        assert_eq!(set.union(TypeSet::ALL), TypeSet::ALL);
    }
}
