//! Switchyard as its users meet it: over TLS on loopback, with a real database, real certificates
//! and pods from a development file.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

mod access;
mod agent;
mod api;
mod audit;
mod audit_completeness;
mod audit_integrity;
mod audit_lists;
mod collector;
mod crash;
mod crash_loop;
mod destroy;
mod disk;
mod fault_injection;
mod harness;
mod host;
mod identity_provider;
mod onepassword;
mod pods;
mod rekey;
mod restart;
mod restore;
mod rsyslog;
mod strangers;
mod streams;
mod upgrade;
