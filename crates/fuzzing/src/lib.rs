//! What the fuzz targets do with arbitrary bytes, and what must hold whatever these are.
//!
//! One target for each decoder of bytes that somebody else made: a client, a server, an operator's
//! editor, a disk. A target does not only wait for a panic; it asserts promises (P1 to P10).
//! `fuzz/` runs them under a coverage-guided fuzzer, and `tests/replay.rs` runs them over the seeds
//! and over cheap mutations of these in every test run. For development only.

#![deny(missing_docs)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a target that cannot go on has found something"
)]

mod bytes_of;
mod config;
mod detect;
mod exchange;
mod http;
mod journal;
mod jwt;
mod postgres;
mod rules;
mod saml;
pub mod seeds;
mod shape;
mod taint;

/// A target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: a file of `fuzz/fuzz_targets` and a folder of `fuzz/seeds`.
    pub name: &'static str,
    /// What it does with bytes. Panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "config", run: config::config },
    Target { name: "detect", run: detect::detect },
    Target { name: "http_body", run: http::body },
    Target { name: "http_canonical", run: http::canonical },
    Target { name: "http_exchange", run: exchange::exchange },
    Target { name: "http_explain", run: exchange::explained },
    Target { name: "http_hello", run: http::hello },
    Target { name: "journal", run: journal::journal },
    Target { name: "jwt", run: jwt::jwt },
    Target { name: "postgres_client", run: postgres::session::client },
    Target { name: "postgres_copy", run: postgres::copy::copy },
    Target { name: "postgres_login", run: postgres::login::login },
    Target { name: "postgres_render", run: postgres::render::render },
    Target { name: "postgres_rows", run: postgres::rows::rows },
    Target { name: "postgres_survey", run: postgres::survey::survey },
    Target { name: "postgres_upstream", run: postgres::session::upstream },
    Target { name: "rules", run: rules::rules },
    Target { name: "saml", run: saml::saml },
    Target { name: "sql", run: sql::fuzz },
    Target { name: "sql_shape", run: shape::shape },
    Target { name: "taint", run: taint::taint },
];

/// Runs the target of this name.
///
/// # Panics
/// A promise is broken, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target is called {name}")).run)(data);
}
