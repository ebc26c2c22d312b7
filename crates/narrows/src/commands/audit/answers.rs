//! Answers, as a person reads them.

use archive::evidence::{Coverage, Fields, Hits, Pii, Span, Use, Who};
use model::Timestamp;

use crate::args::Common;
use crate::commands::SaidNo;
use crate::output::{self, Cell, Out, Tone, bytes, clip, counted, one_line};

/// Characters of a statement that a list shows.
const TEXT_CHARS: usize = 100;

fn time(at: u64) -> String {
    admin::format_time(Timestamp(at / 1_000_000 * 1_000_000))
}

pub(super) fn asked(span: &Span) -> String {
    // To the second: the ends are ours.
    let second = |at: Timestamp| admin::format_time(Timestamp(at.seconds() * 1_000_000_000));
    format!("{} to {}", second(span.from), second(span.to))
}

/// What an answer was found in, as last lines.
fn found_in(coverage: &Coverage) -> String {
    let mut text = format!("looked into {} of the archive", counted(coverage.files, "file"));
    if coverage.journal_events > 0 {
        let events = counted(coverage.journal_events, "event");
        text.push_str(&format!(" and {events} not archived yet"));
    }
    text.push('\n');
    if coverage.unsigned > 0 {
        let files = counted(coverage.unsigned, "file");
        text.push_str(&format!("left out: {files} that no manifest names yet\n"));
    }
    for unread in &coverage.unread {
        text.push_str(&format!("could not be read: {}\n", one_line(unread)));
    }
    text
}

/// An answer that may lack something is no yes.
pub(super) fn answered(coverage: &Coverage) -> anyhow::Result<()> {
    match coverage.is_whole() {
        true => Ok(()),
        false => Err(SaidNo.into()),
    }
}

pub(super) fn who(common: &Common, table: &str, span: &Span, answer: &Who) -> anyhow::Result<()> {
    if common.json {
        output::json(answer)?;
        return answered(&answer.coverage);
    }
    let out = Out::stdout(runtime::clock::now());
    let mut text = match (answer.uses.is_empty(), answer.coverage.is_whole()) {
        (true, true) => format!("nobody used {table} from {}\n", asked(span)),
        (true, false) => {
            let cannot = out.paint(Tone::Careful, "cannot say");
            format!("{cannot} who used {table} from {}\n", asked(span))
        }
        (false, true) => String::new(),
        (false, false) => {
            let cannot = out.paint(Tone::Careful, "cannot say");
            format!("{cannot} whether these are all who used {table} from {}\n", asked(span))
        }
    };
    for of in &answer.uses {
        text.push_str(&told(out, of));
    }
    if answer.more {
        text.push_str("there are more; ask about a shorter time\n");
    }
    text.push_str(&found_in(&answer.coverage));
    output::print(&text)?;
    answered(&answer.coverage)
}

/// For whom somebody worked: ` for ann`, or nothing.
fn party(on_behalf_of: Option<&str>) -> String {
    on_behalf_of.map(|who| format!(" for {}", one_line(who))).unwrap_or_default()
}

fn told(out: Out, of: &Use) -> String {
    let (tone, decision) = match &*of.decision {
        "block" => (Tone::Bad, "refused"),
        "hold" => (Tone::Careful, "held"),
        "mask" => (Tone::Careful, "masked"),
        _ => (Tone::Good, "allowed"),
    };
    let from = of.client.as_ref().map(|client| format!(" from {client}")).unwrap_or_default();
    let called = of.application.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
    let mut text = format!(
        "{}  {}{}{} {} {} on {} ({} #{})\n",
        time(of.at),
        out.paint(Tone::Bold, &one_line(&of.principal)),
        party(of.on_behalf_of.as_deref()),
        one_line(&format!("{from}{called}")).replacen("from", " from", 1),
        out.paint(tone, decision),
        one_line(&of.verbs.join(", ")),
        one_line(&of.resource),
        one_line(&of.session),
        of.operation,
    );
    if let Some(statement) = &of.text {
        text.push_str(&format!("    {}\n", clip(&one_line(statement), TEXT_CHARS)));
    }
    let rules: Vec<&str> = of.rules.iter().map(|matched| &*matched.rule).collect();
    if !rules.is_empty() {
        text.push_str(&format!("    rules: {}\n", one_line(&rules.join(", "))));
    }
    if let Some(approver) = &of.approver {
        text.push_str(&format!("    approved by {}\n", one_line(approver)));
    }
    match &of.outcome {
        Some(outcome) => {
            let size = bytes(of.bytes);
            let rows = counted(of.rows, "row");
            let ended = if &**outcome == "done" { "" } else { outcome };
            text.push_str(
                &one_line(&format!("got {rows}, {size} {ended}")).replacen("got", "    got", 1),
            );
            text.push('\n');
        }
        None if &*of.decision != "block" => text.push_str("    no reply is recorded\n"),
        None => {}
    }
    if !of.masked.is_empty() {
        text.push_str(&format!("    masked: {}\n", one_line(&of.masked.join(", "))));
    }
    text
}

