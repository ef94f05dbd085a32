//! What etcd stores of an object, on the run's own cluster.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::own_cluster_setting;

/// The stored bytes of a key. `None` on a foreign cluster, whose etcd is out of reach.
pub(crate) fn stored(key: &str) -> Result<Option<Vec<u8>>> {
    let Some(endpoint) = own_cluster_setting("ETCD_ENDPOINT") else { return Ok(None) };
    let endpoint = endpoint.to_str().context("ETCD_ENDPOINT")?;
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
