//! Another key-encryption key takes over: data keys are wrapped anew.

use contract::Redacted;

use super::{Row, SealError, Sealed, away, layer, open_value, packed, under_new_key, wrapper};
use crate::key::{KeyRing, Plain, Wrapped};

/// What changes of a row when its data key is wrapped anew. Its format is [`super::FORMAT`] then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// The data key, wrapped by the current key.
    pub key: Wrapped,
    /// The value, where it had to be sealed anew because its row was of format 1.
    pub value: Option<Vec<u8>>,
}

/// Wraps the data keys of rows under the current key, in the same order. Each key-encryption key is
/// asked once. A row that does not open is answered with why, and holds up no other. The value
/// itself is looked at in rows of format 1 alone; in others it may be empty.
///
/// # Errors
/// Where a key-encryption key cannot be asked: then nothing is known about any row.
pub async fn rewrap(
    keys: &KeyRing,
    rows: &[(Row<'_>, Sealed)],
) -> Result<Vec<Result<Rewrapped, SealError>>, SealError> {
    let mut answers: Vec<Option<Result<Rewrapped, SealError>>> = vec![None; rows.len()];
    let mut fresh: Vec<(usize, Fresh)> = Vec::new();
    for (at, opened) in unwrap(keys, rows).await?.into_iter().enumerate() {
        match opened.and_then(|data_key| Fresh::of(&rows[at], data_key)) {
            Ok(ready) => fresh.push((at, ready)),
            Err(error) => answers[at] = Some(Err(error)),
        }
    }
    if let Some((first, _)) = fresh.first() {
        let current = keys.current();
        let plain: Vec<Plain<'_>> = fresh
            .iter()
            .map(|(at, ready)| Plain {
                data_key: &ready.data_key,
                authenticated: layer::key(current.name(), rows[*at].0),
            })
            .collect();
        let wrapped = current.wrap(&plain).await.map_err(away(rows[*first].0))?;
        for ((at, Fresh { data_key: _, value }), key) in fresh.into_iter().zip(wrapped) {
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

/// The data keys of all rows. Rows of one key go to it together.
async fn unwrap(
    keys: &KeyRing,
    rows: &[(Row<'_>, Sealed)],
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
        let (mine, others) = waiting
            .into_iter()
            .partition(|at| known(at) && rows[*at].1.key_id.name() == key.name());
        waiting = others;
        let mine: Vec<usize> = mine;
        let packs: Vec<_> = mine.iter().map(|at| packed(rows[*at].0, &rows[*at].1, key)).collect();
        for (at, opened) in mine.iter().zip(key.unwrap(&packs).await.map_err(away(row))?) {
            if let Some(data_key) = opened {
                answers[*at] = Ok(data_key);
            }
        }
    }
    Ok(answers)
}

/// A data key that waits to be wrapped, with the value where it is sealed anew.
struct Fresh {
    data_key: Redacted,
    value: Option<Vec<u8>>,
}

impl Fresh {
    fn of((row, sealed): &(Row<'_>, Sealed), data_key: Redacted) -> Result<Self, SealError> {
        if sealed.format != 1 {
            return Ok(Self { data_key, value: None });
        }
        let changed = || SealError::Integrity(row.to_string());
        // A reference with a hash was never of format 1.
        if layer::token(row.reference) != row.reference.as_str() {
            return Err(changed());
        }
        let value = open_value(*row, sealed, &data_key).ok_or_else(changed)?;
        let authenticated = layer::value(row.place(), row.reference.as_str());
        let (data_key, value) = under_new_key(&authenticated, &value)
            .ok_or_else(|| SealError::Seal(row.to_string()))?;
        Ok(Self { data_key, value: Some(value) })
    }
}
