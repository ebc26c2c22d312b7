//! Legal holds, as the running gateway puts them in force and ends them.

use admin::{AuditError, HoldAnswer, HoldRequest, HoldView, ReleaseRequest};
use archive::holds::{self, Hold, Reached, Released, Selection};
use archive::manifest::format_time;
use archive::sealing::Erase;
use model::Timestamp;

use crate::wire::Archive;

/// How holds are named.
const PREFIX: &str = "hd_";
const ID_CHARS: u32 = 10;
/// Holds that a refusal names.
const NAMED_MAX: usize = 5;

fn failed(error: impl std::fmt::Display) -> AuditError {
    AuditError::Unavailable(error.to_string())
}

/// Puts recordings on hold. The same asked for again, for the same reason, is the same hold, and
/// reaches what it did not reach before.
pub fn hold(
    archive: &Archive,
    ask: &HoldRequest,
    by: &str,
    now: Timestamp,
) -> Result<HoldAnswer, AuditError> {
    let what = match ask {
        HoldRequest { session: Some(session), .. } => Selection::Session(session.clone()),
        HoldRequest { principal: Some(principal), .. } => Selection::Principal(principal.clone()),
        HoldRequest { from: Some(from), to: Some(to), .. } => {
            Selection::Span { from: from.clone(), to: to.clone() }
        }
        _ => return Err(failed("nothing is named that is to be held")),
    };
    let known = holds::in_force(&archive.bucket).map_err(failed)?;
    // Another matter is another hold, or the end of one would end both.
    let is_same = |hold: &Hold| hold.what == what && hold.reason == ask.reason;
    let hold = match known.into_iter().find(is_same) {
        Some(hold) => hold,
        None => {
            let id = store::short_id(PREFIX, ID_CHARS).map_err(failed)?;
            let hold = Hold::new(&id, what, (by, &ask.reason), now);
            holds::place(&archive.bucket, &hold).map_err(failed)?;
            hold
        }
    };
    if !locks(archive)? {
        return Ok(answer(hold.id, Reached::default(), false));
    }
    // What is archived from now on finds the hold; what was being archived is here afterwards.
    let reached = archive
        .archiver
        .catch_up()
        .and_then(|()| holds::lock(&archive.bucket, &hold).map_err(|error| error.to_string()));
    match reached {
        Ok(reached) => Ok(answer(hold.id, reached, true)),
        Err(why) => Err(failed(format!(
            "{} is in force, no key of it is erased; but not all of its files are locked: {why}",
            hold.id
        ))),
    }
}

/// Ends a hold. One that has ended already is ended again: what is still locked is freed.
pub fn release(
    archive: &Archive,
    ask: &ReleaseRequest,
    by: &str,
    now: Timestamp,
) -> Result<HoldAnswer, AuditError> {
    let all = holds::all(&archive.bucket).map_err(failed)?;
    let is_asked = |hold: &&Hold| match (&ask.id, &ask.session, &ask.principal) {
        (Some(id), _, _) => hold.id == *id,
        (_, Some(session), _) => hold.what == Selection::Session(session.clone()),
        (_, _, Some(principal)) => hold.what == Selection::Principal(principal.clone()),
        _ => false,
    };
    // The newest last; one in force before one that has ended.
    let found = all.iter().filter(is_asked).max_by_key(|hold| hold.is_in_force());
    let Some(hold) = found else {
        let named = [&ask.id, &ask.session, &ask.principal].into_iter().flatten().next();
        let named = named.map_or("", String::as_str);
        return Err(AuditError::Nothing(format!("there is no hold {named}")));
    };
    let (at, by, reason) = (format_time(now), by.to_owned(), ask.reason.clone());
    let released = Released { at, by, reason };
    let hold = holds::release(&archive.bucket, &hold.id, &released).map_err(failed)?;
    if !locks(archive)? {
        return Ok(answer(hold.id, Reached::default(), false));
    }
    match holds::unlock(&archive.bucket, &hold) {
        Ok(reached) => Ok(answer(hold.id, reached, true)),
        Err(why) => Err(failed(format!(
            "{} is released; but not all of its files are free again: {why}",
            hold.id
        ))),
    }
}

/// Whether the store can lock files.
fn locks(archive: &Archive) -> Result<bool, AuditError> {
    Ok(archive.bucket.is_lockable().map_err(failed)? == Some(true))
}

fn answer(id: String, reached: Reached, locks: bool) -> HoldAnswer {
    let Reached { files, manifests, unread } = reached;
    HoldAnswer { id, files, manifests, locks, unread }
}

/// Refuses to erase keys of what is on hold.
pub fn check(archive: &Archive, erase: Erase<'_>) -> Result<(), AuditError> {
    let found = holds::in_the_way(&archive.bucket, erase)
        .map_err(|error| failed(format!("nothing was erased: {error}")))?;
    let mut named: Vec<String> = found
        .iter()
        .take(NAMED_MAX)
        .map(|hold| {
            let Hold { id, what, by, at, reason, .. } = hold;
            format!("{id} holds {what}, since {at}, by {by}: {reason}")
        })
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    if let Some(more) = found.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        named.push(format!("and {more} more"));
    }
    Err(AuditError::Held(format!("nothing was erased: it is on hold\n  {}", named.join("\n  "))))
}

/// A hold, for those who list them.
pub fn view(hold: Hold) -> HoldView {
    let Hold { id, what, reason, by, at, released, .. } = hold;
    let mut view = HoldView {
        id,
        session: None,
        principal: None,
        from: None,
        to: None,
        reason,
        by,
        at,
        released_at: None,
        released_by: None,
        released_reason: None,
    };
    match what {
        Selection::Session(session) => view.session = Some(session),
        Selection::Principal(principal) => view.principal = Some(principal),
        Selection::Span { from, to } => (view.from, view.to) = (Some(from), Some(to)),
    }
    if let Some(Released { at, by, reason }) = released {
        view.released_at = Some(at);
        view.released_by = Some(by);
        view.released_reason = Some(reason);
    }
    view
}
