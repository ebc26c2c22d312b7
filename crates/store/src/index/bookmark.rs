//! Where a reader of a session's events stopped.

use std::fmt;

use crate::data_dir::is_gateway_name;

/// The place of an event in a gateway's journal: whoever stopped there goes on behind it. Places
/// and not the numbers of events, because requests that run beside each other are journalled in
/// another order than they are numbered in. The default is before the first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bookmark {
    pub(super) gateway: String,
    pub(super) segment: u64,
    /// Where the event begins in the segment, bytes.
    pub(super) start: u64,
}

impl Bookmark {
    /// Reads back what `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (segment, start) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let gateway = parts.next().filter(|name| is_gateway_name(name))?;
        Some(Self { gateway: gateway.to_owned(), segment, start })
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.segment, self.start, self.gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_reads_back_as_itself_and_nothing_else_is_one() {
        let mark = Bookmark { gateway: "gw-1".to_owned(), segment: 7, start: u64::MAX };
        assert_eq!(Bookmark::parse(&mark.to_string()), Some(mark));
        for no in ["", "0", "1.2", "1.2.", "1.-2.gw", "1.2.GW", "1.2.gw.3", "x.2.gw", "1..gw"] {
            assert_eq!(Bookmark::parse(no), None, "{no}");
        }
    }
}
