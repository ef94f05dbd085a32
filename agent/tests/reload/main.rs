//! How real servers are told: HAProxy, PostgreSQL and Redis. What counts is the certificate that
//! they serve. And the requests of one, which the agent counts.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../stream/pod.rs"]
#[expect(dead_code, reason = "the other test uses all of it")]
mod pod;
#[path = "../stream/server.rs"]
#[expect(dead_code, reason = "the other test uses all of it")]
mod server;

mod haproxy;
mod pair;
mod postgres;
mod prometheus;
mod redis;
mod rotated;
mod tls_client;
