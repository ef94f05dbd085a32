//! The decision from outside: pods in, patched pods or messages out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod agent_metrics;
mod delivery;
mod exec;
mod expansion;
mod generated;
mod golden;
mod haproxy;
mod injector;
mod key_names;
mod operator;
mod paths;
mod placement;
mod plaintext;
mod plaintext_policy;
mod platform;
mod properties;
mod references;
mod reinvocation;
mod rendered;
mod resources;
mod rules;
mod secret_refs;
mod secret_volumes;
mod signals;
mod support;
mod users;
mod vault;
mod vault_refusals;
mod verify;
mod violations;
