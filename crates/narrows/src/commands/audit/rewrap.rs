//! `narrows audit rewrap`: keys of what is sealed under the current key.

use std::path::{Path, PathBuf};

use admin::{RewrapRequest, Rewrapped};
use seal::Keys;

use super::bucket;
use crate::args::Common;
use crate::client::Client;
use crate::commands::{Misused, SaidNo};
use crate::output::{self, counted, one_line};
use crate::sealing;

/// Former keys and objects that are told apart, over all answers of the gateway.
const TOLD_MAX: usize = 100;

/// Asks the running gateway, or does it in a store.
pub fn rewrap(
    common: &Common,
    store: Option<&str>,
    former: &[PathBuf],
    to: Option<&Path>,
) -> anyhow::Result<()> {
    let done = match (store, to) {
        (Some(store), Some(to)) => {
            let also = former.iter().map(|path| sealing::former_key(path));
            let also = also.collect::<anyhow::Result<_>>()?;
            let keys = Keys { current: sealing::wrapping_key(to)?, also };
            let bucket = bucket(common, Some(store))?;
            sealing::rewrapped(archive::rewrap::rewrap(&bucket, &keys, None, || true)?)
        }
        (None, None) => asked(common)?,
        _ => return Err(Misused::because("--store goes with --key and --to")),
    };
    let is_whole = done.unopened.is_empty() && done.unread.is_empty() && done.more == 0;
    match common.json {
        true => output::json(&done)?,
        false => output::print(&told(&done))?,
    }
    if is_whole { Ok(()) } else { Err(SaidNo.into()) }
}

/// The gateway works for some seconds at a time.
fn asked(common: &Common) -> anyhow::Result<Rewrapped> {
    let client = Client::find(common)?;
    let mut all = Rewrapped::default();
    let mut ask = RewrapRequest::default();
    loop {
        let done: Rewrapped = client.post("/api/v1/audit/rewrap", &ask)?;
        let next = done.next.clone();
        add(&mut all, done);
        let Some(next) = next else { return Ok(all) };
        // Names of objects only grow, so this ends.
        anyhow::ensure!(
            Some(&next) > ask.after.as_ref(),
            "the gateway goes on at {next:?} after {:?}: what comes behind it was not looked at",
            ask.after.unwrap_or_default(),
        );
        ask.after = Some(next);
    }
}

fn add(all: &mut Rewrapped, done: Rewrapped) {
    all.current = done.current.or(all.current.take());
    all.segments = all.segments.saturating_add(done.segments);
    all.rewrapped = all.rewrapped.saturating_add(done.rewrapped);
    all.already = all.already.saturating_add(done.already);
    all.more = all.more.saturating_add(done.more);
    for unopened in done.unopened {
        if let Some(known) = all.unopened.iter_mut().find(|of| of.key_id == unopened.key_id) {
            known.keys = known.keys.saturating_add(unopened.keys);
        } else if all.unopened.len() < TOLD_MAX {
            all.unopened.push(unopened);
        } else {
            all.more = all.more.saturating_add(unopened.keys);
        }
    }
    for unread in done.unread {
        match all.unread.len() < TOLD_MAX {
            true => all.unread.push(unread),
            false => all.more = all.more.saturating_add(1),
        }
    }
}

fn told(done: &Rewrapped) -> String {
    let mut text = format!("looked at the keys of {}\n", counted(done.segments, "segment"));
    if let Some(current) = &done.current {
        text.push_str(&format!(
            "{} wrapped anew by {}, {} by it already\n",
            counted(done.rewrapped, "key"),
            one_line(current),
            counted(done.already, "key"),
        ));
    }
    for unopened in &done.unopened {
        let keys = counted(unopened.keys, "key");
        let (by, why) = (one_line(&unopened.key_id), one_line(&unopened.why));
        text.push_str(&format!("{keys} of {by} could not be opened: {why}\n"));
    }
    for unread in &done.unread {
        text.push_str(&format!("could not be read: {}\n", one_line(unread)));
    }
    if done.more > 0 {
        text.push_str(&format!("and {} more\n", done.more));
    }
    text
}

#[cfg(test)]
mod tests {
    use admin::Unopened;

    use super::*;

    #[test]
    fn answers_are_added_up_within_bounds() {
        let of = |key_id: String, keys| Unopened { key_id, keys, why: "w".to_owned() };
        let answer = |from: u64| Rewrapped {
            current: (from == 0).then(|| "local:1".to_owned()),
            segments: 2,
            rewrapped: 5,
            already: 1,
            unopened: (from..from + 60).map(|n| of(format!("local:{n}"), 2)).collect(),
            unread: (0..70).map(|n| format!("{from} {n}")).collect(),
            more: 1,
            next: None,
        };
        let mut all = Rewrapped::default();
        add(&mut all, answer(0));
        add(&mut all, answer(50));
        assert_eq!(all.current.as_deref(), Some("local:1"));
        assert_eq!((all.segments, all.rewrapped, all.already), (4, 10, 2));
        assert_eq!((all.unopened.len(), all.unread.len()), (100, 100));
        assert_eq!(all.unopened[55].keys, 4, "of both answers");
        // 10 names of two keys each, 40 objects, and one of each answer.
        assert_eq!(all.more, 20 + 40 + 2);
        let text = told(&all);
        assert!(text.contains("10 keys wrapped anew by local:1, 2 keys by it already\n"), "{text}");
        assert!(text.ends_with("and 62 more\n"), "{text}");
    }
}
