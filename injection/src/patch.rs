//! The JSON Patch of an injection, computed over the pod's own JSON.
//!
//! It uses only `add`, `remove` and `replace`. A `test` operation would copy a value into the
//! patch, and so into the API server's audit log. Operations that shift indexes come last in their
//! list, so every index refers to the pod as it was read.

pub(crate) mod agent;
mod agent_env;
pub(crate) mod command;
pub(crate) mod env;
pub(crate) mod mounts;
pub(crate) mod paths;
mod reinvocation;
pub(crate) mod secret_volumes;
pub(crate) mod status;
pub(crate) mod templates;
pub(crate) mod volumes;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::Value;

pub(crate) fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

fn remove(path: PointerBuf) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path })
}

fn replace(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Replace(ReplaceOperation { path, value })
}

/// Appends `values` to the array at `path`. Creates the array if it does not exist: `add` at `/-`
/// of an absent array fails, and `add` of a whole array replaces an existing one.
fn append(path: PointerBuf, exists: bool, values: Vec<Value>, patch: &mut Vec<PatchOperation>) {
    if values.is_empty() {
        return;
    }
    if exists {
        patch.extend(values.into_iter().map(|value| add(path.with_trailing_token("-"), value)));
    } else {
        patch.push(add(path, Value::Array(values)));
    }
}
