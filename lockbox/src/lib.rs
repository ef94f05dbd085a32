//! Lockbox: the library of backends that keep secret values.
//!
//! A [`Store`] keeps bytes under scope, name and version. Who may read them, and which version is
//! active, is decided by switchyard's ledger, not here. The `embedded` backend keeps sealed values
//! in switchyard's own database, the `vault` backend in HashiCorp Vault or OpenBao, and the
//! `onepassword` backend in a 1Password vault behind its Connect server.

mod aead;
pub mod conformance;
pub mod database;
pub mod embedded;
pub mod key;
pub mod key_source;
pub mod onepassword;
pub mod seal;
pub mod store;
mod value;
pub mod vault;

pub use database::{Database, Migration, Schema};
pub use embedded::Embedded;
pub use key::KeyFile;
pub use key_source::KeyConfig;
pub use onepassword::{OnePassword, OnePasswordConfig};
pub use store::{ActiveSecret, Capabilities, ExternalChange, StagedWrite, Store, StoreError};
pub use value::{Put, Reference, StoredVersion, ValueId};
pub use vault::{Vault, VaultConfig, VaultLogin};
