//! Keys that were met in documents, by where they stand, and how each is hidden: asked for once,
//! and found again without a search where objects look alike.

use std::collections::HashMap;

use engine::MaskKind;
use foldhash::fast::RandomState;

/// Keys that are remembered; those met later are asked for each time.
const NAMES_MAX: usize = 1024;
/// Longest path that is remembered, bytes.
const PATH_BYTES_MAX: usize = 512;

/// A key at its place, or the top of a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NameId(u32);

/// Before any other.
const NONE: NameId = NameId(u32::MAX);

/// What stands before a key in its object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Before {
    /// Nothing.
    First,
    Key(NameId),
    /// A key that is not remembered.
    Unknown,
}

#[derive(Debug)]
struct Name {
    /// The key of the object it stands in.
    under: NameId,
    text: Box<str>,
    /// All keys that lead to it.
    path: Box<str>,
    /// Bytes of the path that lead to the document it stands in.
    root: usize,
    kind: Option<MaskKind>,
    /// When it was last reported, if it is masked.
    reported: u32,
    /// What came first in its object, and what after it in the same one, when it was met last.
    first: NameId,
    after: NameId,
}

/// The keys.
#[derive(Debug)]
pub(super) struct Names {
    all: Vec<Name>,
    /// By what they stand under, then their text.
    places: HashMap<Box<[u8]>, NameId, RandomState>,
    asked: Vec<u8>,
    /// Grows when reports are taken back.
    time: u32,
}

impl Default for Names {
    fn default() -> Self {
        Self { all: Vec::new(), places: HashMap::default(), asked: Vec::new(), time: 1 }
    }
}

impl Names {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The top of documents at this path; `None` where it cannot be remembered.
    pub fn top(&mut self, path: &str) -> Option<NameId> {
        self.known(NONE, path).or_else(|| self.add(NONE, path, path.into(), path.len(), None))
    }

    /// The key that stands under `under` after `before`, if it is the same that stood there when
    /// they were met last.
    pub fn again(&self, under: NameId, before: Before, text: &[u8]) -> Option<NameId> {
        let guess = match before {
            Before::First => self.name(under)?.first,
            Before::Key(before) => self.name(before)?.after,
            Before::Unknown => return None,
        };
        let name = self.name(guess)?;
        (name.under == under && name.text.as_bytes() == text).then_some(guess)
    }

    /// A key that was met under `under`.
    pub fn known(&mut self, under: NameId, text: &str) -> Option<NameId> {
        self.ask(under, text);
        self.places.get(self.asked.as_slice()).copied()
    }

    /// The path of a key under `under`, and the part of it below the top of its document.
    pub fn path_under(&self, under: NameId, text: &str) -> Option<(String, usize)> {
        let Name { path, root, .. } = self.name(under)?;
        let dot = if path.is_empty() { "" } else { "." };
        Some((format!("{path}{dot}{text}"), *root))
    }

    /// Remembers a key under `under`, as far as there is room.
    pub fn add(
        &mut self,
        under: NameId,
        text: &str,
        path: Box<str>,
        root: usize,
        kind: Option<MaskKind>,
    ) -> Option<NameId> {
        if self.all.len() >= NAMES_MAX || path.len() > PATH_BYTES_MAX {
            return None;
        }
        let id = NameId(u32::try_from(self.all.len()).ok()?);
        self.ask(under, text);
        self.places.insert(self.asked.as_slice().into(), id);
        let text = text.into();
        self.all.push(Name {
            under,
            text,
            path,
            root,
            kind,
            reported: 0,
            first: NONE,
            after: NONE,
        });
        Some(id)
    }

    /// What follows `before` under `under` is `id`, until another does.
    pub fn expect(&mut self, under: NameId, before: Before, id: NameId) {
        let (at, follows): (_, fn(&mut Name) -> &mut NameId) = match before {
            Before::First => (under, |name| &mut name.first),
            Before::Key(before) => (before, |name| &mut name.after),
            Before::Unknown => return,
        };
        if let Some(name) = self.name_mut(at) {
            *follows(name) = id;
        }
    }

    /// How it is hidden.
    pub fn kind(&self, id: NameId) -> Option<MaskKind> {
        self.name(id)?.kind
    }

