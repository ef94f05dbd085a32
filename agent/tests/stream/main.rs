//! The agent against a test server: real TLS, real frames, a real directory.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod application;
mod fatal_signal;
mod files;
mod login;
mod logins;
mod once;
mod pod;
mod requests;
mod server;
mod templates;
mod variables;
mod verification;
mod volumes;
