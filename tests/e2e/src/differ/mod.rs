//! The differential fuzzer: statements of a grammar, run directly, through the gateway without masks
//! (P9) and with masks in two worlds that differ in nothing but what the masks hide (P3).
//!
//! A case is made of choices, and choices are made of a seed, so a seed tells everything. A finding
//! is made smaller by leaving choices out.
//!
//! What the guide says masks cannot do is not looked for: the time a statement takes, the order of
//! rows without ORDER BY, physical places of rows, sizes, and what administrators' own checks,
//! triggers and views decide. How the server plans is made alike: tables are as large everywhere, and
//! the databases without masks have the settings that a session with masks begins with.

mod canary;
mod case;
mod choices;
mod judge;
mod lines;
mod maker;
mod prefix;
mod query;
mod run;
mod schema;
mod seen;
mod sources;
mod templates;
mod types;
mod worlds;
mod write;

pub use case::{Case, Step, case};
pub use judge::{Promise, Tally};
pub use run::{Ending, Options, Report, again, ask, fuzz};
