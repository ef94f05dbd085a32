//! The application as a job: read the values, compare, exit.

use std::collections::BTreeMap;

use crate::secrets::Digests;

/// The differences to the expected digests. They contain names only, because the digest of a weak
/// value reveals it.
#[must_use]
pub fn differences(expected: &BTreeMap<&str, &str>, found: &Digests) -> Vec<String> {
    expected
        .iter()
        .filter_map(|(name, digest)| match found.get(*name) {
            None => Some(format!("{name}: not found")),
            Some(other) if other != digest => Some(format!("{name}: unexpected content")),
            Some(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let found = Digests::from([
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "2".to_owned()),
            ("MORE".to_owned(), "3".to_owned()),
        ]);
        assert!(differences(&BTreeMap::from([("A", "1"), ("B", "2")]), &found).is_empty());
        let differing = differences(&BTreeMap::from([("A", "1"), ("B", "9"), ("C", "1")]), &found);
        assert_eq!(differing, ["B: unexpected content", "C: not found"]);
    }
}
