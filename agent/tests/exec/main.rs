//! `enclii-agent exec` as a real process, with real commands.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod container;
mod environment;
mod first_process;
mod restart;
mod signals;
