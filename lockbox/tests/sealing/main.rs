//! The embedded backend against tampering with its database, through changes of its key, and in
//! copies of the database.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod copies;
mod first_start;
mod formats;
mod harness;
mod rekey;
mod tampering;
