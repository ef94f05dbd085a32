//! Reads rows of `lockbox_values`.

use contract::Version;

use crate::database::{DatabaseError, Row};
use crate::key::KeyId;
use crate::seal::{RowId, SealError, Sealed};
use crate::store::StoreError;
use crate::value::{Reference, StoredVersion};

pub(super) fn backend_error(step: &'static str) -> impl Fn(DatabaseError) -> StoreError {
    move |source| StoreError::Backend { step, source: Box::new(source) }
}

/// The database's integers are signed. No version exceeds `i64::MAX`.
pub(super) fn version_to_i64(version: Version) -> Result<i64, StoreError> {
    i64::try_from(version.0)
        .map_err(|error| StoreError::Backend { step: "convert version", source: Box::new(error) })
}

pub(super) fn stored_version_from_row(row: &Row) -> Result<StoredVersion, StoreError> {
    let to_error = backend_error("read sealed value's id");
    let version: i64 = row.try_get("version").map_err(&to_error)?;
    let reference: String = row.try_get("reference").map_err(&to_error)?;
    let version = u64::try_from(version).map_err(|error| StoreError::Backend {
        step: "read sealed value's version",
        source: Box::new(error),
    })?;
    Ok(StoredVersion { version: Version(version), reference: Reference::new(reference) })
}

/// The sealed parts of a row, or `None` if they were destroyed. A malformed row has been
/// tampered with.
pub(super) fn sealed_from_row(
    row: &Row,
    value_id: RowId<'_>,
) -> Result<Option<Sealed>, StoreError> {
    let to_error = backend_error("read sealed value's parts");
    let format: i64 = row.try_get("format").map_err(&to_error)?;
    let format = u8::try_from(format).map_err(|_| SealError::Integrity(value_id.to_string()))?;
    let key_id: String = row.try_get("key_id").map_err(&to_error)?;
    let wrapped_key: Option<Vec<u8>> = row.try_get("wrapped_key").map_err(&to_error)?;
    let value: Option<Vec<u8>> = row.try_get("sealed").map_err(&to_error)?;
    match (wrapped_key, value) {
        (Some(wrapped_key), Some(value)) => {
            Ok(Some(Sealed { format, key_id: KeyId::new(key_id), wrapped_key, value }))
        }
        (None, None) => Ok(None),
        _ => Err(SealError::Integrity(value_id.to_string()).into()),
    }
}
