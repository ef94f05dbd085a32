//! What etcd has on disk of an object, where the run's own cluster lets us look.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The stored bytes of a key, or `None` where the cluster is somebody else's and its etcd out of
/// reach.
pub(crate) fn stored(key: &str) -> Result<Option<Vec<u8>>> {
    let Ok(endpoint) = std::env::var("ETCD_ENDPOINT") else { return Ok(None) };
    let client = e2e::http::plain_client()?;
    let answer = client
        .post(format!("{endpoint}/v3/kv/range"))
        .body(json!({"key": STANDARD.encode(key)}).to_string())
        .send()?;
    let answer: Value = serde_json::from_slice(&answer.bytes()?)?;
    let value = answer["kvs"][0]["value"]
        .as_str()
        .with_context(|| format!("etcd has no {key}: {answer}"))?;
    Ok(Some(STANDARD.decode(value)?))
}
