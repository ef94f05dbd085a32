//! Logins at real servers, with the real program.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod mysql;
mod postgres;
mod program;
mod redis;
