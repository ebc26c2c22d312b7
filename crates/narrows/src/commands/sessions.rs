//! `narrows sessions`, `show`, `replay`, `watch`, `kill`.

use std::time::Duration;

use model::Timestamp;
use serde_json::{Value, json};

use super::SaidNo;
use super::merged;
use crate::args::{Common, SessionsFilter};
use crate::client::{Client, encoded};
use crate::output::{self, Cell, Out, Tone, bytes};
use crate::story::Story;

/// Sessions of a run that are told.
const RUN_SESSIONS_MAX: usize = 1000;
/// Events of one session that are asked for at once.
const PAGE_EVENTS: usize = 500;
/// How often a followed session is asked about.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// Lists sessions.
pub fn list(common: &Common, filter: &SessionsFilter) -> anyhow::Result<()> {
    let now = runtime::clock::now();
    let mut query = vec![("limit", filter.limit.to_string())];
    if let Some(since) = &filter.since {
        query.push(("since", since_time(since, now)?));
    }
    query.extend(filter.principal.clone().map(|value| ("principal", value)));
    query.extend(filter.table.clone().map(|value| ("table", value)));
    if filter.live {
        query.push(("live", "true".to_owned()));
    }
    let query: Vec<String> =
        query.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    let path = format!("/api/v1/sessions?{}", query.join("&"));
    let sessions: Vec<admin::SessionView> = Client::find(common)?.get(&path)?;
    if common.json {
        return output::json(&sessions.iter().map(documented).collect::<Vec<_>>());
    }
    if sessions.is_empty() {
        return output::line("no sessions match");
    }
    let out = Out::stdout(now);
    let rows: Vec<Vec<Cell>> = sessions.iter().map(|session| row(out, session)).collect();
    let heading = [
        "ID",
        "PRINCIPAL",
        "RESOURCE",
        "STARTED",
        "ENDED",
        "OPS",
        "ROWS",
        "BYTES",
        "MASKED",
        "HELD",
        "BLOCKED",
    ];
    output::print(&out.table(&heading, &rows))
}

/// `1h` as the time that long ago, or a time as it is.
fn since_time(text: &str, now: Timestamp) -> anyhow::Result<String> {
    if let Some(length) = admin::parse_duration(text) {
        let nanoseconds = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        return Ok(admin::format_time(Timestamp(now.0.saturating_sub(nanoseconds))));
    }
    match admin::parse_time(text) {
        Some(time) => Ok(admin::format_time(time)),
        None => anyhow::bail!(
            "--since {text}: write how long ago (1h, 7d) or a time (2026-11-23T07:00:00Z)"
        ),
    }
}

fn row(out: Out, session: &admin::SessionView) -> Vec<Cell> {
    let ended = match (&session.ended_at, session.live) {
        (Some(at), _) => Cell::from(out.ago(at)),
        (None, true) => Cell::new(Tone::Good, "live"),
        (None, false) => Cell::new(Tone::Careful, "unknown"),
    };
    let count = |count: u64, tone| match count {
        0 => Cell::new(Tone::Faint, "-"),
        some => Cell::new(tone, some.to_string()),
    };
    vec![
        Cell::new(Tone::Bold, &session.id),
        Cell::from(&session.principal),
        Cell::from(&session.resource),
        Cell::from(out.ago(&session.started_at)),
        ended,
        Cell::from(session.operations),
        Cell::from(session.rows),
        Cell::from(bytes(session.bytes)),
        count(session.decisions.mask, Tone::Careful),
        count(session.decisions.hold, Tone::Careful),
        count(session.decisions.block, Tone::Bad),
    ]
}

/// The keys of DESIGN section 10.
fn documented(session: &admin::SessionView) -> Value {
    json!({
        "id": session.id,
        "principal": session.principal,
        "resource": session.resource,
        "protocol": session.protocol,
        "started_at": session.started_at,
        "ended_at": session.ended_at,
        "operations": session.operations,
        "rows": session.rows,
        "bytes": session.bytes,
        "decisions": session.decisions,
    })
}

