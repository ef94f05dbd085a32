//! The command line's process against switchyard's: what a person types and a script relies on.
//!
//! Plain `cargo test` runs these; the programs are taken from `ENCLII_BIN`, where `make build` puts
//! them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod audit;
mod completions;
mod doctor;
mod files;
mod run;
mod secrets;
mod terminal;
mod torn;
mod watch;
mod world;
