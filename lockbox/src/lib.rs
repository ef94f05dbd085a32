//! Lockbox: where secret values are kept.
//!
//! A [`Store`] keeps bytes under scope, name and version and says what it can do besides; who may
//! read them, and which version is in use, is switchyard's ledger and none of this crate's
//! business. The `embedded` backend keeps values sealed in switchyard's own database, the `vault`
//! backend in HashiCorp Vault or OpenBao, the `onepassword` backend in a vault of 1Password, behind
//! its Connect server.

mod aead;
pub mod conformance;
pub mod database;
pub mod embedded;
pub mod key;
pub mod onepassword;
pub mod seal;
pub mod store;
pub mod vault;

pub use database::Database;
pub use embedded::Embedded;
pub use key::{KeyFile, Keys};
pub use onepassword::{OnePassword, OnePasswordConfig};
pub use store::{Capabilities, Changed, Known, Put, Reference, Store, StoreError, Stored};
pub use vault::{Vault, VaultConfig, VaultLogin};
