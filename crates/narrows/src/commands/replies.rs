//! `narrows replay --as-client`: the bytes that a client got.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use anyhow::bail;
use model::{EventBody, OperationId, limit};

use super::export::{event, is_sealed};
use super::sessions::{each_page, path, whole};
use super::{Misused, SaidNo};
use crate::args::Common;
use crate::client::Client;
use crate::output::{self, counted};

/// Writes exactly the bytes that the client got, as far as they are recorded, and nothing else.
pub fn as_client(common: &Common, id: &str) -> anyhow::Result<()> {
    if common.json {
        return Err(Misused::because(
            "--as-client writes bytes as they are; audit export --format jsonl has them as JSON",
        ));
    }
    let client = Client::find(common)?;
    let _: admin::SessionView = client.get(&path(id))?;
    let mut replies = Replies::into(io::stdout().lock());
    let (mut dropped, mut sealed) = (0_u64, 0_u64);
    each_page(&client, id, false, |page| {
        for value in page {
            let event = event(value)?;
            sealed += u64::from(is_sealed(&event));
            match &event.body {
                EventBody::ReplyPart { operation, .. } => {
                    replies.part(*operation, &event.payload, Part::More)?;
                }
                EventBody::Reply { operation, payload_dropped, .. } => {
                    dropped = dropped.saturating_add(*payload_dropped);
                    replies.part(*operation, &event.payload, Part::Last)?;
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    let (written, endless) = replies.finish()?;
    if sealed > 0 {
        let sealed = counted(sealed, "operation");
        eprintln!("the replies to {sealed} are sealed, and the gateway cannot open them");
    }
    if endless > 0 {
        let of = counted(endless, "operation");
        eprintln!("the end of the reply to {of} is not recorded (yet), and what came of it stands");
    }
    if dropped > 0 {
        eprintln!(
            "{} were written; {} more reached the client and were not kept (recording.payload)",
            counted(written, "byte"),
            counted(dropped, "byte"),
        );
    }
    whole(&client)?;
    match (sealed, endless, dropped) {
        (0, 0, 0) => Ok(()),
        _ => Err(SaidNo.into()),
    }
}

/// Whether a reply goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    More,
    Last,
}

/// Replies, one after the other in the order in which they began, however their parts lie between
/// each other's. The first that has not ended is written as it comes; the others wait.
struct Replies<W> {
    out: W,
    places: HashMap<OperationId, u64>,
    begun: BTreeMap<u64, Waiting>,
    next: u64,
    /// Bytes that wait.
    waiting: usize,
    written: u64,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    ended: bool,
}

impl<W: Write> Replies<W> {
    fn into(out: W) -> Self {
        let (places, begun) = (HashMap::new(), BTreeMap::new());
        Self { out, places, begun, next: 0, waiting: 0, written: 0 }
    }

    fn part(&mut self, of: OperationId, bytes: &[u8], part: Part) -> anyhow::Result<()> {
        let place = *self.places.entry(of).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let reply = self.begun.entry(place).or_default();
        reply.bytes.extend_from_slice(bytes);
        self.waiting += bytes.len();
        if part == Part::Last {
            reply.ended = true;
            // What an operation says after this is another reply.
            self.places.remove(&of);
        }
        while let Some(mut first) = self.begun.first_entry() {
            let bytes = std::mem::take(&mut first.get_mut().bytes);
            self.waiting -= bytes.len();
            self.written += bytes.len() as u64;
            output::written(self.out.write_all(&bytes))?;
            if !first.get().ended {
                break;
            }
            first.remove();
        }
        if self.waiting > limit::REPLIES_WAITING_BYTES_MAX {
            bail!(
                "too much was said at once to be put in order in memory: more than {} wait for an \
                 earlier reply to end\n  audit export --format har writes every exchange by itself",
                output::bytes(limit::REPLIES_WAITING_BYTES_MAX as u64)
            );
        }
        Ok(())
    }

    /// How many bytes were written, and how many replies have no end.
    fn finish(mut self) -> anyhow::Result<(u64, u64)> {
        let mut endless = 0;
        for reply in self.begun.into_values() {
            self.written += reply.bytes.len() as u64;
            output::written(self.out.write_all(&reply.bytes))?;
            endless += u64::from(!reply.ended);
        }
        output::written(self.out.flush())?;
        Ok((self.written, endless))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(parts: &[(u64, &str, Part)]) -> (String, (u64, u64)) {
        let mut out = Vec::new();
        let mut replies = Replies::into(&mut out);
        for (of, bytes, part) in parts {
            replies.part(OperationId(*of), bytes.as_bytes(), *part).unwrap();
        }
        let said = replies.finish().unwrap();
        (String::from_utf8(out).unwrap(), said)
    }

    #[test]
    fn replies_beside_each_other_are_written_one_after_the_other() {
        use Part::{Last, More};
        let beside =
            [(7, "a", More), (3, "b", More), (7, "a", More), (3, "b", Last), (7, "a", Last)];
        assert_eq!(written(&beside), ("aaabb".to_owned(), (5, 0)));
        let again = [(1, "a", Last), (2, "b", More), (1, "c", Last), (2, "b", Last)];
        assert_eq!(written(&again), ("abbc".to_owned(), (4, 0)));
    }

    #[test]
    fn a_reply_without_an_end_is_written_and_counted() {
        use Part::{Last, More};
        let cut = [(1, "a", More), (2, "b", Last), (3, "c", More), (1, "a", More)];
        assert_eq!(written(&cut), ("aabc".to_owned(), (4, 2)));
        assert_eq!(written(&[]), (String::new(), (0, 0)));
    }

    #[test]
    fn p8_what_waits_for_an_earlier_reply_is_bounded() {
        let mut replies = Replies::into(io::sink());
        let half = vec![0; limit::REPLIES_WAITING_BYTES_MAX / 2];
        replies.part(OperationId(1), b"begun", Part::More).unwrap();
        replies.part(OperationId(2), &half, Part::More).unwrap();
        replies.part(OperationId(3), &half, Part::Last).unwrap();
        replies.part(OperationId(1), &half, Part::More).unwrap();
        assert!(replies.part(OperationId(2), b"x", Part::More).is_err(), "one past the limit");
    }
}
