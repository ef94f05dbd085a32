//! Pages of rows with a numeric id, filtered by what the caller may see.

use axum::extract::FromRequestParts;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::api::Page;
use http::request::Parts;

use crate::app::ApiError;
use crate::repository::RepositoryError;
use crate::secrets::SecretsError;

/// A page of at most `limit` rows whose ids are greater than `after`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageById {
    after: u64,
    limit: usize,
}

/// How many rows are fetched at once.
const BATCH_SIZE: u32 = 500;

impl<S: Send + Sync> FromRequestParts<S> for PageById {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let page: Result<Query<Page>, QueryRejection> =
            Query::from_request_parts(parts, state).await;
        let Query(Page { limit, cursor }) = page.map_err(|_| {
            ApiError::malformed(
                "the query may have limit=<number> and cursor=<next of the page before>, each once",
            )
        })?;
        let limit = limit.unwrap_or(Page::DEFAULT);
        if !(1..=Page::MAX).contains(&limit) {
            return Err(ApiError::malformed(format!(
                "limit is {limit} and must be 1 to {}",
                Page::MAX
            )));
        }
        let after = cursor.map_or(Some(0), |text| parse_cursor(&text));
        let after = after.ok_or_else(|| ApiError::malformed("the cursor is not from this list"))?;
        Ok(Self { after, limit: usize::try_from(limit).unwrap_or(usize::MAX) })
    }
}

impl PageById {
    /// Fetches the page: the rows that `visible` maps to an item, and the cursor of the next page.
    pub(super) async fn page<R, T, F>(
        self,
        fetch: impl Fn(u64, u32) -> F,
        id: impl Fn(&R) -> u64,
        visible: impl Fn(R) -> Option<T>,
    ) -> Result<(Vec<T>, Option<String>), ApiError>
    where
        F: Future<Output = Result<Vec<R>, RepositoryError>>,
    {
        let (mut items, mut after) = (Vec::new(), self.after);
        loop {
            let rows = fetch(after, BATCH_SIZE).await.map_err(SecretsError::from)?;
            let is_last = rows.len() < usize::try_from(BATCH_SIZE).unwrap_or(usize::MAX);
            for row in rows {
                // Another row after a full page means that there is a next page.
                if items.len() == self.limit {
                    return Ok((items, Some(cursor(after))));
                }
                after = id(&row);
                items.extend(visible(row));
            }
            if is_last {
                return Ok((items, None));
            }
        }
    }
}

fn cursor(id: u64) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

fn parse_cursor(cursor: &str) -> Option<u64> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_contain_every_visible_row_once() {
        let table = |after: u64, limit: u32| async move {
            Ok((after + 1..=1203).take(limit as usize).collect::<Vec<u64>>())
        };
        for limit in [1, 7, 100, 401, 402] {
            let (mut seen, mut after) = (Vec::new(), 0);
            loop {
                let rows = PageById { after, limit };
                let (page, next) = rows
                    .page(table, |row| *row, |row| (row % 3 == 0).then_some(row))
                    .await
                    .unwrap();
                assert!(page.len() <= limit);
                seen.extend(page);
                let Some(next) = next else { break };
                after = parse_cursor(&next).unwrap();
            }
            assert_eq!(seen, (1..=401).map(|it| it * 3).collect::<Vec<u64>>(), "{limit}");
        }
    }

    #[test]
    fn a_malformed_cursor_is_refused() {
        assert_eq!(parse_cursor(&cursor(7)), Some(7));
        for text in ["", "7", "!", "LTE", &cursor(7)[1..]] {
            assert_eq!(parse_cursor(text), None, "{text}");
        }
    }
}
