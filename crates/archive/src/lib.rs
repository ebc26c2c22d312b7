//! The archive: a gateway's recordings as a tamper-evident Parquet data set in the customer's own
//! store.
//!
//! Closed segments of the journal become Parquet files under `events/date=…/hour=…/`
//! ([`convert`]), and every minute the gateway signs a manifest that names them and chains to the
//! manifest before ([`manifest`]). [`Archiver`] does both; [`verify`] checks a copy without any
//! gateway.

#![deny(missing_docs)]

pub mod archiver;
pub mod bucket;
pub mod convert;
pub mod evidence;
pub mod file;
pub mod holds;
pub mod manifest;
pub mod merkle;
pub mod proof;
pub mod rewrap;
pub mod row;
pub mod schema;
pub mod sealing;
pub mod verify;

pub use archiver::{Archiver, Options, Retention, Rounds, Standing};
pub use bucket::{Bucket, BucketError, Location, LockMode, StoreEncryption};

#[cfg(test)]
mod tests;
