//! The agent against a test server: real TLS, real frames, a real directory.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod application;
mod fatal_signal;
mod files;
mod kill;
mod login;
mod logins;
mod metrics;
mod misbehaviour;
mod once;
mod outages;
mod pod;
mod process;
mod requests;
mod server;
mod templates;
mod variables;
mod vault_misbehaviour;
mod verification;
mod volumes;
