//! The annotations whose keys end with the name of a file that is at another path too.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ValueError;
use super::{AnnotationError, Errors, PATH};
use crate::file_path::{FilePath, MAX_PATHS, PathError};
use crate::layout;
use crate::name::SecretName;

/// Every path that the annotations ask for, by the name of the file.
pub(super) fn paths(
    mut annotations: Vec<(&str, &str)>,
    errors: &mut Errors,
) -> BTreeMap<SecretName, FilePath> {
    let mut found = BTreeMap::new();
    let mut add =
        |error| errors.0.push(AnnotationError { key: PATH, source: ValueError::Path(error) });
    if annotations.len() > MAX_PATHS {
        add(PathError::TooMany);
        return found;
    }
    // In the order of their names, whatever the order of the JSON is.
    annotations.sort_unstable();
    let mut taken: BTreeSet<FilePath> = BTreeSet::new();
    for (key, value) in annotations {
        match parse(key.strip_prefix(PATH).unwrap_or_default(), value) {
            Ok((file, path)) => {
                if let Some(other) = taken.iter().find(|other| exclude(other, &path)) {
                    add(PathError::Overlap(other.clone(), path.clone()));
                }
                taken.insert(path.clone());
                found.insert(file, path);
            }
            Err(error) => add(error),
        }
    }
    found
}

/// Whether there cannot be a file at both paths.
fn exclude(one: &FilePath, other: &FilePath) -> bool {
    one == other || one.is_below(other) || other.is_below(one)
}

fn parse(file: &str, value: &str) -> Result<(SecretName, FilePath), PathError> {
    let name = file.parse().map_err(|_| PathError::File(file.chars().take(80).collect()))?;
    let path: FilePath = value.trim().parse()?;
    let reserved =
        [layout::ENV_DIRECTORY, layout::CONTAINER_MARKS, layout::SERVICE_ACCOUNT_DIRECTORY];
    match reserved.contains(&path.first()) {
        true => Err(PathError::Reserved(path)),
        false => Ok((name, path)),
    }
}