/// Tells a session.
pub fn show(common: &Common, id: &str, full: bool) -> anyhow::Result<()> {
    let client = Client::find(common)?;
    let session: admin::SessionView = client.get(&path(id))?;
    if common.json {
        let mut events = Vec::new();
        each_page(&client, id, !full, |page| {
            events.extend(page);
            Ok(())
        })?;
        let mut value = documented(&session);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("events".to_owned(), events.into());
        }
        output::json(&value)?;
        return whole(&client);
    }
    let out = Out::stdout(runtime::clock::now());
    let mut story = Story::new(out, &session.protocol, full);
    output::print(&story.opening(&session))?;
    each_page(&client, id, false, |page| {
        page.iter().try_for_each(|e| output::print(&story.tell(e)))
    })?;
    output::print(&story.closing(&session))?;
    whole(&client)
}

/// Tells everything that belongs to a run, as one story across resources.
pub fn show_run(common: &Common, run: &str, full: bool) -> anyhow::Result<()> {
    let client = Client::find(common)?;
    let query = format!("/api/v1/sessions?limit={RUN_SESSIONS_MAX}&run={}", encoded(run));
    let mut sessions: Vec<admin::SessionView> = client.get(&query)?;
    if sessions.is_empty() {
        anyhow::bail!(
            "no session belongs to the run {run}: name a token (tk_…, see \
             `narrows token list`; jwt_… of an identity provider), \
             what clients sent as Narrows-Run or narrows.run=…, or both with a slash between"
        );
    }
    if sessions.len() >= RUN_SESSIONS_MAX {
        eprintln!("the run has more sessions; these are its newest {RUN_SESSIONS_MAX}");
    }
    sessions.reverse();
    let out = Out::stdout(runtime::clock::now());
    let payload = full || !common.json;
    let mut merged = merged::of(&client, &sessions, payload);
    if common.json {
        let mut events = Vec::new();
        while let Some((_, event)) = merged.next()? {
            events.push(event);
        }
        let sessions: Vec<Value> = sessions.iter().map(of_run).collect();
        output::json(&json!({ "run": run, "sessions": sessions, "events": events }))?;
        return whole(&client);
    }
    let mut stories: Vec<Story> =
        sessions.iter().map(|session| Story::new(out, &session.protocol, full)).collect();
    output::print(&format!("run {}\n", out.paint(Tone::Bold, &output::one_line(run))))?;
    for (session, story) in sessions.iter().zip(&stories) {
        output::print(&story.opening(session))?;
    }
    output::print("\n")?;
    while let Some((at, event)) = merged.next()? {
        let (Some(story), Some(session)) = (stories.get_mut(at), sessions.get(at)) else {
            continue;
        };
        let told = story.tell(&event);
        if !told.is_empty() {
            output::print(&format!("{} {told}", out.paint(Tone::Bold, &session.resource)))?;
        }
    }
    for (session, story) in sessions.iter().zip(&stories) {
        let resource = out.paint(Tone::Bold, &session.resource);
        output::print(&format!("\n{resource} {}{}", session.id, story.closing(session)))?;
    }
    whole(&client)
}

fn of_run(session: &admin::SessionView) -> Value {
    let mut value = documented(session);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("token".to_owned(), json!(session.token));
        fields.insert("run".to_owned(), json!(session.run));
    }
    value
}

/// Tells a session again, with its timing.
pub fn replay(common: &Common, id: &str, speed: f64) -> anyhow::Result<()> {
    let client = Client::find(common)?;
    let session: admin::SessionView = client.get(&path(id))?;
    let out = Out::stdout(runtime::clock::now());
    let mut story = Story::new(out, &session.protocol, true);
    if !common.json {
        output::print(&story.opening(&session))?;
    }
    let mut last = None;
    each_page(&client, id, false, |page| {
        for event in &page {
            let at = event.get("at").and_then(Value::as_str).and_then(admin::parse_time);
            if let (Some(last), Some(at)) = (last, at) {
                pause(at.since(last), speed);
            }
            last = at.or(last);
            if common.json {
                output::json_line(event)?;
            } else {
                output::print(&story.tell(event))?;
            }
        }
        Ok(())
    })?;
    if !common.json {
        output::print(&story.closing(&session))?;
    }
    whole(&client)
}

