//! Changing the key-encryption key: data keys are rewrapped.

use contract::Redacted;

use super::{
    RowId, SealError, Sealed, layer, open_value, packed, unavailable, under_new_key, wrapper,
};
use crate::key::{KeyRing, WrapRequest, WrappedKey};

/// What changes in a row when its data key is rewrapped. Its format becomes [`super::FORMAT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// The data key, wrapped by the current key.
    pub key: WrappedKey,
    /// The value, if it had to be sealed again because its row had format 1.
    pub value: Option<Vec<u8>>,
}

/// Rewraps the data keys of rows under the current key, in the same order, with one call per key.
/// A row that does not open gets an error of its own and does not hold up the others. The value
/// itself is only read in rows of format 1; in others it may be empty.
///
/// # Errors
/// If a key-encryption key is unavailable. Then nothing is known about any row.
pub async fn rewrap(
    keys: &KeyRing,
    rows: &[(RowId<'_>, Sealed)],
) -> Result<Vec<Result<Rewrapped, SealError>>, SealError> {
    let mut answers: Vec<Option<Result<Rewrapped, SealError>>> = vec![None; rows.len()];
    let mut pending: Vec<(usize, PendingRewrap)> = Vec::new();
    for (at, opened) in unwrap(keys, rows).await?.into_iter().enumerate() {
        match opened.and_then(|data_key| PendingRewrap::of(&rows[at], data_key)) {
            Ok(ready) => pending.push((at, ready)),
            Err(error) => answers[at] = Some(Err(error)),
        }
    }
    if let Some((first, _)) = pending.first() {
        let current = keys.current();
        let plain: Vec<WrapRequest<'_>> = pending
            .iter()
            .map(|(at, ready)| WrapRequest {
                data_key: &ready.data_key,
                authenticated: layer::key(current.name(), rows[*at].0),
            })
            .collect();
        let wrapped = current.wrap(&plain).await.map_err(unavailable(rows[*first].0))?;
        for ((at, PendingRewrap { data_key: _, value }), key) in pending.into_iter().zip(wrapped) {
            answers[at] = Some(Ok(Rewrapped { key, value }));
        }
    }
    let changed = |at: usize| Err(SealError::Integrity(rows[at].0.to_string()));
    Ok(answers
        .into_iter()
        .enumerate()
        .map(|(at, answer)| answer.unwrap_or_else(|| changed(at)))
        .collect())
}

/// Unwraps the data keys of all rows, with one call per key.
async fn unwrap(
    keys: &KeyRing,
    rows: &[(RowId<'_>, Sealed)],
) -> Result<Vec<Result<Redacted, SealError>>, SealError> {
    let mut answers: Vec<Result<Redacted, SealError>> =
        rows.iter().map(|(row, _)| Err(SealError::Integrity(row.to_string()))).collect();
    let mut waiting: Vec<usize> = (0..rows.len()).collect();
    while let Some(first) = waiting.first().copied() {
        let (row, sealed) = &rows[first];
        let key = match wrapper(keys, *row, sealed.format, &sealed.key_id) {
            Ok(key) => key,
            Err(error) => {
                answers[first] = Err(error);
                waiting.remove(0);
                continue;
            }
        };
        let known = |at: &usize| (1..=super::FORMAT).contains(&rows[*at].1.format);
        let (same_key, others): (Vec<usize>, Vec<usize>) = waiting
            .into_iter()
            .partition(|at| known(at) && rows[*at].1.key_id.name() == key.name());
        waiting = others;
        let packs: Vec<_> =
            same_key.iter().map(|at| packed(rows[*at].0, &rows[*at].1, key)).collect();
        for (at, opened) in same_key.iter().zip(key.unwrap(&packs).await.map_err(unavailable(row))?)
        {
            if let Some(data_key) = opened {
                answers[*at] = Ok(data_key);
            }
        }
    }
    Ok(answers)
}

/// A data key to be wrapped, with the value if it was sealed again.
struct PendingRewrap {
    data_key: Redacted,
    value: Option<Vec<u8>>,
}

impl PendingRewrap {
    fn of((row, sealed): &(RowId<'_>, Sealed), data_key: Redacted) -> Result<Self, SealError> {
        if sealed.format != 1 {
            return Ok(Self { data_key, value: None });
        }
        let changed = || SealError::Integrity(row.to_string());
        // A reference with a hash never had format 1.
        if layer::token(row.reference) != row.reference.as_str() {
            return Err(changed());
        }
        let value = open_value(*row, sealed, &data_key).ok_or_else(changed)?;
        let authenticated = layer::value(row.value_id(), row.reference.as_str());
        let (data_key, value) = under_new_key(&authenticated, &value)
            .ok_or_else(|| SealError::Seal(row.to_string()))?;
        Ok(Self { data_key, value: Some(value) })
    }
}
