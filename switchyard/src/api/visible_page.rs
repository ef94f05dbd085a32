//! Pages of what the caller may see.
//!
//! A page is full unless it is the last one, there is a next page only if it has an item, and the
//! cursor is of the page's own last item. So neither says anything about what the caller may not
//! see.

use crate::app::ApiError;
use crate::repository::RepositoryError;
use crate::secrets::SecretsError;

/// How many rows are fetched at once.
const BATCH_SIZE: u32 = 500;

/// Fetches a page of at most `limit` items that follow `after`: the rows that `visible` maps to an
/// item. Returns the key of the last item if another page follows.
///
/// # Errors
/// If the rows cannot be read.
pub(super) async fn visible_page<R, T, K: Clone, F>(
    after: Option<K>,
    limit: u32,
    fetch: impl Fn(Option<K>, u32) -> F,
    key: impl Fn(&R) -> K,
    visible: impl Fn(R) -> Option<T>,
) -> Result<(Vec<T>, Option<K>), ApiError>
where
    F: Future<Output = Result<Vec<R>, RepositoryError>>,
{
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut items, mut last, mut seen) = (Vec::new(), None, after);
    loop {
        let rows = fetch(seen.clone(), BATCH_SIZE).await.map_err(SecretsError::from)?;
        let is_last = rows.len() < usize::try_from(BATCH_SIZE).unwrap_or(usize::MAX);
        for row in rows {
            let key = key(&row);
            seen = Some(key.clone());
            let Some(item) = visible(row) else { continue };
            if items.len() == limit {
                return Ok((items, last));
            }
            items.push(item);
            last = Some(key);
        }
        if is_last {
            return Ok((items, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn page(after: Option<u64>, limit: u32, step: u64) -> (Vec<u64>, Option<u64>) {
        let table = |after: Option<u64>, limit: u32| async move {
            Ok((after.unwrap_or(0) + 1..=1204).take(limit as usize).collect::<Vec<u64>>())
        };
        let visible = |row: u64| row.is_multiple_of(step).then_some(row);
        visible_page(after, limit, table, |row| *row, visible).await.unwrap()
    }

    #[tokio::test]
    async fn pages_are_full_and_have_every_visible_row_once() {
        for limit in [1, 7, 100, 401, 402] {
            let (mut seen, mut after): (Vec<u64>, _) = (Vec::new(), None);
            loop {
                let (items, next) = page(after, limit, 3).await;
                assert!(items.len() == limit as usize || next.is_none());
                seen.extend(&items);
                // The cursor is of an item that the caller has.
                assert!(next.is_none() || next == items.last().copied());
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, (1..=401).map(|it| it * 3).collect::<Vec<u64>>(), "{limit}");
        }
    }

    #[tokio::test]
    async fn invisible_rows_leave_no_trace() {
        // Rows of others follow the last visible one, in this batch and in later ones.
        assert_eq!(page(None, 1, 1000).await, (vec![1000], None));
        assert_eq!(page(None, 2, 600).await, (vec![600, 1200], None));
        assert_eq!(page(None, 1, 600).await, (vec![600], Some(600)));
        assert_eq!(page(None, 1, 5000).await, (vec![], None));
    }
}
