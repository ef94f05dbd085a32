//! Two replicas of switchyard that share a PostgreSQL, and real agents at them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod agent;
mod database_outage;
mod harness;
mod keys;
mod leader;
mod push;
mod sqlite;
mod writers;
