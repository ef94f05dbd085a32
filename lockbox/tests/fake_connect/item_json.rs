//! How the server handles the JSON of items.

use serde_json::{Map, Value, json};

const CATEGORIES: &[&str] = &[
    "LOGIN",
    "PASSWORD",
    "API_CREDENTIAL",
    "SERVER",
    "DATABASE",
    "CREDIT_CARD",
    "MEMBERSHIP",
    "PASSPORT",
    "SOFTWARE_LICENSE",
    "OUTDOOR_LICENSE",
    "SECURE_NOTE",
    "WIRELESS_ROUTER",
    "BANK_ACCOUNT",
    "DRIVER_LICENSE",
    "IDENTITY",
    "REWARD_PROGRAM",
    "EMAIL_ACCOUNT",
    "SOCIAL_SECURITY_NUMBER",
    "MEDICAL_RECORD",
    "SSH_KEY",
    "CUSTOM",
];

/// Why an item is refused: its category is unknown, or it names another vault.
pub(super) fn refuse(item: &Value, vault: &str) -> Option<&'static str> {
    if item["vault"]["id"] != vault {
        return Some("The item's vault ID does not match the vault in the path.");
    }
    // The category of documents exists, but they cannot be created.
    let known = item["category"].as_str().is_some_and(|category| CATEGORIES.contains(&category));
    (!known).then_some("Invalid item category")
}

/// The item as the server stores it: with ids for its fields, and with the fields that the server
/// sets.
pub(super) fn keep(
    item: &Value,
    id: &str,
    version: u64,
    created: &str,
    updated: &str,
    mut new_id: impl FnMut() -> String,
) -> Value {
    let mut kept: Map<String, Value> = item.as_object().cloned().unwrap_or_default();
    for field in kept.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(field) = field.as_object_mut() {
            field.entry("id").or_insert_with(|| Value::from(new_id()));
            field.entry("type").or_insert_with(|| Value::from("STRING"));
        }
    }
    for (key, value) in [
        ("id", json!(id)),
        ("version", json!(version)),
        ("createdAt", json!(created)),
        ("updatedAt", json!(updated)),
        ("lastEditedBy", json!("DOIHOHSV2NHK5HMSOLCWJUXFDM")),
    ] {
        kept.insert(key.to_owned(), value);
    }
    Value::Object(kept)
}

/// The item as lists contain it.
pub(super) fn summary(item: &Value) -> Value {
    let mut item = item.as_object().cloned().unwrap_or_default();
    for key in ["fields", "sections", "files"] {
        item.remove(key);
    }
    Value::Object(item)
}

/// Parses a filter into attribute and text. The SDKs send `name` or `title`, the vendor's
/// documentation has `tag`. A quote in the text makes the filter invalid.
pub(super) fn filter(text: &str) -> Option<(&str, &str)> {
    let (attribute, rest) = text.split_once(" eq \"")?;
    let text = rest.strip_suffix('"')?;
    (["name", "title", "tag"].contains(&attribute) && !text.contains('"'))
        .then_some((attribute, text))
}
