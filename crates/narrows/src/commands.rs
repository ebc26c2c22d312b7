//! The commands, one file per noun. Exit codes: 0 done, 1 no, 2 wrong usage.

mod access;
mod agent;
mod approvals;
pub(crate) mod audit;
pub mod check;
mod doctor;
mod explain;
pub mod export;
mod gateway;
mod login;
mod merged;
mod replies;
mod rules;
mod serve;
mod sessions;
mod token;

use std::process::ExitCode;

use crate::args::{Arguments, Command};

/// The answer is no, and everything was said already.
#[derive(Debug)]
pub struct SaidNo;

impl std::fmt::Display for SaidNo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no")
    }
}

impl std::error::Error for SaidNo {}

/// What was asked cannot be done as it was written.
#[derive(Debug)]
pub struct Misused(String);

impl Misused {
    /// With what would be right.
    pub fn because(why: impl Into<String>) -> anyhow::Error {
        Self(why.into()).into()
    }
}

impl std::fmt::Display for Misused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misused {}

/// Runs a command and says what went wrong, if it did.
pub fn run(arguments: Arguments) -> ExitCode {
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.downcast_ref::<SaidNo>().is_none() {
                // Errors repeat names that peers and stores gave.
                eprintln!("narrows: {}", crate::output::printable(&format!("{error:#}")));
            }
            ExitCode::from(if error.is::<Misused>() { 2 } else { 1 })
        }
    }
}

fn dispatch(Arguments { common, command }: Arguments) -> anyhow::Result<()> {
    let common = &common;
    match command {
        Command::Serve { dumpable } => serve::serve(common, dumpable),
        Command::Check { show, sample } => check::check(common, show, sample),
        Command::Schema => check::schema(),
        Command::Reload => gateway::reload(common),
        Command::Login { device: true, .. } => login::by_device(common),
        Command::Login { no_browser, .. } => login::by_browser(common, no_browser),
        Command::Logout => login::logout(common),
        Command::Whoami => login::whoami(common),
        Command::Ca => gateway::ca(common),
        Command::Resources => gateway::resources(common),
        Command::Token(command) => token::token(common, command),
        Command::Sessions(filter) => sessions::list(common, &filter),
        Command::Show { run: Some(run), full, .. } => sessions::show_run(common, &run, full),
        Command::Show { session, full, .. } => {
            sessions::show(common, &session.unwrap_or_default(), full)
        }
        Command::Replay { session, as_client: true, .. } => replies::as_client(common, &session),
        Command::Replay { session, speed, .. } => sessions::replay(common, &session, speed),
        Command::Watch { session } => sessions::watch(common, &session),
        Command::Kill { session, reason } => sessions::kill(common, &session, reason),
        Command::Audit(command) => audit::audit(common, command),
        Command::Approvals { command: Some(command), .. } => approvals::one(common, command),
        Command::Approvals { status, command: None } => approvals::list(common, status),
        Command::Request { resource, duration, reason } => {
            let ask = admin::AccessRequest { resource, duration, reason };
            access::request(common, &ask)
        }
        Command::Access(command) => access::access(common, command),
        Command::Approve { id, duration, session, reason } => {
            let ask = admin::ApproveRequest { duration, session, reason };
            approvals::approve(common, &id, &ask)
        }
        Command::Deny { id, reason } => approvals::deny(common, &id, reason),
        Command::Explain { subject, groups, kind, on, text } => {
            explain::explain(common, subject, groups, kind, on, text)
        }
        Command::Rules(command) => rules::rules(common, command),
        Command::Env { bundle } => agent::env(common, bundle),
        Command::Run { bundle, command } => agent::run(common, bundle, command),
        Command::Doctor => doctor::doctor(common),
    }
}
