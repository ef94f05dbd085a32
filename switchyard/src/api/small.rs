//! Bodies without values: read whole, small, and with words that say where they are wrong.

use std::time::Duration;

use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::problem::Refusal;

/// An ID token with many groups has a few KiB, and everything else is smaller.
const LARGEST: usize = 64 << 10;

/// From the header to the end of the body.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a body of JSON. What is wrong with it is told by its place alone: a token may stand there.
pub(super) async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await;
    let Ok(Ok(whole)) = read else {
        return Err(Refusal::malformed(format!("the body is over {LARGEST} bytes, or did not come whole within {PATIENCE:?}")));
    };
    let bytes = Zeroizing::new(whole.to_bytes().to_vec());
    serde_json::from_slice(&bytes).map_err(|error| {
        Refusal::malformed(format!("the body is not what this path takes: line {} column {}", error.line(), error.column()))
    })
}
