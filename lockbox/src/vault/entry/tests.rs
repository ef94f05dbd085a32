use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn write_id() -> WriteId {
    "9f86d081884c7d65".parse().unwrap()
}

fn entry_version(kv_version: u64) -> EntryVersion {
    EntryVersion { kv_version, write: write_id() }
}

fn record(version: u64, kv_version: u64) -> VersionRecord {
    VersionRecord {
        version: Version(version),
        entry_version: entry_version(kv_version),
        overflow: false,
    }
}

/// Bytes of every kind, and such that look like what is written about them.
fn value() -> impl Strategy<Value = Redacted> {
    let markers: Vec<&'static [u8]> =
        vec![b"", b"\0", b"base64", b"MII=", b"{\"base64\":1}", b".lockbox", b"\xff"];
    let marker = proptest::sample::select(markers);
    prop_oneof![
        vec(any::<u8>(), 0..80).prop_map(Redacted::new),
        any::<String>().prop_map(Redacted::from),
        marker.prop_map(Redacted::from)
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let line =
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(version, kv_version, overflow)| {
            VersionRecord {
                version: Version(version),
                entry_version: entry_version(kv_version),
                overflow,
            }
        });
    let record = vec(line, 1..4).prop_map(|mut record| {
        record.sort();
        record
    });
    let names = || {
        "[A-Za-z_][A-Za-z0-9_.-]{0,20}"
            .prop_filter_map("reserved", |text| text.parse::<SecretName>().ok())
    };
    (
        btree_map(names(), value(), 0..4),
        btree_map(names(), value(), 0..2),
        btree_map(names(), record, 0..4),
        any::<Option<(u64, u64)>>(),
    )
        .prop_map(|(values, superseded, versions, sweep)| Entry {
            values,
            superseded,
            versions,
            sweep: sweep.map(|(from, to)| from..=to),
        })
}

proptest! {
    #[test]
    fn entries_round_trip(entry in entry(), kv_version: u64) {
        // Through text, as it goes to Vault.
        let text = serde_json::to_string(&entry.render(kv_version, write_id())).unwrap();
        let (back, written) = Entry::parse(kv_version, serde_json::from_str(&text).unwrap())
            .unwrap();
        prop_assert_eq!(written, write_id());
        prop_assert_eq!(back, entry);
    }

    #[test]
    fn malformed_data_does_not_panic(
        kv_version: u64,
        ours in "\\PC{0,40}",
        key in "format|written|base64|kept|beside|sweep",
    ) {
        let mut data = Entry::default().render(kv_version, write_id());
        data[KEY][&key] = Value::String(ours);
        let _ = Entry::parse(kv_version, data);
    }
}

#[test]
fn text_is_stored_readable_for_any_vault_client() {
    let values = BTreeMap::from([
        (name("A"), Redacted::from(b"line\n\0".as_slice())),
        (name("B"), Redacted::from(b"\xff\xfe".as_slice())),
    ]);
    let data = Entry { values, ..Entry::default() }.render(3, write_id());
    assert_eq!(data["A"], json!("line\n\0"));
    assert_eq!(data["B"], json!("//4="));
    assert_eq!(data[KEY]["base64"], json!(["B"]));
}

#[test]
fn foreign_and_damaged_entries_are_told_apart() {
    let ours =
        Entry { versions: BTreeMap::from([(name("A"), vec![record(1, 3)])]), ..Entry::default() }
            .render(3, write_id());
    assert!(Entry::parse(3, ours.clone()).is_ok());
    // A copy of it, as `vault kv rollback` makes, and something else altogether.
    assert_eq!(Entry::parse(4, ours.clone()).unwrap_err(), EntryError::Foreign(4));
    assert_eq!(
        Entry::parse(3, Map::from_iter([("A".to_owned(), json!("x"))])).unwrap_err(),
        EntryError::Foreign(3)
    );
    let with = |key: &str, value: Value| {
        let mut data = ours.clone();
        data[KEY][key] = value;
        Entry::parse(3, data).unwrap_err()
    };
    assert_eq!(
        with("format", json!("2")),
        EntryError::Format { kv_version: 3, format: "2".to_owned() }
    );
    for (key, value, part) in [
        ("base64", json!("A"), "base64"),
        ("kept", json!({"A": []}), "kept"),
        ("kept", json!({"A": ["2 7.9f86d081884c7d65", "1 3.9f86d081884c7d65"]}), "kept"),
        ("kept", json!({"A": ["1 3.9f86d081884c7d65 Apart"]}), "kept"),
        ("kept", json!({".lockbox": ["1 3.9f86d081884c7d65"]}), "kept"),
        ("beside", json!({"A": "no base64"}), "beside"),
        ("sweep", json!("3"), "sweep"),
    ] {
        assert_eq!(
            with(key, value.clone()),
            EntryError::Damaged { kv_version: 3, part },
            "{value}"
        );
    }
    let mut data = ours;
    data.insert("A".to_owned(), json!(7));
    assert_eq!(
        Entry::parse(3, data).unwrap_err(),
        EntryError::Damaged { kv_version: 3, part: "a value" }
    );
}

#[test]
fn a_value_is_found_only_in_its_own_entry_version() {
    let overflow = VersionRecord { overflow: true, ..record(1, 1) };
    let entry = Entry {
        values: BTreeMap::from([(name("A"), Redacted::from(b"newest".as_slice()))]),
        superseded: BTreeMap::new(),
        versions: BTreeMap::from([(name("A"), vec![overflow, record(2, 5)])]),
        sweep: None,
    };
    assert_eq!(
        entry.locate(&name("A"), Version(2), entry_version(5)),
        ValueLocation::Inline(&Redacted::from(b"newest".as_slice()))
    );
    assert_eq!(entry.locate(&name("A"), Version(1), entry_version(1)), ValueLocation::Overflow);
    for (secret, version, kv_version) in [("B", 2, 5), ("A", 3, 5), ("A", 2, 4), ("A", 1, 5)] {
        assert_eq!(
            entry.locate(&name(secret), Version(version), entry_version(kv_version)),
            ValueLocation::Absent
        );
    }
    let superseded = BTreeMap::from([(name("A"), Redacted::from(b"late".as_slice()))]);
    let entry = Entry {
        superseded,
        versions: BTreeMap::from([(name("A"), vec![record(1, 6), record(2, 5)])]),
        ..entry
    };
    assert_eq!(
        entry.locate(&name("A"), Version(1), entry_version(6)),
        ValueLocation::Inline(&Redacted::from(b"late".as_slice()))
    );
}
