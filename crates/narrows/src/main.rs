//! The Narrows gateway and its commands.

mod args;
mod client;
mod commands;
mod config;
mod control;
mod explain;
mod output;
mod protocols;
mod story;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run(args::Arguments::parse())
}
