//! The agent with a real Vault and without switchyard. The Kubernetes API's review of tokens is a
//! stand-in; the real one is tested in the cluster.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod database;
mod harness;
mod kv;
mod login;
mod memory;
mod outages;
mod pki;
mod templates;
mod tls;