pub(super) fn fields(common: &Common, answer: &Fields) -> anyhow::Result<()> {
    if common.json {
        output::json(answer)?;
        return answered(&answer.coverage);
    }
    let out = Out::stdout(runtime::clock::now());
    let mut text = String::new();
    if !answer.coverage.is_whole() {
        let cannot = out.paint(Tone::Careful, "cannot say");
        text.push_str(&format!("{cannot} whether these are all fields that were returned\n"));
    }
    if answer.fields.is_empty() {
        text.push_str(&format!("no fields in {}\n", replies(answer.replies)));
    } else {
        let heading = ["RESOURCE", "FIELD", "CALLED", "MASK", "REPLIES", "ROWS", "LAST"];
        let rows: Vec<Vec<Cell>> = answer
            .fields
            .iter()
            .map(|of| {
                let (tone, mask) = match &of.mask {
                    Some(mask) => (Tone::Good, &**mask),
                    None => (Tone::Careful, "clear"),
                };
                vec![
                    Cell::from(&of.resource),
                    Cell::from(of.origin.as_deref().unwrap_or("-")),
                    Cell::from(clip(&of.labels.join(", "), 40)),
                    Cell::new(tone, mask),
                    Cell::from(of.replies),
                    Cell::from(of.rows),
                    Cell::from(time(of.last_at)),
                ]
            })
            .collect();
        text.push_str(&out.table(&heading, &rows));
    }
    text.push_str(&found_in(&answer.coverage));
    output::print(&text)?;
    answered(&answer.coverage)
}

pub(super) fn pii(
    common: &Common,
    only_sent: bool,
    span: &Span,
    answer: &Pii,
) -> anyhow::Result<()> {
    let sent: u64 = answer.types.values().map(|found| found.sent).sum();
    if common.json {
        output::json(answer)?;
        return answered(&answer.coverage);
    }
    let out = Out::stdout(runtime::clock::now());
    let searched = answer.replies_in_all - answer.replies_not_searched;
    let verdict = match (sent, searched, answer.replies_not_searched) {
        (0, ..) if !answer.coverage.is_whole() => {
            out.paint(Tone::Careful, "cannot say: not everything could be read")
        }
        (0, 0, 0) => out.paint(Tone::Plain, "nothing was sent at all"),
        (0, 0, _) => out.paint(Tone::Careful, "cannot say: no reply was searched"),
        (0, _, 0) => out.paint(Tone::Good, "no value of the types below left in clear"),
        (0, ..) => out.paint(
            Tone::Careful,
            "no value of the types below left in clear, in the replies that were searched",
        ),
        (sent, ..) => {
            let values = counted(sent, "sensitive value");
            out.paint(Tone::Bad, &format!("{values} left in clear"))
        }
    };
    let mut text = format!("{verdict}, from {}\n", asked(span));
    if !answer.types.is_empty() {
        let heading = ["TYPE", "SEEN", "MASKED", "WITHHELD", "SENT", "REPLIES SEARCHED"];
        let rows: Vec<Vec<Cell>> = answer
            .types
            .iter()
            .map(|(kind, found)| {
                let tone = if found.sent > 0 { Tone::Bad } else { Tone::Plain };
                vec![
                    Cell::from(kind),
                    Cell::from(found.seen),
                    Cell::from(found.masked),
                    Cell::from(found.withheld),
                    Cell::new(tone, found.sent.to_string()),
                    Cell::from(format!("{} of {}", found.searched, answer.replies_in_all)),
                ]
            })
            .collect();
        text.push_str(&out.table(&heading, &rows));
    }
    for of in &answer.hidden_fields {
        text.push_str(&format!(
            "hidden by name: {} on {} ({}), in {} rows of {}\n",
            one_line(&of.field),
            one_line(&of.resource),
            one_line(&of.mask),
            of.rows,
            replies(of.replies),
        ));
    }
    for of in &answer.replies {
        let clear: Vec<String> = of
            .detections
            .iter()
            .filter(|found| !only_sent || found.seen > found.masked)
            .map(|found| format!("{} {} ({} masked)", found.seen, found.kind, found.masked))
            .collect();
        if !clear.is_empty() {
            text.push_str(&format!(
                "{}  {}{} on {} ({} #{}): {}\n",
                time(of.at),
                one_line(&of.principal),
                party(of.on_behalf_of.as_deref()),
                one_line(&of.resource),
                one_line(&of.session),
                of.operation,
                one_line(&clear.join(", ")),
            ));
        }
    }
    if answer.more {
        text.push_str("there are more; ask about a shorter time\n");
    }
    text.push_str(&format!(
        "how this is known: detectors ran on {searched} of {}{}\n",
        replies(answer.replies_in_all),
        match answer.replies_not_searched {
            0 => "",
            _ => {
                "; of the others no rule asks what they hold, or they could not be searched in full"
            }
        },
    ));
    text.push_str(&found_in(&answer.coverage));
    output::print(&text)?;
    answered(&answer.coverage)
}

