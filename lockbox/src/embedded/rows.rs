//! Rows as the database has them.

use contract::Version;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::key::KeyId;
use crate::seal::{Row, SealError, Sealed};
use crate::store::{Reference, StoreError, Stored};

pub(super) fn backend(step: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Backend { step, source: Box::new(source) }
}

/// The database's integers have a sign, and no version comes near it.
pub(super) fn number(version: Version) -> Result<i64, StoreError> {
    i64::try_from(version.0)
        .map_err(|error| StoreError::Backend { step: "number version", source: Box::new(error) })
}

pub(super) fn stored(row: &AnyRow) -> Result<Stored, StoreError> {
    let bad = backend("read sealed value's place");
    let version: i64 = row.try_get("version").map_err(&bad)?;
    let reference: String = row.try_get("reference").map_err(&bad)?;
    Ok(Stored { version: Version(version.unsigned_abs()), reference: Reference::new(reference) })
}

/// The sealed parts of a row; `None` where they were destroyed. A row that is not of the form was
/// changed by somebody, and is refused as such.
pub(super) fn sealed(row: &AnyRow, place: Row<'_>) -> Result<Option<Sealed>, StoreError> {
    let bad = backend("read sealed value's parts");
    let format: i64 = row.try_get("format").map_err(&bad)?;
    let format = u8::try_from(format).map_err(|_| SealError::Integrity(place.to_string()))?;
    let key_id: String = row.try_get("key_id").map_err(&bad)?;
    let wrapped_key: Option<Vec<u8>> = row.try_get("wrapped_key").map_err(&bad)?;
    let value: Option<Vec<u8>> = row.try_get("sealed").map_err(&bad)?;
    match (wrapped_key, value) {
        (Some(wrapped_key), Some(value)) => {
            Ok(Some(Sealed { format, key_id: KeyId::new(key_id), wrapped_key, value }))
        }
        (None, None) => Ok(None),
        _ => Err(SealError::Integrity(place.to_string()).into()),
    }
}