    /// All keys that lead to it.
    pub fn path(&self, id: NameId) -> &str {
        self.name(id).map_or("", |name| &name.path)
    }

    /// Its path, if it was not reported yet; from now on it was.
    pub fn report(&mut self, id: NameId) -> Option<&str> {
        let time = self.time;
        let name = self.name_mut(id)?;
        if std::mem::replace(&mut name.reported, time) == time {
            return None;
        }
        Some(&name.path)
    }

    /// Nothing was reported.
    pub fn take_reports_back(&mut self) {
        self.time = self.time.wrapping_add(1).max(1);
    }

    fn ask(&mut self, under: NameId, text: &str) {
        self.asked.clear();
        self.asked.extend_from_slice(&under.0.to_le_bytes());
        self.asked.extend_from_slice(text.as_bytes());
    }

    fn name(&self, id: NameId) -> Option<&Name> {
        self.all.get(usize::try_from(id.0).ok()?)
    }

    fn name_mut(&mut self, id: NameId) -> Option<&mut Name> {
        self.all.get_mut(usize::try_from(id.0).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(names: &mut Names, under: NameId, text: &str, kind: Option<MaskKind>) -> NameId {
        let (path, root) = names.path_under(under, text).unwrap();
        names.add(under, text, path.into(), root, kind).unwrap()
    }

    #[test]
    fn a_key_is_found_again_only_where_it_stood() {
        let mut names = Names::default();
        let top = names.top("").unwrap();
        let id = met(&mut names, top, "id", None);
        let owner = met(&mut names, top, "owner", None);
        let below = met(&mut names, owner, "id", Some(MaskKind::Redact));
        assert_eq!((names.path(id), names.path(below)), ("id", "owner.id"));
        assert_eq!(names.known(top, "id"), Some(id));
        assert_eq!(names.known(owner, "id"), Some(below));
        assert_eq!(names.known(owner, "owner"), None);
        names.expect(top, Before::First, id);
        names.expect(top, Before::Key(id), owner);
        names.expect(owner, Before::First, below);
        assert_eq!(names.again(top, Before::First, b"id"), Some(id));
        assert_eq!(names.again(top, Before::First, b"owner"), None, "not the one that came first");
        assert_eq!(names.again(top, Before::Key(id), b"owner"), Some(owner));
        assert_eq!(names.again(owner, Before::First, b"id"), Some(below));
        // The same word after a key of another object is another key.
        names.expect(owner, Before::Key(below), id);
        assert_eq!(names.again(owner, Before::Key(below), b"id"), None);
        assert_eq!(names.kind(below), Some(MaskKind::Redact));
    }

    #[test]
    fn the_top_of_a_document_is_no_key_of_another() {
        let mut names = Names::default();
        let top = names.top("").unwrap();
        let key = met(&mut names, top, "a", None);
        let inner = names.top("a").unwrap();
        assert_ne!(key, inner);
        assert_eq!(names.top("a"), Some(inner));
        assert_eq!(names.path_under(inner, "b"), Some(("a.b".to_owned(), 1)));
        assert_eq!(names.path_under(key, "b"), Some(("a.b".to_owned(), 0)));
    }

    #[test]
    fn a_report_is_made_once_until_it_is_taken_back() {
        let mut names = Names::default();
        let top = names.top("").unwrap();
        let key = met(&mut names, top, "a", Some(MaskKind::Null));
        assert_eq!(names.report(key), Some("a"));
        assert_eq!(names.report(key), None);
        names.take_reports_back();
        assert_eq!(names.report(key), Some("a"));
    }

    #[test]
    fn p8_no_more_is_remembered_than_a_number() {
        let mut names = Names::default();
        let top = names.top("").unwrap();
        for number in 1..NAMES_MAX {
            met(&mut names, top, &number.to_string(), None);
        }
        assert_eq!(names.add(top, "more", "more".into(), 0, None), None);
        assert!(names.known(top, "1023").is_some());
        let mut names = Names::default();
        let top = names.top("").unwrap();
        let long = "k".repeat(PATH_BYTES_MAX + 1);
        assert_eq!(names.add(top, &long, long.as_str().into(), 0, None), None);
        assert!(names.add(top, &long[1..], long[1..].into(), 0, None).is_some());
    }
}
