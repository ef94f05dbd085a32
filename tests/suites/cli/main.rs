//! The real `enclii` against a real switchyard: what people type and scripts rely on.
//!
//! Plain `cargo test` runs these; the programs are taken from `ENCLII_BIN`, where `make` puts
//! them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod access;
mod agents;
mod audit;
mod completions;
mod corpus;
mod doctor;
mod files;
mod formats;
mod harness;
mod inject;
mod jobs;
mod last_reads;
mod metadata;
mod migration;
mod mistakes;
mod references;
mod retries;
mod run;
mod scan;
mod search;
mod secrets;
mod terminal;
mod watch;
