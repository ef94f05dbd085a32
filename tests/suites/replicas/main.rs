//! Two replicas of switchyard that share a PostgreSQL, and real agents at them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod agent;
mod cut_off;
mod keys;
mod leader;
mod pair;
mod push;
mod sqlite;
mod writers;
