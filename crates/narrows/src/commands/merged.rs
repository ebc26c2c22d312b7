//! The events of several sessions as one story.

use std::collections::{BTreeSet, VecDeque};

use admin::EventsPage;
use anyhow::ensure;
use model::{Timestamp, limit};
use serde_json::Value;

use super::sessions::{Ask, page};
use crate::client::Client;

/// A page of events, and how long the gateway's answer was.
type Page = anyhow::Result<(EventsPage, usize)>;

/// Events that are read ahead, of all sessions together, and of each at least and at most.
const AHEAD: usize = 10_000;
const AHEAD_EACH_MIN: usize = 4;
const AHEAD_EACH_MAX: usize = 500;

/// The events of several sessions in the order of their times. Of a session that has not begun yet,
/// or is over, nothing is kept in memory; of the others at most so many bytes that those whose turn
/// is last are read again when it comes.
pub(super) struct Merged<P> {
    pages: P,
    sessions: Vec<Cursor>,
    /// When each session that was not asked about yet began; the earliest is the last.
    later: Vec<(Timestamp, usize)>,
    /// When the next event of each of the others is.
    fronts: BTreeSet<(Timestamp, usize)>,
    /// Bytes in memory, as they were read.
    bytes: usize,
}

/// How far one of them is read.
struct Cursor {
    id: String,
    /// Where the page in memory begins, how many events it was asked for, and how many are gone.
    from: Option<String>,
    limit: usize,
    given: usize,
    /// The rest of it; empty when it was let go of.
    events: VecDeque<Value>,
    bytes: usize,
    /// Where the next begins.
    after: Option<String>,
    more: bool,
}

/// Reads events of sessions from a gateway.
pub(super) fn of<'a>(
    client: &'a Client,
    sessions: &[admin::SessionView],
    payload: bool,
) -> Merged<impl FnMut(&str, Option<&str>, usize) -> Page + 'a> {
    Merged::new(sessions, move |id: &str, after: Option<&str>, limit| {
        page(client, id, Ask { after, payload, limit })
    })
}

impl<P> Merged<P>
where
    P: FnMut(&str, Option<&str>, usize) -> Page,
{
    fn new(sessions: &[admin::SessionView], pages: P) -> Self {
        let began = |session: &admin::SessionView| admin::parse_time(&session.started_at);
        let began = sessions.iter().map(|session| began(session).unwrap_or_default());
        let mut later: Vec<(Timestamp, usize)> = began.zip(0..).collect();
        later.sort_unstable_by(|one, other| other.cmp(one));
        let cursor = |session: &admin::SessionView| Cursor {
            id: session.id.clone(),
            from: None,
            limit: AHEAD_EACH_MAX,
            given: 0,
            events: VecDeque::new(),
            bytes: 0,
            after: None,
            more: true,
        };
        let sessions = sessions.iter().map(cursor).collect();
        Self { pages, sessions, later, fronts: BTreeSet::new(), bytes: 0 }
    }

    /// The earliest event that is left, and whose it is.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(usize, Value)>> {
        while let Some((began, at)) = self.later.last().copied() {
            if self.fronts.first().is_some_and(|(front, _)| *front < began) {
                break;
            }
            self.later.pop();
            self.fill(at)?;
        }
        let Some((_, at)) = self.fronts.pop_first() else { return Ok(None) };
        if self.sessions.get(at).is_some_and(|cursor| cursor.events.is_empty()) {
            self.read_again(at)?;
        }
        let Some(cursor) = self.sessions.get_mut(at) else { return Ok(None) };
        let event = cursor.events.pop_front();
        cursor.given += 1;
        self.fill(at)?;
        Ok(event.map(|event| (at, event)))
    }

    /// Reads on where nothing of a session is left.
    fn fill(&mut self, at: usize) -> anyhow::Result<()> {
        let limit = AHEAD / (self.fronts.len() + 1);
        let Some(cursor) = self.sessions.get_mut(at) else { return Ok(()) };
        while cursor.events.is_empty() {
            self.bytes -= std::mem::take(&mut cursor.bytes);
            cursor.events = VecDeque::new();
            if !cursor.more {
                return Ok(());
            }
            cursor.from = cursor.after.take();
            cursor.limit = limit.clamp(AHEAD_EACH_MIN, AHEAD_EACH_MAX);
            cursor.given = 0;
            self.bytes += cursor.read(&mut self.pages)?;
        }
        if let Some(event) = cursor.events.front() {
            self.fronts.insert((time(event), at));
        }
        self.make_room(at);
        Ok(())
    }

    /// Reads what was let go of.
    fn read_again(&mut self, at: usize) -> anyhow::Result<()> {
        let Some(cursor) = self.sessions.get_mut(at) else { return Ok(()) };
        self.bytes += cursor.read(&mut self.pages)?;
        ensure!(
            cursor.events.len() > cursor.given,
            "the gateway gave less of {} than before",
            cursor.id
        );
        cursor.events.drain(..cursor.given);
        self.make_room(at);
        Ok(())
    }

    /// Lets go of what is needed last, but not of the session at `keep`.
    fn make_room(&mut self, keep: usize) {
        let mut last = self.fronts.iter().rev();
        while self.bytes > limit::MERGED_BYTES_MAX
            && let Some((_, at)) = last.next()
        {
            if let Some(cursor) = self.sessions.get_mut(*at).filter(|_| *at != keep) {
                self.bytes -= std::mem::take(&mut cursor.bytes);
                cursor.events = VecDeque::new();
            }
        }
    }
}

