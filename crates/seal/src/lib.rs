//! Seals the sensitive fields of recordings with keys the customer holds (R18).
//!
//! Before a closed journal segment becomes Parquet, the texts, parameters and payloads of its
//! events are sealed, each session's with a fresh random [`DataKey`] of its own. The data keys of a
//! segment are stored, wrapped by a [`KeyEncryption`], in one small object ([`SegmentKeys`]) apart
//! from the Parquet. Dropping a session's entry there erases what the session said, everywhere,
//! while the Parquet, the Merkle leaves over its ciphertext and the signatures stay as they are.
//!
//! ```text
//! field ── DataKey (one per session and segment) ──▶ ciphertext ‖ tag, in the Parquet
//!             └── wrapped by ── LocalKey │ PublicKey │ VaultTransit │ AwsKms ──▶ SegmentKeys
//! ```
//!
//! This crate knows no file and no object store: callers read and write the bytes. It does speak to
//! key services, synchronously and with bounded time and tries, so call it from a thread that may
//! wait. Nothing in here prints key material, and [`SealError`] never contains any.
//!
//! Other secrets of the same services are read through [`VaultClient`].
//!
//! What is *not* hidden: that a field exists, and how long it is.

#![deny(missing_docs)]

mod aws_secrets;
mod data_key;
mod encryption;
mod error;
mod kms;
mod local;
mod remote;
mod rsa;
mod segment_keys;
mod sigv4;
#[cfg(test)]
mod testing;
mod vault;

pub use aws_secrets::{AwsSecrets, AwsSecretsOptions};
pub use data_key::{DATA_KEY_BYTES, DataKey, Place, SEAL_OVERHEAD_BYTES};
pub use encryption::{KeyContext, KeyEncryption, Keys, Wrapped};
pub use error::{Blame, SealError};
pub use kms::{AwsCredentials, AwsCredentialsSource, AwsKms, AwsKmsOptions};
pub use local::LocalKey;
pub use remote::{Purpose, RemoteOptions, Roots};
pub use rsa::{PrivateKey, PublicKey};
pub use segment_keys::{Entry, Rewraps, SEGMENT_KEYS_VERSION, SegmentKeys};
pub use vault::{
    VaultAuth, VaultClient, VaultLogin, VaultOptions, VaultServer, VaultToken, VaultTransit,
};
