//! Where secrets come from: the configuration, the environment, files, commands, and stores of
//! others that are asked again and again ([`Stores`]).
//!
//! What a store said last is kept and used while the store cannot be asked; connections wait for a
//! store only where nothing is known yet. A credential of a database secrets engine is one
//! session's alone ([`Lease`]): renewed while the session lives, revoked when it ends.
//!
//! Nothing in here prints a secret, and no error holds one.

#![deny(missing_docs)]

mod aws;
mod keeper;
mod lease;
mod plan;
mod reference;
mod source;
mod stores;
mod vault;

pub use lease::{CredentialSource, Lease, Whom};
pub use plan::{LoginPlan, StoresPlan, VaultAuthPlan, VaultPlan};
pub use reference::{Reference, credential_path};
pub use source::{SecretError, SecretSource};
pub use stores::{Kept, News, Stores};
