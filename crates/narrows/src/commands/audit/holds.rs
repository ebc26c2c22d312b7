//! `narrows audit hold` and `narrows audit holds`.

use admin::{HoldAnswer, HoldRequest, HoldView, ReleaseRequest};
use archive::holds;

use super::{bucket, moment};
use crate::args::{Common, HoldArguments};
use crate::client::Client;
use crate::commands::{Misused, SaidNo};
use crate::holds::view;
use crate::output::{self, Cell, Out, Tone, clip, counted, one_line};

/// Characters of a reason that a list shows.
const REASON_CHARS: usize = 60;

/// Puts recordings on hold, or ends that.
pub(super) fn hold(common: &Common, ask: HoldArguments) -> anyhow::Result<()> {
    match ask.release {
        true => release(common, ask),
        false => place(common, ask),
    }
}

fn place(common: &Common, ask: HoldArguments) -> anyhow::Result<()> {
    let HoldArguments { what, principal, since, until, reason, .. } = ask;
    if let Some(hold) = what.as_ref().filter(|what| what.starts_with("hd_")) {
        let why = format!("{hold} is a hold already; name a session (s_…), or give --release");
        return Err(Misused::because(why));
    }
    let now = runtime::clock::now();
    let mut request = HoldRequest { session: what, principal, reason, ..HoldRequest::default() };
    if let Some(since) = since {
        let from = moment(&since, now)?;
        let to = until.map_or(Ok(now), |until| moment(&until, now))?;
        if from >= to {
            return Err(Misused::because("--since is not before --until"));
        }
        request.from = Some(admin::format_time(from));
        request.to = Some(admin::format_time(to));
    }
    let answer: HoldAnswer = Client::find(common)?.post("/api/v1/audit/hold", &request)?;
    told(
        common,
        &answer,
        &match answer.locks {
            true => format!("on hold; {} locked in the store", reached(&answer)),
            false => {
                "on hold: no key of it is erased. The store cannot lock its files: keep them from \
                  being deleted there by other means"
                    .to_owned()
            }
        },
    )
}

fn release(common: &Common, ask: HoldArguments) -> anyhow::Result<()> {
    let HoldArguments { what, principal, reason, .. } = ask;
    let (id, session) = match what {
        Some(what) if what.starts_with("hd_") => (Some(what), None),
        what => (None, what),
    };
    let request = ReleaseRequest { id, session, principal, reason };
    let answer: HoldAnswer = Client::find(common)?.post("/api/v1/audit/release", &request)?;
    told(
        common,
        &answer,
        &match answer.locks {
            true => {
                format!("released; {} free again, as far as no retention lasts", reached(&answer))
            }
            false => "released".to_owned(),
        },
    )
}

fn reached(answer: &HoldAnswer) -> String {
    let (files, manifests) = (counted(answer.files, "file"), counted(answer.manifests, "manifest"));
    let are = if answer.files + answer.manifests == 1 { "is" } else { "are" };
    format!("{files} and {manifests} {are}")
}

/// What could not be looked into may be reached by no lock: then it is no yes.
fn told(common: &Common, answer: &HoldAnswer, words: &str) -> anyhow::Result<()> {
    if common.json {
        output::json(answer)?;
    } else {
        let id = Out::stdout(runtime::clock::now()).paint(Tone::Bold, &answer.id);
        output::line(&format!("{id} {words}"))?;
        for unread in &answer.unread {
            eprintln!("could not be looked into: {}", one_line(unread));
        }
    }
    match answer.unread.is_empty() {
        true => Ok(()),
        false => Err(SaidNo.into()),
    }
}

/// Lists holds, of the gateway or of a copy.
pub(super) fn list(common: &Common, store: Option<&str>) -> anyhow::Result<()> {
    let holds: Vec<HoldView> = match store {
        Some(_) => {
            let bucket = bucket(common, store)?;
            holds::all(&bucket)?.into_iter().map(view).collect()
        }
        None => Client::find(common)?.get("/api/v1/audit/holds")?,
    };
    if common.json {
        return output::json(&holds);
    }
    if holds.is_empty() {
        return output::line("nothing is or was on hold");
    }
    let out = Out::stdout(runtime::clock::now());
    let rows: Vec<Vec<Cell>> = holds.iter().map(row).collect();
    let heading = ["ID", "ON HOLD", "SINCE", "BY", "REASON", "RELEASED"];
    output::print(&out.table(&heading, &rows))
}

fn row(hold: &HoldView) -> Vec<Cell> {
    let what = match hold {
        HoldView { session: Some(session), .. } => format!("session {session}"),
        HoldView { principal: Some(principal), .. } => format!("principal {principal}"),
        HoldView { from: Some(from), to: Some(to), .. } => format!("{from} to {to}"),
        _ => String::new(),
    };
    let released = hold.released_at.as_deref().map(|at| {
        let by = hold.released_by.as_deref().unwrap_or_default();
        format!("{at} by {}", one_line(by))
    });
    vec![
        Cell::new(Tone::Bold, one_line(&hold.id)),
        Cell::from(one_line(&what)),
        Cell::from(one_line(&hold.at)),
        Cell::from(one_line(&hold.by)),
        Cell::from(clip(&one_line(&hold.reason), REASON_CHARS)),
        Cell::from(released.unwrap_or_else(|| "no".to_owned())),
    ]
}
