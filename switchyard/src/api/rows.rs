//! Lists of rows that have a number each, in pages: those that the one who asks may see.

use axum::extract::FromRequestParts;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::api::Page;
use http::request::Parts;

use super::problem::Refusal;
use crate::repository::RepositoryError;
use crate::secrets::SecretsError;

/// Which rows are asked for: so many after this number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    after: u64,
    limit: usize,
}

/// How many rows are looked at at once.
const STEP: u32 = 500;

impl<S: Send + Sync> FromRequestParts<S> for Rows {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let page: Result<Query<Page>, QueryRejection> =
            Query::from_request_parts(parts, state).await;
        let Query(Page { limit, cursor }) = page.map_err(|_| {
            Refusal::malformed(
                "the query may have limit=<number> and cursor=<next of the page before>, each once",
            )
        })?;
        let limit = limit.unwrap_or(Page::DEFAULT);
        if !(1..=Page::MAX).contains(&limit) {
            return Err(Refusal::malformed(format!(
                "limit is {limit}, and must be 1 to {}",
                Page::MAX
            )));
        }
        let after = cursor.map_or(Some(0), |text| number(&text));
        let after =
            after.ok_or_else(|| Refusal::malformed("the cursor is not one that this list gave"))?;
        Ok(Self { after, limit: usize::try_from(limit).unwrap_or(usize::MAX) })
    }
}

impl Rows {
    /// The rows that `visible` makes something of, and the cursor of the page behind them.
    pub(super) async fn page<R, T, F>(
        self,
        fetch: impl Fn(u64, u32) -> F,
        number: impl Fn(&R) -> u64,
        visible: impl Fn(R) -> Option<T>,
    ) -> Result<(Vec<T>, Option<String>), Refusal>
    where
        F: Future<Output = Result<Vec<R>, RepositoryError>>,
    {
        let (mut shown, mut after) = (Vec::new(), self.after);
        loop {
            let rows = fetch(after, STEP).await.map_err(SecretsError::from)?;
            let last = rows.len() < usize::try_from(STEP).unwrap_or(usize::MAX);
            for row in rows {
                // One more than fits says that there is a page behind this one.
                if shown.len() == self.limit {
                    return Ok((shown, Some(cursor(after))));
                }
                after = number(&row);
                shown.extend(visible(row));
            }
            if last {
                return Ok((shown, None));
            }
        }
    }
}

fn cursor(number: u64) -> String {
    URL_SAFE_NO_PAD.encode(number.to_string())
}

fn number(cursor: &str) -> Option<u64> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_have_every_visible_row_once() {
        let table = |after: u64, limit: u32| async move {
            Ok((after + 1..=1203).take(limit as usize).collect::<Vec<u64>>())
        };
        for limit in [1, 7, 100, 401, 402] {
            let (mut seen, mut after) = (Vec::new(), 0);
            loop {
                let rows = Rows { after, limit };
                let (page, next) = rows
                    .page(table, |row| *row, |row| (row % 3 == 0).then_some(row))
                    .await
                    .unwrap();
                assert!(page.len() <= limit);
                seen.extend(page);
                let Some(next) = next else { break };
                after = number(&next).unwrap();
            }
            assert_eq!(seen, (1..=401).map(|it| it * 3).collect::<Vec<u64>>(), "{limit}");
        }
    }

    #[test]
    fn what_is_no_cursor() {
        assert_eq!(number(&cursor(7)), Some(7));
        for text in ["", "7", "!", "LTE", &cursor(7)[1..]] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
