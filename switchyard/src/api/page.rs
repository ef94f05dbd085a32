//! Query parameters, page limits and cursors.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::api::Page;
use http::Uri;
use serde::de::DeserializeOwned;

use crate::app::ApiError;

/// Parses the query of a request. `form` describes the parameters that it may have.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri, form: &str) -> Result<T, ApiError> {
    let query = axum::extract::Query::try_from_uri(uri)
        .map_err(|_| ApiError::malformed(format!("the query may have {form}, each once")))?;
    let axum::extract::Query(parsed) = query;
    Ok(parsed)
}

/// The page size of a request.
pub(super) fn limit(requested: Option<u32>) -> Result<u32, ApiError> {
    limit_within(requested, Page::MAX)
}

/// The page size of a request to a list with pages of at most `max`.
pub(super) fn limit_within(requested: Option<u32>, max: u32) -> Result<u32, ApiError> {
    let limit = requested.unwrap_or(Page::DEFAULT);
    if (1..=max).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::malformed(format!("limit is {limit} and must be 1 to {max}")))
    }
}

/// The cursor of the page that starts after `last`. `list` names the list, so that a cursor is
/// valid for its own list only.
pub(super) fn cursor(list: &str, last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{last}"))
}

/// The last item of the previous page.
pub(super) fn after<T: std::str::FromStr>(
    list: &str,
    cursor: Option<&str>,
) -> Result<Option<T>, ApiError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        text.strip_prefix(list)?.strip_prefix(':')?.parse().ok()
    };
    read().map(Some).ok_or_else(|| ApiError::malformed("the cursor is not from this list"))
}

/// Truncates the items to a page and returns the cursor of the next one. The caller fetches one
/// item more than fits, which shows that there is a next page.
pub(super) fn truncate<T>(
    items: &mut Vec<T>,
    limit: u32,
    list: &str,
    last: impl Fn(&T) -> String,
) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(|it| cursor(list, &last(it)))
}

#[cfg(test)]
mod tests {
    use contract::SecretName;

    use super::*;

    #[test]
    fn a_cursor_is_valid_for_its_own_list_only() {
        let name: SecretName = "DATABASE_URL".parse().unwrap();
        let valid = cursor("secrets", name.as_str());
        assert_eq!(after("secrets", Some(&valid)).unwrap(), Some(name));
        assert_eq!(after::<SecretName>("secrets", None).unwrap(), None);
        for other in [
            "",
            "x",
            "!",
            &cursor("versions", "A"),
            &cursor("secrets", ".."),
            &valid[1..],
            &format!("{valid}="),
        ] {
            assert!(after::<SecretName>("secrets", Some(other)).is_err(), "{other:?} was accepted");
        }
    }

    #[test]
    fn a_full_page_has_a_cursor_if_there_are_more_items() {
        for (found, limit, left, next) in [(3, 3, 3, false), (4, 3, 3, true), (0, 1, 0, false)] {
            let mut rows: Vec<u64> = (0..found).collect();
            let cursor = truncate(&mut rows, limit, "rows", u64::to_string);
            assert_eq!((rows.len(), cursor.is_some()), (left, next));
        }
    }

    #[test]
    fn unknown_and_malformed_parameters_are_refused() {
        let read = |query: &str| {
            super::query::<Page>(&format!("/v1/x?{query}").parse().unwrap(), "limit=<number>").ok()
        };
        assert_eq!(
            read("limit=5&cursor=a").unwrap(),
            Page { limit: Some(5), cursor: Some("a".into()) }
        );
        for text in ["limit=x", "limit=-1", "limit=5&limit=6", "what=1", "limit="] {
            assert_eq!(read(text), None, "{text} was accepted");
        }
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
        assert_eq!((limit(None).unwrap(), limit(Some(1000)).unwrap()), (100, 1000));
    }
}
