//! What the manifests install and SECURITY.md promises, without a cluster.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod guide;
mod keeper;
mod objects;
mod policies;
mod priority;
mod rights;
mod security;
mod vault;
