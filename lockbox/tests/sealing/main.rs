//! What the embedded backend keeps, against those who can write to its database, through the change
//! of its key, and in copies of it.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod attacks;
mod copies;
mod first;
mod formats;
mod rekey;
mod world;
