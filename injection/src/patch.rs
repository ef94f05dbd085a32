//! The JSON Patch of an injection, computed over the pod's own JSON.
//!
//! Only `add`, `remove` and `replace` are used: a `test` would copy a value into the patch, and so
//! into the API server's audit log. What takes an index away comes last in its list, so every index
//! is the one that the pod was read with.

pub(crate) mod agent;
pub(crate) mod env;
pub(crate) mod mounts;
mod shape;
pub(crate) mod volumes;

use serde::Serialize;
use serde_json::Value;

/// One operation of RFC 6902.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Adds a member, or inserts an element (`-` appends).
    Add {
        /// Where, as a JSON pointer.
        path: String,
        /// What.
        value: Value,
    },
    /// Removes what is there.
    Remove {
        /// Where, as a JSON pointer.
        path: String,
    },
    /// Replaces what is there.
    Replace {
        /// Where, as a JSON pointer.
        path: String,
        /// With what.
        value: Value,
    },
}

/// Appends `values` to the array at `path`, which is made where the pod has none: `add` at `…/-` of
/// an absent array fails, and `add` of a whole array replaces a present one.
pub(crate) fn append(path: &str, exists: bool, values: Vec<Value>, patch: &mut Vec<Operation>) {
    if values.is_empty() {
        return;
    }
    if exists {
        patch.extend(
            values.into_iter().map(|value| Operation::Add { path: format!("{path}/-"), value }),
        );
    } else {
        patch.push(Operation::Add { path: path.to_owned(), value: Value::Array(values) });
    }
}
