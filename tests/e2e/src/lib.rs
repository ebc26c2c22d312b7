//! A private PostgreSQL, a gateway in front of it, and real clients: what the end-to-end tests
//! stand on.
//!
//! Each test starts its own server and gateway in folders of its own and ends both when it is over.
//! Nothing here imports a crate of ours: the tests know the gateway as users know it, by its
//! binary, its files and its sockets.

mod agent;
mod archive;
mod bao;
mod browser;
mod bucket;
mod client;
mod config;
pub mod differ;
mod faults;
mod gateway;
mod http;
mod lab;
mod place;
mod process;
mod provider;
mod receiver;
mod rsyslog;
mod server;
mod simplesamlphp;
mod transcript;
mod until;
pub mod web;
mod wire;

pub use agent::{Agent, confined, start_confined};
pub use archive::{evidence, public_key, uses};
pub use bao::Bao;
pub use browser::Browser;
pub use bucket::{Bucket, Credentials};
pub use client::{Driver, Psql};
pub use config::{Config, RULES};
pub use faults::{Disks, Faults, Filler};
pub use gateway::{Gateway, Ports, Token};
pub use http::Response;
pub use lab::{Lab, lab, lab_with};
pub use place::{example, gateway as binary, own, python, repository};
pub use process::{Child, Output, as_other};
pub use provider::Provider;
pub use receiver::{Receiver, SECRET, events};
pub use rsyslog::Rsyslog;
pub use server::{APP_PASSWORD, Server, Upstream};
pub use simplesamlphp::SimpleSamlPhp;
pub use transcript::{Mode, different, exchange, line, run, without_words};
pub use until::{until, within};
pub use wire::{Message, PgError, Reply, Wire, bind, describe, execute, message, parse, sync};
