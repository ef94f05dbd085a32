use contract::{Scope, SecretName};

use super::*;

/// Shaped like a real item that this program did not write, with a one-time password and a field
/// that names a missing section.
const FOREIGN: &str = r#"{
    "id": "wepiqdxdzncjtnvmv5fegud4qy", "title": "Test Login", "version": 21,
    "vault": {"id": "hfnjvi6aymbsnfc2xeeoheizda"},
    "category": "LOGIN", "lastEditedBy": "DOIHOHSV2NHK5HMSOLCWJUXFDM",
    "createdAt": "2020-05-18T12:44:32Z",
    "sections": null, "tags": null,
    "fields": [
        {"id": "username", "type": "STRING", "purpose": "USERNAME",
         "label": "username", "value": "wendy"},
        {"id": "notesPlain", "type": "STRING", "purpose": "NOTES",
         "label": "value", "value": "a note"},
        {"id": "otp", "type": "OTP", "label": "one-time password",
         "value": "otpauth://totp/x", "totp": "134253", "section": {"id": "gone"}},
        {"id": "empty", "type": "CONCEALED", "label": "value", "value": null}
    ]
}"#;

fn names() -> (Scope, SecretName) {
    ("shop.prod.api".parse().unwrap(), "DB_URL".parse().unwrap())
}

#[test]
fn a_written_item_round_trips() {
    let (scope, name) = names();
    let id = ValueId { scope: &scope, name: &name, version: Version(3) };
    for bytes in [b"plain".as_slice(), b"", b"\xff\0"] {
        let value = Redacted::from(bytes);
        let seal = Seal::new(id, &value).unwrap();
        let item = Item::new("v", "t".to_owned(), id, &value, &seal);
        let json = serde_json::to_value(&item).unwrap();
        assert_eq!(json["vault"]["id"], "v");
        assert!(json.get("id").is_none() && json["fields"][0]["type"] == "CONCEALED");
        let back: Item = serde_json::from_value(json).unwrap();
        let content = back.content().unwrap();
        assert_eq!((content.version, content.seal.as_ref()), (Some(Version(3)), Some(&seal)));
        assert_eq!(content.value, value);
        assert!(
            content.matches(id, &seal.mac)
                && content.is_as_written(ValueId { version: Version(9), ..id })
        );
    }
}

#[test]
fn unknown_fields_survive_a_round_trip() {
    let item: Item = serde_json::from_str(FOREIGN).unwrap();
    let content = item.content().unwrap();
    assert!(content.value.is_empty() && content.version.is_none() && content.seal.is_none());
    let back = serde_json::to_value(&item).unwrap();
    assert_eq!(back["fields"][2]["totp"], "134253");
    assert_eq!(back["fields"][2]["section"]["id"], "gone");
    assert_eq!(back["lastEditedBy"], "DOIHOHSV2NHK5HMSOLCWJUXFDM");
}

#[test]
fn a_duplicate_or_missing_label_is_an_error() {
    let (scope, name) = names();
    let id = ValueId { scope: &scope, name: &name, version: Version(1) };
    let value = Redacted::from("x".to_owned());
    let mut item = Item::new("v", "t".to_owned(), id, &value, &Seal::new(id, &value).unwrap());
    let field = item.fields[0].clone();
    item.fields.push(field);
    assert_eq!(item.content().unwrap_err(), ItemError::Duplicate("value", 2));
    item.fields.retain(|field| field.label != "value");
    assert_eq!(item.content().unwrap_err(), ItemError::Missing("value"));
}

#[test]
fn setting_a_value_keeps_what_people_added() {
    let (scope, name) = names();
    let id = ValueId { scope: &scope, name: &name, version: Version(1) };
    let mut item: Item = serde_json::from_str(FOREIGN).unwrap();
    let value = Redacted::from("new".to_owned());
    let seal = Seal::new(id, &value).unwrap();
    item.set(id, &value, &seal);
    let content = item.content().unwrap();
    assert!(content.matches(id, &seal.mac) && content.value == value);
    assert_eq!(item.fields.len(), 6);
    // The note has the same label and is not the value.
    assert_eq!(item.fields[1].value.as_ref().unwrap().as_str(), "a note");
    // Edited by a person, so the MAC differs.
    item.fields[3].value = Some("hand-made".to_owned().into());
    let content = item.content().unwrap();
    assert!(!content.matches(id, &seal.mac) && !content.is_as_written(id));
    // An edit that removes the seal is an edit too.
    item.fields.retain(|field| field.label != "seal");
    assert!(!item.content().unwrap().is_as_written(id));
    let broken: Item =
        serde_json::from_str(r#"{"fields":[{"label":"value","value":"base64:?"}]}"#).unwrap();
    assert_eq!(broken.content().unwrap_err(), ItemError::Encoding);
}
