//! The annotations whose keys end with the name of a file to render.

use std::collections::BTreeMap;

use super::error::ValueError;
use super::{AnnotationError, Errors, FORMAT, MAX_VALUE_BYTES, TEMPLATE};
use crate::name::SecretName;
use crate::rendered::{MAX_FILES, MAX_INLINE_BYTES, RenderedError, RequestedContents};

/// Every file that the annotations ask for.
pub(super) fn rendered(
    mut annotations: Vec<(&str, &str)>,
    errors: &mut Errors,
) -> BTreeMap<SecretName, RequestedContents> {
    let mut found = BTreeMap::new();
    let mut add = |key, error| errors.0.push(AnnotationError { key, source: error });
    if annotations.len() > MAX_FILES {
        add(TEMPLATE, ValueError::Rendered(RenderedError::TooMany));
        return found;
    }
    // In the order of their names, whatever the order of the JSON is.
    annotations.sort_unstable();
    for (key, value) in annotations {
        let (prefix, file) = match key.strip_prefix(TEMPLATE) {
            Some(file) => (TEMPLATE, file),
            None => (FORMAT, key.strip_prefix(FORMAT).unwrap_or_default()),
        };
        if value.len() > MAX_VALUE_BYTES {
            add(prefix, ValueError::TooLong(value.len()));
            continue;
        }
        match parse(prefix, file, value) {
            Ok((file, contents)) => {
                if found.insert(file.clone(), contents).is_some() {
                    add(prefix, ValueError::Rendered(RenderedError::Twice(file)));
                }
            }
            Err(error) => add(prefix, ValueError::Rendered(error)),
        }
    }
    let inline = found.values().map(RequestedContents::inline_bytes).sum();
    if inline > MAX_INLINE_BYTES {
        add(TEMPLATE, ValueError::Rendered(RenderedError::TooLong(inline)));
    }
    found
}

fn parse(
    prefix: &str,
    file: &str,
    value: &str,
) -> Result<(SecretName, RequestedContents), RenderedError> {
    let name = file.parse().map_err(|_| RenderedError::File(file.chars().take(80).collect()))?;
    let contents = match prefix {
        TEMPLATE => RequestedContents::template(value)?,
        _ => RequestedContents::format(value)?,
    };
    Ok((name, contents))
}