fn replies(count: u64) -> String {
    if count == 1 { "1 reply".to_owned() } else { format!("{count} replies") }
}

pub(super) fn hits(common: &Common, answer: &Hits) -> anyhow::Result<()> {
    // What is sealed may hold it too.
    let is_whole = answer.coverage.is_whole() && answer.sealed == 0;
    let answered = || if is_whole { Ok(()) } else { Err(SaidNo.into()) };
    if common.json {
        output::json(answer)?;
        return answered();
    }
    let out = Out::stdout(runtime::clock::now());
    let mut text = String::new();
    for hit in &answer.hits {
        text.push_str(&format!(
            "{}  {}{} on {} ({} #{}), in the {} of its {}\n    {}\n",
            time(hit.at),
            out.paint(Tone::Bold, &one_line(hit.principal.as_deref().unwrap_or("-"))),
            party(hit.on_behalf_of.as_deref()),
            one_line(hit.resource.as_deref().unwrap_or("-")),
            one_line(hit.session.as_deref().unwrap_or("-")),
            hit.operation.unwrap_or(0),
            hit.place,
            if &*hit.kind == "operation" { "operation" } else { "reply" },
            one_line(&hit.excerpt),
        ));
    }
    match (answer.hits.is_empty(), is_whole) {
        (true, true) => text.push_str("found nowhere\n"),
        (_, true) => {}
        (_, false) => {
            let cannot = out.paint(Tone::Careful, "cannot say");
            text.push_str(&format!("{cannot} whether it occurs elsewhere\n"));
        }
    }
    if answer.more {
        text.push_str("there are more; ask about a shorter time\n");
    }
    if answer.sealed > 0 {
        let sealed = counted(answer.sealed, "event");
        text.push_str(&format!("{sealed} are sealed and could not be searched\n"));
    }
    text.push_str(&found_in(&answer.coverage));
    output::print(&text)?;
    answered()
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    #[test]
    fn it_is_told_who_worked_for_whom() {
        let out = Out::plain(Timestamp(0));
        let of = Use {
            principal: "agent-x".into(),
            on_behalf_of: Some("ann\nb".into()),
            client: Some("127.0.0.1:5".into()),
            decision: "allow".into(),
            ..Use::default()
        };
        let line = told(out, &of);
        assert!(line.contains("  agent-x for ann b from 127.0.0.1:5 "), "{line}");
        let line = told(out, &Use { on_behalf_of: None, ..of });
        assert!(line.contains("  agent-x from 127.0.0.1:5 "), "{line}");
    }
}