/// Waits as long as it took then, at another speed.
fn pause(length: Duration, speed: f64) {
    if speed > 0.0 {
        // Longer than any session can have paused is as good as that.
        let seconds = (length.as_secs_f64() / speed).min(1e9);
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
}

/// Follows a session while it goes on.
pub fn watch(common: &Common, id: &str) -> anyhow::Result<()> {
    let client = Client::find(common)?;
    let session: admin::SessionView = client.get(&path(id))?;
    let out = Out::stdout(runtime::clock::now());
    let mut story = Story::new(out, &session.protocol, false);
    if !common.json {
        output::print(&story.opening(&session))?;
    }
    let mut after = None;
    loop {
        let ask = Ask { after: after.as_deref(), payload: true, limit: PAGE_EVENTS };
        let (page, _) = page(&client, id, ask)?;
        for event in &page.events {
            if common.json {
                output::json_line(event)?;
            } else {
                output::print(&story.tell(event))?;
            }
        }
        after = page.next;
        if !page.more {
            if !page.live {
                break;
            }
            std::thread::sleep(WATCH_EVERY);
        }
    }
    if !common.json {
        let session: admin::SessionView = client.get(&path(id))?;
        output::print(&story.closing(&session))?;
    }
    whole(&client)
}

/// Ends a session.
pub fn kill(common: &Common, id: &str, reason: Option<String>) -> anyhow::Result<()> {
    let ask = admin::KillRequest { reason };
    let killed: admin::SessionView =
        Client::find(common)?.post(&format!("{}/kill", path(id)), &ask)?;
    if common.json {
        return output::json(&documented(&killed));
    }
    output::line(&format!("{} of {} on {} is ending", killed.id, killed.principal, killed.resource))
}

pub(super) fn path(id: &str) -> String {
    format!("/api/v1/sessions/{}", encoded(id))
}

/// Which events of a session.
pub(super) struct Ask<'a> {
    /// Behind this place.
    pub(super) after: Option<&'a str>,
    pub(super) payload: bool,
    /// At most so many.
    pub(super) limit: usize,
}

/// Some events of a session, and how long the gateway's answer was.
pub(super) fn page(
    client: &Client,
    id: &str,
    ask: Ask<'_>,
) -> anyhow::Result<(admin::EventsPage, usize)> {
    let Ask { after, payload, limit } = ask;
    let after = after.map(|place| format!("&after={}", encoded(place))).unwrap_or_default();
    let (mut page, bytes): (admin::EventsPage, _) =
        client.get_sized(&format!("{}/events?payload={payload}&limit={limit}{after}", path(id)))?;
    client.lack(std::mem::take(&mut page.lacks));
    Ok((page, bytes))
}

/// Tells what of the recordings could not be read; no success if there is any.
pub(super) fn whole(client: &Client) -> anyhow::Result<()> {
    let lacks = client.lacks();
    for place in &lacks {
        eprintln!("could not be read, so it is lacking here: {}", output::printable(place));
    }
    if lacks.is_empty() { Ok(()) } else { Err(SaidNo.into()) }
}

pub(super) fn each_page(
    client: &Client,
    id: &str,
    plain: bool,
    mut take: impl FnMut(Vec<Value>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let ask = Ask { after: after.as_deref(), payload: !plain, limit: PAGE_EVENTS };
        let (page, _) = page(client, id, ask)?;
        take(page.events)?;
        after = page.next;
        if !page.more {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let now = Timestamp(7_200_000_000_000);
        assert_eq!(since_time("1h", now).unwrap(), "1970-01-01T01:00:00Z");
        assert_eq!(since_time("2026-01-01T00:00:00+01:00", now).unwrap(), "2025-12-31T23:00:00Z");
        assert!(since_time("yesterday", now).is_err());
    }
}
