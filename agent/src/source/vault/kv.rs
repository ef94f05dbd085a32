//! Entries of a KV engine (version 2): what their metadata says, and what to do about it. Pure.

use std::collections::BTreeMap;

use contract::Version;
use serde::Deserialize;

/// The metadata of an entry.
#[derive(Debug, Deserialize)]
pub(super) struct KvMetadata {
    current_version: u64,
    #[serde(default)]
    versions: BTreeMap<String, KvVersionState>,
}

/// What the metadata says about one version.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct KvVersionState {
    /// When it was made. An entry that was removed and made again starts with version 1 again.
    created_time: String,
    /// When it was deleted or will be; empty if it stays. The number of the newest version does not
    /// change by a deletion.
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

/// A version of an entry, and its state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct KvVersion {
    /// Its number.
    pub(super) version: u64,
    #[serde(flatten)]
    state: KvVersionState,
}

impl KvVersion {
    /// What tells it apart from every other version of the entry.
    pub(super) fn identity(&self) -> String {
        format!("{}@{}", self.version, self.state.created_time)
    }
}

/// The version that was looked at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastKvVersion {
    pub(super) version: KvVersion,
    /// Whether it had data.
    pub(super) had_data: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KvStep {
    /// The value is known already.
    Keep,
    /// Read the data.
    Read,
    /// There is no data, for this reason. What was read before stays.
    Gone(String),
}

/// What to do about an entry with this metadata. Version `pinned` is wanted, or the newest.
pub(super) fn step(
    metadata: &KvMetadata,
    pinned: Option<Version>,
    last: Option<&LastKvVersion>,
) -> KvStep {
    let number = pinned.map_or(metadata.current_version, |version| version.0);
    let Some(state) = metadata.versions.get(&number.to_string()) else {
        return KvStep::Gone(match pinned {
            Some(version) => format!("there is no version {version}"),
            None => "it has no version".to_owned(),
        });
    };
    let found = KvVersion { version: number, state: state.clone() };
    if found.state.destroyed {
        return KvStep::Gone(gone(&found));
    }
    match last {
        Some(last) if last.version != found => KvStep::Read,
        Some(last) if !last.had_data => KvStep::Gone(gone(&found)),
        // A time of deletion may lie in the future (`delete_version_after`), and pass.
        Some(_) if found.state.deletion_time.is_empty() => KvStep::Keep,
        Some(_) | None => KvStep::Read,
    }
}

/// Why a version has no data.
pub(super) fn gone(version: &KvVersion) -> String {
    let what = if version.state.destroyed { "destroyed" } else { "deleted" };
    format!("version {} is {what}", version.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(json: &str) -> KvMetadata {
        serde_json::from_str(json).unwrap()
    }

    fn last(version: u64, (created, deleted): (&str, &str), had_data: bool) -> LastKvVersion {
        let state = KvVersionState {
            created_time: created.to_owned(),
            deletion_time: deleted.to_owned(),
            destroyed: false,
        };
        LastKvVersion { version: KvVersion { version, state }, had_data }
    }

    const TWO: &str = r#"{"current_version":2,"oldest_version":0,"versions":{
        "1":{"created_time":"t1","deletion_time":"","destroyed":false},
        "2":{"created_time":"t2","deletion_time":"","destroyed":false}}}"#;

    #[test]
    fn only_a_version_that_is_not_known_is_read() {
        let gone = |text: &str| KvStep::Gone(text.to_owned());
        let deleted = TWO.replace(r#""t2","deletion_time":"""#, r#""t2","deletion_time":"d2""#);
        let destroyed = deleted.replace(
            r#""deletion_time":"d2","destroyed":false"#,
            r#""deletion_time":"","destroyed":true"#,
        );
        for (case, json, pinned, seen, expected) in [
            ("first", TWO, None, None, KvStep::Read),
            ("same", TWO, None, Some(last(2, ("t2", ""), true)), KvStep::Keep),
            ("newer", TWO, None, Some(last(1, ("t1", ""), true)), KvStep::Read),
            ("made again", TWO, None, Some(last(2, ("t0", ""), true)), KvStep::Read),
            ("pinned", TWO, Some(1), Some(last(1, ("t1", ""), true)), KvStep::Keep),
            ("pinned, none", TWO, Some(7), None, gone("there is no version 7")),
            ("deleted now", &deleted, None, Some(last(2, ("t2", ""), true)), KvStep::Read),
            (
                "still deleted",
                &deleted,
                None,
                Some(last(2, ("t2", "d2"), false)),
                gone("version 2 is deleted"),
            ),
            // It was there at the last look, and may go at any time.
            ("ends some day", &deleted, None, Some(last(2, ("t2", "d2"), true)), KvStep::Read),
            ("undeleted", TWO, None, Some(last(2, ("t2", "d2"), false)), KvStep::Read),
            ("destroyed", &destroyed, None, None, gone("version 2 is destroyed")),
            (
                "empty",
                r#"{"current_version":0,"versions":{}}"#,
                None,
                None,
                gone("it has no version"),
            ),
        ] {
            let pinned = pinned.map(Version);
            assert_eq!(step(&metadata(json), pinned, seen.as_ref()), expected, "{case}");
        }
    }

    #[test]
    fn a_version_of_a_data_answer_is_the_same_as_in_the_metadata() {
        let json = concat!(
            r#"{"created_time":"t2","custom_metadata":null,"deletion_time":"","#,
            r#""destroyed":false,"version":2}"#,
        );
        let version: KvVersion = serde_json::from_str(json).unwrap();
        assert_eq!(version.identity(), "2@t2");
        let seen = LastKvVersion { version, had_data: true };
        assert_eq!(step(&metadata(TWO), None, Some(&seen)), KvStep::Keep);
    }
}
