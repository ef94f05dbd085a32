//! Two replicas of switchyard on one PostgreSQL, with real agents.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod database_outage;
mod harness;
mod keys;
mod leader;
mod push;
mod sqlite;
mod writers;
