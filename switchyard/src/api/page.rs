//! Query parameters and cursors, parsed once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::api::Page;
use http::Uri;
use serde::de::DeserializeOwned;

use super::problem::Refusal;

/// The query of a request; `form` says what it may have.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri, form: &str) -> Result<T, Refusal> {
    let query = axum::extract::Query::try_from_uri(uri)
        .map_err(|_| Refusal::malformed(format!("the query may have {form}, each once")))?;
    let axum::extract::Query(parsed) = query;
    Ok(parsed)
}

/// How many are asked for.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Refusal> {
    limit_within(asked, Page::MAX)
}

/// How many are asked for, of a list that gives `most` at once.
pub(super) fn limit_within(asked: Option<u32>, most: u32) -> Result<u32, Refusal> {
    let limit = asked.unwrap_or(Page::DEFAULT);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(Refusal::malformed(format!("limit is {limit}, and must be 1 to {most}")))
    }
}

/// Where a page ended, for whoever asks for the next one. `list` says of which kind of list it is.
pub(super) fn cursor(list: &str, last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{last}"))
}

/// Where the page before ended.
pub(super) fn after<T: std::str::FromStr>(
    list: &str,
    cursor: Option<&str>,
) -> Result<Option<T>, Refusal> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        text.strip_prefix(list)?.strip_prefix(':')?.parse().ok()
    };
    read().map(Some).ok_or_else(|| Refusal::malformed("the cursor is not one that this list gave"))
}

/// Cuts what was found to a page: one more than fits was asked for, and says that there are more.
pub(super) fn cut<T>(
    found: &mut Vec<T>,
    limit: u32,
    list: &str,
    last: impl Fn(&T) -> String,
) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if found.len() <= limit {
        return None;
    }
    found.truncate(limit);
    found.last().map(|it| cursor(list, &last(it)))
}

#[cfg(test)]
mod tests {
    use contract::SecretName;

    use super::*;

    #[test]
    fn a_cursor_is_of_its_list() {
        let name: SecretName = "DATABASE_URL".parse().unwrap();
        let given = cursor("secrets", name.as_str());
        assert_eq!(after("secrets", Some(&given)).unwrap(), Some(name));
        assert_eq!(after::<SecretName>("secrets", None).unwrap(), None);
        for other in [
            "",
            "x",
            "!",
            &cursor("versions", "A"),
            &cursor("secrets", ".."),
            &given[1..],
            &format!("{given}="),
        ] {
            assert!(after::<SecretName>("secrets", Some(other)).is_err(), "{other:?} was taken");
        }
    }

    #[test]
    fn a_page_ends_where_there_is_more() {
        for (found, limit, left, next) in [(3, 3, 3, false), (4, 3, 3, true), (0, 1, 0, false)] {
            let mut rows: Vec<u64> = (0..found).collect();
            let cursor = cut(&mut rows, limit, "rows", u64::to_string);
            assert_eq!((rows.len(), cursor.is_some()), (left, next));
        }
    }

    #[test]
    fn queries_are_read_strictly() {
        let read = |query: &str| {
            super::query::<Page>(&format!("/v1/x?{query}").parse().unwrap(), "limit=<number>").ok()
        };
        assert_eq!(
            read("limit=5&cursor=a").unwrap(),
            Page { limit: Some(5), cursor: Some("a".into()) }
        );
        for text in ["limit=x", "limit=-1", "limit=5&limit=6", "what=1", "limit="] {
            assert_eq!(read(text), None, "{text} was taken");
        }
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
        assert_eq!((limit(None).unwrap(), limit(Some(1000)).unwrap()), (100, 1000));
    }
}
