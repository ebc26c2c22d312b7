//! Everything of the `narrows` program but its allocator: a library, so that its readers of text
//! can be called with texts.

mod anchors;
mod args;
mod backtest;
mod cancels;
mod client;
mod commands;
pub mod config;
mod control;
mod credentials;
mod explain;
mod holds;
mod hush;
mod moment;
mod notices;
mod output;
pub mod protocols;
mod sealing;
mod story;
mod streams;
mod taints;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

/// Does what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    archive::file::quiet_about_damage();
    commands::run(args::Arguments::parse())
}
