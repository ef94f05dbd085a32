//! The annotations of HashiCorp's Vault Agent Injector, `vault.hashicorp.com/*`, where the operator
//! turns them on. Pure.
//!
//! ```text
//! table      every annotation: used, ignored or refused, and why
//! annotation which of them a key is
//! file       what one file is made of: path, template, mode
//! files      all of them, and what their templates read
//! path       a path in a template → what the agent reads from Vault
//! command    a command after a change → how the application is told
//! login      role, mount and namespace, from the operator's list
//! of_pod     what holds for the pod as a whole
//! request    all of it → what the agent does
//! ```
//!
//! An annotation chooses no address, no CA and, by itself, no role:
//! [`VaultCompat`](crate::VaultCompat) says which.

mod annotation;
mod command;
mod file;
mod files;
mod login;
mod mapping;
mod of_pod;
mod path;
mod request;
mod table;

pub(crate) use login::LoginChoice;
pub use mapping::{Mapped, Mapping};
pub(crate) use request::explain_vault;
pub use request::{COMPAT_BUNDLE, asks_for_vault};
pub(crate) use request::{VaultRequest, VaultVolume};
pub use table::{ANNOTATIONS, AnnotationForm, PREFIX, Treatment, VaultAnnotation};
