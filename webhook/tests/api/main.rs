//! The parts that watch the API, against a fake API server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod fake_server;
mod registered;
mod registration;
mod trust;
mod version;
