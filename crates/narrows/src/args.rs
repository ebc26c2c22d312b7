//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::moment::Moment;

/// A gateway between agents and the infrastructure they reach.
#[derive(Debug, Parser)]
#[command(name = "narrows", version, about, max_term_width = 100)]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// The configuration file [default: narrows.yaml]
    #[arg(short, long, global = true, value_name = "FILE", env = "NARROWS_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address of the gateway's admin API, instead of the one in the configuration
    #[arg(long, global = true, env = "NARROWS_URL")]
    pub url: Option<String>,
    /// Token for the admin API, instead of that of narrows login, or data_dir/admin.token
    #[arg(long, global = true, env = "NARROWS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve {
        /// For debugging: let core dumps be written and debuggers attach. Both show secrets
        #[arg(long)]
        dumpable: bool,
    },
    /// Check the configuration: every problem in one run
    Check {
        /// Print the working configuration, defaults filled in, secrets hidden
        #[arg(long)]
        show: bool,
        /// Print a configuration to begin with
        #[arg(long, conflicts_with = "show")]
        sample: bool,
    },
    /// Make the running gateway read its configuration again: all of it or nothing
    Reload,
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Print the certificate of the local CA, for clients to trust
    Ca,
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Sign in at the gateway: other commands then act for you, with your groups
    Login {
        /// Sign in with any browser, on another machine: compare a code
        #[arg(long)]
        device: bool,
        /// Print the address only, and open no browser
        #[arg(long)]
        no_browser: bool,
    },
    /// Sign out: end the token that narrows login got
    Logout,
    /// Say who the gateway takes you for, and what you may do there
    Whoami,
    /// List the upstreams
    Resources,
    /// List sessions, newest first
    Sessions(SessionsFilter),
    /// Tell a session as a story, or everything that belongs to one run
    Show {
        /// The session: s_…
        #[arg(required_unless_present = "run")]
        session: Option<String>,
        /// Everything of a token (tk_…), of a run its client named, or of both (tk_…/NAME), across
        /// resources and in order
        #[arg(long, conflicts_with = "session")]
        run: Option<String>,
        /// Print whole replies
        #[arg(long)]
        full: bool,
    },
    /// Tell a session again, with its timing
    Replay {
        /// The session: s_…
        session: String,
        /// Times as fast as it was; 0 does not wait
        #[arg(long, default_value_t = 1.0, value_parser = speed)]
        speed: f64,
        /// Write exactly the bytes that the client got, and nothing else
        #[arg(long, conflicts_with = "speed")]
        as_client: bool,
    },
    /// Follow a live session
    Watch {
        /// The session: s_…
        session: String,
    },
    /// End a live session
    Kill {
        /// The session: s_…
        session: String,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
    /// Ask the recordings, and check that they are whole
    #[command(subcommand)]
    Audit(AuditCommand),
    /// List the operations that wait for a person
    #[command(args_conflicts_with_subcommands = true)]
    Approvals {
        /// pending, approved, denied, expired, withdrawn or all
        #[arg(long, default_value = "pending")]
        status: ApprovalStatus,
        /// About one of them, instead of a list
        #[command(subcommand)]
        command: Option<ApprovalsCommand>,
    },
    /// Ask for access to a resource for a time, as the holder of the token
    Request {
        /// The resource
        resource: String,
        /// For how long, from the yes on: 2h
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        duration: String,
        /// Why; whoever answers reads it
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        reason: String,
    },
    /// Say who can reach what, and end access that was given for a time
    #[command(subcommand)]
    Access(AccessCommand),
    /// Say yes to an operation that waits
    Approve {
        /// The approval: ap_…
        id: String,
        /// Cover repeats of the same operation for this long: 30m
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        #[arg(conflicts_with = "session")]
        duration: Option<String>,
        /// Cover repeats of the same operation in the same session
        #[arg(long)]
        session: bool,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Say no to an operation that waits
    Deny {
        /// The approval: ap_…
        id: String,
        /// Why; the client is told
        #[arg(long)]
        reason: String,
    },
    /// Say which rules and masks an operation would meet, and why; nothing is sent upstream
    Explain {
        /// Who would ask
        #[arg(long = "as", value_name = "SUBJECT")]
        subject: String,
        /// Groups of the one who would ask
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// What kind of actor it is
        #[arg(long, default_value = "agent")]
        kind: Kind,
        /// The resource
        #[arg(long, value_name = "RESOURCE")]
        on: String,
        /// The operation: SQL, or METHOD URL
        #[arg(value_name = "SQL or request")]
        text: String,
    },
    /// Try rules on what was recorded
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Print what an agent's environment must hold: eval "$(narrows env --token nrw_…)"
    Env {
        /// Where the certificates to trust are written [default: narrows-ca-bundle.pem beside the
        /// configuration]
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// Start a program whose only way out is the gateway: narrows run --token nrw_… -- COMMAND
    Run {
        /// Where the certificates to trust are written [default: narrows-ca-bundle.pem beside the
        /// configuration]
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
        /// The program and its arguments
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Look for what is wrong on this machine
    Doctor,
}

/// One approval.
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// Wait until it is answered; also for whoever asked, with their own token. Exits with 0 when
    /// it was approved
    Wait {
        /// The approval: ap_…
        id: String,
        /// How long to wait: 10m; until it expires when left out
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        timeout: Option<String>,
    },
    /// End what a yes still covers
    Revoke {
        /// The approval: ap_…
        id: String,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
}

/// Who can reach what.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Who can reach a resource, when, and by what
    WhoCan {
        /// The resource
        resource: String,
    },
    /// What somebody can reach, when, and by what
    WhatCan {
        /// Who
        subject: String,
        /// A group of theirs, besides those of their tokens; may be repeated
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
    },
    /// List access that was given for a time and is in force
    List,
    /// End access that was given for a time; sessions that have no other end at once
    Revoke {
        /// The approval that gave it: ap_…
        id: String,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
}

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is shown once
    Create {
        /// Who it stands for
        name: String,
        /// A group of the subject; may be repeated
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// What kind of actor it is
        #[arg(long, default_value = "agent")]
        kind: Kind,
        /// How long it is good for: 1h, 7d; until revoked when left out
        #[arg(long, value_parser = duration)]
        ttl: Option<String>,
    },
    /// List tokens, without the tokens themselves
    List,
    /// Revoke a token and end its live sessions
    Revoke {
        /// Its public name: tk_…, lt_… for one of a sign-in, or jwt_… for one of an identity
        /// provider (as sessions show it)
        id: String,
    },
}

/// Rules before they are in force.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Run what was recorded through other rules: what would be refused, held, masked or let go
    /// that was not. Needs no gateway, and changes nothing
    Backtest {
        /// The rules: a folder or file of rules, in place of the configuration's; or a whole
        /// configuration
        #[arg(value_name = "NEW")]
        new: PathBuf,
        /// Since: 1h, 7d, or a time
        #[arg(long, default_value = "7d")]
        since: Moment,
        /// A copy of the archive to read instead of the configuration's: a folder, file:…, s3://…
        #[arg(long, value_name = "PLACE")]
        store: Option<String>,
        /// Exit with 1 when something would change, or may
        #[arg(long)]
        fail_on_change: bool,
    },
}

/// Questions to the recordings.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Who read or wrote a table, when, and what they got
    Who {
        /// The table: schema.table, or table in any schema
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        table: String,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        copy: Copied,
    },
    /// Which fields were returned, and how each was masked
    Fields {
        /// The session: s_…
        session: Option<String>,
        /// All sessions of this subject
        #[arg(long)]
        principal: Option<String>,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        copy: Copied,
    },
    /// Whether sensitive values were sent out, and how that is known
    Pii {
        /// List only replies in which some left in clear
        #[arg(long)]
        sent: bool,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        copy: Copied,
    },
    /// Where a text occurs in statements, requests and replies
    Search {
        /// What to look for
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        text: String,
        #[command(flatten)]
        when: When,
        #[command(flatten)]
        copy: Copied,
    },
    /// Check that the archive is whole and unchanged; needs no gateway
    Verify {
        /// A copy of the archive: a folder, file:…, s3://… [default: recording.store]
        #[arg(long, value_name = "PLACE")]
        store: Option<String>,
        /// A key that may have signed it, of one gateway or of any; may be repeated [default: the
        /// key in data_dir, for this gateway]
        #[arg(long, value_name = "[GATEWAY=]FILE")]
        public_key: Vec<String>,
        /// Check this proof of one session instead of an archive
        #[arg(long, value_name = "FILE")]
        #[arg(conflicts_with_all = ["store", "since", "until", "anchor"])]
        proof: Option<PathBuf>,
        /// Without any key: check only that what is there belongs together
        #[arg(long, conflicts_with_all = ["public_key", "proof"])]
        unsigned: bool,
        /// Only from the day of this time on
        #[arg(long, value_parser = time)]
        since: Option<String>,
        /// It must reach at least so far
        #[arg(long, value_parser = time)]
        until: Option<String>,
        /// What it held once, as narrows audit anchor printed it; may be repeated
        #[arg(long, value_name = "FILE")]
        anchor: Vec<PathBuf>,
        /// Only this gateway
        #[arg(long)]
        gateway: Option<String>,
    },
    /// Write recordings in a format that other tools read
    Export(ExportArguments),
    /// Make what a session or a subject said unreadable, by erasing the keys it is sealed with
    Erase {
        /// The session: s_…
        #[arg(required_unless_present = "principal")]
        session: Option<String>,
        /// All sessions of this subject
        #[arg(long, conflicts_with = "session")]
        principal: Option<String>,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
    /// Keep recordings, and keep them readable, until the hold is released
    Hold(HoldArguments),
    /// List what is or was on hold
    Holds {
        /// A copy of the archive to ask instead of the gateway: a folder, file:…, s3://…
        #[arg(long, value_name = "PLACE")]
        store: Option<String>,
    },
    /// Wrap the keys of what is sealed anew, with the current key, so that former ones can be
    /// destroyed; what is erased stays so
    Rewrap {
        /// An archive to do it in without a gateway: a folder, file:…, s3://…
        #[arg(long, value_name = "PLACE", requires_all = ["key", "to"])]
        store: Option<String>,
        /// A key that opens what is there: 32 bytes, or an RSA private key (PEM); may be repeated
        #[arg(long, value_name = "FILE", requires = "store")]
        key: Vec<PathBuf>,
        /// The key that shall wrap: one of these, or an RSA public key (PEM)
        #[arg(long, value_name = "FILE", requires = "store")]
        to: Option<PathBuf>,
    },
    /// Print what a session said, opened with a key, from a copy of the archive
    Unseal {
        /// The session: s_…
        session: String,
        #[command(flatten)]
        copy: Copied,
    },
    /// Build the index of sessions again, from the archive and the journal
    Reindex,
    /// Write what a session did with the proof that it was signed, for someone to check alone
    Prove {
        /// The session: s_…
        session: String,
        /// The archive [default: recording.store]
        #[arg(long, value_name = "PLACE")]
        store: Option<String>,
    },
    /// Print the public key that checks this gateway's manifests
    Key,
    /// Print how far the archive reaches, to keep elsewhere and verify with later
    Anchor,
}

/// What is to be on hold, or is to be no longer.
#[derive(Clone, Debug, Args)]
pub struct HoldArguments {
    /// The session: s_…; with --release also the hold: hd_…
    #[arg(required_unless_present_any = ["principal", "since"])]
    pub what: Option<String>,
    /// All that this subject did and does
    #[arg(long, conflicts_with = "what")]
    pub principal: Option<String>,
    /// All that happened from this time on: how long ago (1h, 7d) or when
    #[arg(long, value_parser = time, conflicts_with_all = ["what", "principal", "release"])]
    pub since: Option<String>,
    /// And before this time [default: now]
    #[arg(long, value_parser = time, requires = "since")]
    pub until: Option<String>,
    /// Why, for the record
    #[arg(long)]
    pub reason: String,
    /// End the hold
    #[arg(long)]
    pub release: bool,
}

/// A copy of the archive, asked instead of the gateway.
#[derive(Clone, Debug, Default, Args)]
pub struct Copied {
    /// A copy of the archive to ask instead of the gateway: a folder, file:…, s3://…
    #[arg(long, value_name = "PLACE")]
    pub store: Option<String>,
    /// The key that opens what is sealed there: 32 bytes, or an RSA private key (PEM)
    #[arg(long, value_name = "FILE", requires = "store")]
    pub key: Option<PathBuf>,
}

/// Which time is asked about.
#[derive(Clone, Debug, Default, Args)]
pub struct When {
    /// Around this time, such as 2026-11-22T02:17Z
    #[arg(long, value_name = "TIME", conflicts_with = "since", value_parser = time)]
    pub at: Option<String>,
    /// How long before and after it [default: 5m]
    #[arg(long, value_name = "DURATION", requires = "at", value_parser = duration)]
    pub window: Option<String>,
    /// Since: 1h, 7d, or a time [default: 1d]
    #[arg(long, value_parser = time)]
    pub since: Option<String>,
}

/// What is exported, as what, and where it goes.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The session: s_…
    #[arg(required_unless_present_any = ["principal", "since"])]
    #[arg(conflicts_with_all = ["principal", "since"])]
    pub session: Option<String>,
    /// All sessions of this subject
    #[arg(long)]
    pub principal: Option<String>,
    /// Events since: 1h, 7d, or a time
    #[arg(long, value_parser = time)]
    pub since: Option<String>,
    /// jsonl, ocsf, har, asciicast or csv
    #[arg(long, value_parser = crate::commands::export::format)]
    pub format: export::Format,
    /// The file to write, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub copy: Copied,
}

