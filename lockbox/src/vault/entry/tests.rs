use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn write_id() -> WriteId {
    "9f86d081884c7d65".parse().unwrap()
}

fn place(at: u64) -> Place {
    Place { at, write: write_id() }
}

fn kept(version: u64, at: u64) -> Kept {
    Kept { version: Version(version), place: place(at), apart: false }
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
    let line = (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(version, at, apart)| Kept {
        version: Version(version),
        place: place(at),
        apart,
    });
    let kept = vec(line, 1..4).prop_map(|mut kept| {
        kept.sort();
        kept
    });
    let names = || {
        "[A-Za-z_][A-Za-z0-9_.-]{0,20}"
            .prop_filter_map("reserved", |text| text.parse::<SecretName>().ok())
    };
    (
        btree_map(names(), value(), 0..4),
        btree_map(names(), value(), 0..2),
        btree_map(names(), kept, 0..4),
        any::<Option<(u64, u64)>>(),
    )
        .prop_map(|(values, beside, kept, sweep)| Entry {
            values,
            beside,
            kept,
            sweep: sweep.map(|(from, to)| from..=to),
        })
}

proptest! {
    #[test]
    fn an_entry_comes_out_as_it_went_in(entry in entry(), at: u64) {
        // Through text, as it goes to Vault.
        let text = serde_json::to_string(&entry.render(at, write_id())).unwrap();
        let (back, written) = Entry::parse(at, serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(written, write_id());
        prop_assert_eq!(back, entry);
    }

    #[test]
    fn no_data_makes_it_panic(at: u64, ours in "\\PC{0,40}", key in "format|written|base64|kept|beside|sweep") {
        let mut data = Entry::default().render(at, write_id());
        data[KEY][&key] = Value::String(ours);
        let _ = Entry::parse(at, data);
    }
}

#[test]
fn text_is_readable_for_whoever_knows_vault_alone() {
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
fn what_is_not_ours_is_said_to_be_foreign_and_what_is_broken_to_be_damaged() {
    let ours = Entry { kept: BTreeMap::from([(name("A"), vec![kept(1, 3)])]), ..Entry::default() }
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
    assert_eq!(with("format", json!("2")), EntryError::Format { at: 3, format: "2".to_owned() });
    for (key, value, part) in [
        ("base64", json!("A"), "base64"),
        ("kept", json!({"A": []}), "kept"),
        ("kept", json!({"A": ["2 7.9f86d081884c7d65", "1 3.9f86d081884c7d65"]}), "kept"),
        ("kept", json!({"A": ["1 3.9f86d081884c7d65 Apart"]}), "kept"),
        ("kept", json!({".lockbox": ["1 3.9f86d081884c7d65"]}), "kept"),
        ("beside", json!({"A": "no base64"}), "beside"),
        ("sweep", json!("3"), "sweep"),
    ] {
        assert_eq!(with(key, value.clone()), EntryError::Damaged { at: 3, part }, "{value}");
    }
    let mut data = ours;
    data.insert("A".to_owned(), json!(7));
    assert_eq!(Entry::parse(3, data).unwrap_err(), EntryError::Damaged { at: 3, part: "a value" });
}

#[test]
fn a_value_is_held_in_its_own_place_alone() {
    let apart = Kept { apart: true, ..kept(1, 1) };
    let entry = Entry {
        values: BTreeMap::from([(name("A"), Redacted::from(b"newest".as_slice()))]),
        beside: BTreeMap::new(),
        kept: BTreeMap::from([(name("A"), vec![apart, kept(2, 5)])]),
        sweep: None,
    };
    assert_eq!(
        entry.held(&name("A"), Version(2), place(5)),
        Held::Here(&Redacted::from(b"newest".as_slice()))
    );
    assert_eq!(entry.held(&name("A"), Version(1), place(1)), Held::Apart);
    for (secret, version, at) in [("B", 2, 5), ("A", 3, 5), ("A", 2, 4), ("A", 1, 5)] {
        assert_eq!(entry.held(&name(secret), Version(version), place(at)), Held::Nothing);
    }
    let beside = BTreeMap::from([(name("A"), Redacted::from(b"late".as_slice()))]);
    let entry = Entry {
        beside,
        kept: BTreeMap::from([(name("A"), vec![kept(1, 6), kept(2, 5)])]),
        ..entry
    };
    assert_eq!(
        entry.held(&name("A"), Version(1), place(6)),
        Held::Here(&Redacted::from(b"late".as_slice()))
    );
}
