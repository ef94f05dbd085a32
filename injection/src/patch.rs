//! The JSON Patch of an injection, computed over the pod's own JSON.
//!
//! It uses only `add`, `remove` and `replace`. A `test` operation would copy a value into the
//! patch, and so into the API server's audit log. Operations that shift indexes come last in their
//! list, so every index refers to the pod as it was read.

pub(crate) mod agent;
mod agent_container;
mod agent_env;
pub(crate) mod command;
pub(crate) mod env;
pub(crate) mod mounts;
mod new_mount;
mod new_variable;
mod new_volume;
pub(crate) mod paths;
mod reinvocation;
pub(crate) mod secret_volumes;
pub(crate) mod status;
pub(crate) mod templates;
pub(crate) mod volumes;