/// Which sessions.
#[derive(Debug, Args)]
pub struct SessionsFilter {
    /// Only those active since: 1h, 7d, or a time such as 2026-11-23T07:00:00Z
    #[arg(long)]
    pub since: Option<String>,
    /// Only those of this subject
    #[arg(long)]
    pub principal: Option<String>,
    /// Only those that named this table
    #[arg(long)]
    pub table: Option<String>,
    /// Only those that are alive
    #[arg(long)]
    pub live: bool,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// What kind of actor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Kind {
    /// A program that acts on a model's output
    Agent,
    /// A human being; may answer approvals
    Person,
    /// A program that does what its code says
    Service,
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Person => "person",
            Self::Service => "service",
        }
    }
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ApprovalStatus {
    Pending,
    Approved,
    Denied,
    Expired,
    Withdrawn,
    All,
}

impl ApprovalStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::All => "all",
        }
    }
}

/// How long ago, or a time.
fn time(text: &str) -> Result<String, String> {
    let read = crate::commands::audit::moment(text, runtime::clock::now());
    read.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<String, String> {
    match admin::parse_duration(text) {
        Some(length) if !length.is_zero() => Ok(text.to_owned()),
        _ => Err("write a length of time such as 30m, 1h, 7d".to_owned()),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed >= 0.0 => Ok(speed),
        _ => Err("write a number, 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("narrows").chain(line.split(' ')))
    }

    #[test]
    fn a_time_that_is_none_is_wrong_usage() {
        let error = parse("rules backtest new.yaml --since yesterday").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("write how long ago"), "{error}");
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_guide_can_be_typed() {
        for line in [
            "serve",
            "serve -c narrows.yaml",
            "-c narrows.yaml serve",
            "check",
            "check --show",
            "check --sample",
            "reload",
            "schema",
            "ca",
            "token create bot --group agents --group dba --kind person --ttl 1h --json",
            "token list",
            "token revoke tk_1",
            "resources --json",
            "sessions --since 1h --principal bot --table customers --live",
            "show s_1",
            "replay s_1 --speed 0",
            "replay s_1 --as-client",
            "watch s_1",
            "kill s_1 --reason odd",
            "audit who --table customers --at 2026-11-22T02:17Z --window 5m",
            "audit fields s_1",
            "audit fields --principal bot --since 7d --json",
            "audit pii --sent --since 1h",
            "audit search secret --store ./copy",
            "audit verify --store s3://b/p --public-key k.pem --until 1h --anchor a.json",
            "audit export s_1 --format jsonl",
            "audit export --principal bot --since 7d --format csv -o out.csv --store ./copy",
            "audit key",
            "audit prove s_1 --store ./copy",
            "audit verify --proof p.json --public-key k.pem",
            "audit reindex",
            "audit erase s_1 --reason asked",
            "audit erase --principal ann --reason asked",
            "audit hold s_1 --reason asked",
            "audit hold --principal ann --reason asked",
            "audit hold --since 7d --until 1d --reason asked",
            "audit hold hd_1 --release --reason over",
            "audit hold --principal ann --release --reason over",
            "audit holds",
            "audit holds --store ./copy",
            "audit rewrap",
            "audit rewrap --store ./copy --key old.key --key older.pem --to new.pem",
            "audit unseal s_1 --store ./copy --key k",
            "audit anchor",
            "approvals",
            "approvals --status all",
            "approvals wait ap_1 --timeout 10m",
            "approvals revoke ap_1 --reason over",
            "request appdb --for 2h --reason incident",
            "access who-can appdb --json",
            "access what-can bot --group agents --group dba",
            "access list",
            "access revoke ap_1",
            "approve ap_1 --for 30m --reason fine",
            "approve ap_1 --session",
            "deny ap_1 --reason no",
            "explain --as bot --group agents --on appdb select",
            "rules backtest new-rules",
            "rules backtest --since 7d new.yaml --store ./copy --fail-on-change --json",
            "doctor",
            "env --token nrw_x --bundle b.pem",
            "run --token nrw_x -- curl -s http://a",
            "--url http://127.0.0.1:1 --token nrw_x sessions",
        ] {
            if let Err(error) = parse(line) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for line in [
            "srve",
            "audit rewrap --store ./copy",
            "audit rewrap --store ./copy --key old.key",
            "audit rewrap --key old.key --to new.pem",
            "show",
            "deny ap_1",
            "approvals wait",
            "approvals wait ap_1 --timeout soon",
            "request appdb",
            "request appdb --for 2h",
            "access",
            "approve ap_1 --for soon",
            "approve ap_1 --for 30m --session",
            "token create",
            "token create bot --kind robot",
            "token create bot --ttl 0",
            "replay s_1 --speed -1",
            "replay s_1 --speed 2 --as-client",
            "audit export --format csv",
            "audit export s_1",
            "audit export s_1 --format pdf",
            "audit export s_1 --principal bot --format csv",
            "explain --as bot select",
            "demo",
            "rules",
            "rules backtest",
            "run --token nrw_x",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
