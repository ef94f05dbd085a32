//! Up to when reads are counted, for lists that say when secrets were last read.

use jiff::Timestamp;

use crate::app::{ApiError, AppState};
use crate::secrets::SecretsError;

/// Every read before this time is counted.
///
/// # Errors
/// If `unused_since` is asked for and reads are not counted up to then, so that nobody knows what
/// is unused; or the ledger cannot be read.
pub(super) async fn reads_until(
    app: &AppState,
    unused_since: Option<Timestamp>,
) -> Result<Timestamp, ApiError> {
    let until = app.repository.counted_reads().await.map_err(SecretsError::from)?.at;
    match unused_since {
        Some(since) if since > Timestamp::now() => {
            Err(ApiError::malformed("unused_since is in the future: name a time in the past"))
        }
        Some(since) if until < since => Err(ApiError::not_counted(format!(
            "reads are counted up to {until:.0} so far, which is before {since:.0}; ask again later"
        ))),
        _ => Ok(until),
    }
}
