//! Bodies without values: small, and with words that say where they are wrong.

use serde::de::DeserializeOwned;

use super::body;
use super::problem::Refusal;
use super::sent::Sent;

/// Reads a body of JSON. What is wrong with it is told by its place alone: a token may stand there.
pub(super) async fn read<T: DeserializeOwned>(sent: Sent) -> Result<T, Refusal> {
    let whole = sent.read(body::SMALL).await?;
    body::parse(&whole.body, "what this path takes")
}
