//! The responses of the sample application.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;

/// The response of `GET /state`.
#[derive(Clone, Debug, Deserialize)]
pub struct AppState {
    /// Its process id.
    pub pid: u32,
    /// When it started, in milliseconds since 1970.
    pub started_at: u64,
    /// How often it has read its files again.
    pub reloads: u64,
    /// When it last did so, in milliseconds since 1970.
    pub reloaded_at: Option<u64>,
    /// What triggered that: `signal` or `http`.
    pub reload_trigger: Option<String>,
    /// SHA-256 of each value, in hex, by the secret's name.
    pub digests: BTreeMap<String, String>,
    /// SHA-256 of each environment variable's value, in hex, by its name.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// The response of `GET /load`, and the last line of a load client.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadReport {
    /// Requests sent.
    pub sent: u64,
    /// Requests answered with 2xx.
    pub ok: u64,
    /// Requests that failed in any way.
    pub failed: u64,
    /// The median, in microseconds.
    #[serde(default)]
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    #[serde(default)]
    pub p99_us: u64,
    /// The first failure's reason.
    #[serde(default)]
    pub first_error: Option<String>,
}

/// SHA-256 in hex.
#[must_use]
pub fn sha256(value: &[u8]) -> String {
    digest(&SHA256, value).as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