impl Cursor {
    /// Reads the page that begins at `from`; its bytes.
    fn read<P>(&mut self, pages: &mut P) -> anyhow::Result<usize>
    where
        P: FnMut(&str, Option<&str>, usize) -> Page,
    {
        let (page, bytes) = pages(&self.id, self.from.as_deref(), self.limit)?;
        self.events = page.events.into();
        (self.after, self.more, self.bytes) = (page.next, page.more, bytes);
        Ok(bytes)
    }
}

fn time(event: &Value) -> Timestamp {
    let at = event.get("at").and_then(Value::as_str).and_then(admin::parse_time);
    at.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session(id: usize) -> admin::SessionView {
        serde_json::from_value(json!({
            "id": id.to_string(), "principal": "", "resource": "", "protocol": "",
            "started_at": "2026-11-29T04:00:00Z", "live": false, "client": "", "gateway": "",
            "operations": 0, "rows": 0, "bytes": 0,
            "decisions": { "allow": 0, "mask": 0, "hold": 0, "block": 0 }
        }))
        .unwrap()
    }

    /// Goal: however large pages are, every event comes once, in the order of time, and what is in
    /// memory stays under the limit.
    #[test]
    fn p8_sessions_beside_each_other_are_merged_in_bounded_memory() {
        const EVENTS: usize = 40;
        let sessions: Vec<_> = (0..6).map(session).collect();
        for bytes_each in [1, limit::MERGED_BYTES_MAX / 20, limit::MERGED_BYTES_MAX / 3] {
            let mut merged = Merged::new(&sessions, |id: &str, after: Option<&str>, limit| {
                let session: usize = id.parse()?;
                let begin = after.map_or(Ok(0), str::parse::<usize>)?;
                let end = EVENTS.min(begin + limit.min(7));
                let event = |number: usize| {
                    let second = number + session % 2;
                    json!({ "at": format!("2026-11-29T04:00:{second:02}Z"), "number": number })
                };
                let page = EventsPage {
                    events: (begin..end).map(event).collect(),
                    lacks: Vec::new(),
                    next: Some(end.to_string()),
                    more: end < EVENTS,
                    live: false,
                };
                Ok((page, (end - begin) * bytes_each))
            });
            let mut told = vec![Vec::new(); sessions.len()];
            let mut last = Timestamp::default();
            while let Some((at, event)) = merged.next().unwrap() {
                // One page beside it: that of the session whose turn it is.
                assert!(merged.bytes <= limit::MERGED_BYTES_MAX.max(7 * bytes_each));
                assert!(time(&event) >= last, "{event}");
                last = time(&event);
                told[at].push(event["number"].as_u64().unwrap() as usize);
            }
            assert_eq!(merged.bytes, 0);
            assert!(told.iter().all(|told| told.iter().copied().eq(0..EVENTS)), "{told:?}");
        }
    }
}
