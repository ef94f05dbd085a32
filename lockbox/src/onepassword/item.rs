//! Connect's JSON, and the content of the items that this program writes. Pure.
//!
//! The specification and the servers differ, so parsing is lenient: types and categories are open
//! texts, `null` is an empty list, and a field may name a section that does not exist. Unknown
//! fields are kept and sent back unchanged when an item is replaced.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use contract::{Redacted, Version};

use super::error::ItemError;
use super::field_text::FieldText;
use super::mac::{Mac, Seal};
use crate::value::ValueId;

const SECTION: &str = "enclii";
const CATEGORY: &str = "API_CREDENTIAL";
const VALUE: &str = "value";
const VERSION: &str = "version";
const SEAL: &str = "seal";

/// A vault.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VaultInfo {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    /// Rises with every change of an item.
    #[serde(default)]
    pub(super) content_version: i64,
}

/// An item as lists contain it, without its fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemSummary {
    pub(super) id: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) version: i64,
    #[serde(default)]
    pub(super) state: Option<String>,
    #[serde(default)]
    pub(super) created_at: String,
}

impl ItemSummary {
    /// Whether it is neither archived nor deleted.
    pub(super) fn is_active(&self) -> bool {
        self.state.as_deref().unwrap_or_default().is_empty()
    }

    /// The sort key of items with one title: the oldest first, the same for every caller.
    pub(super) fn age(&self) -> (&str, &str) {
        (&self.created_at, &self.id)
    }
}

/// A whole item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Item {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    fields: Vec<ItemField>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ItemField {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    section: Option<ItemSection>,
    #[serde(default)]
    label: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    value: Option<FieldText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ItemSection {
    #[serde(default)]
    id: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What an item holds. A person may have removed the version and the seal, which only this program
/// writes.
#[derive(Clone, Debug)]
pub(super) struct ItemContent {
    pub(super) version: Option<Version>,
    pub(super) seal: Option<Seal>,
    pub(super) value: Redacted,
}

impl ItemContent {
    /// Whether the value has this MAC under this id.
    pub(super) fn matches(&self, id: ValueId<'_>, mac: &Mac) -> bool {
        self.seal.as_ref().is_some_and(|seal| seal.mac_of(id, &self.value) == *mac)
    }

    /// Whether the value is the one that was written into the item.
    pub(super) fn is_as_written(&self, id: ValueId<'_>) -> bool {
        match (self.version, &self.seal) {
            (Some(version), Some(seal)) => {
                seal.mac_of(ValueId { version, ..id }, &self.value) == seal.mac
            }
            _ => false,
        }
    }
}

impl Item {
    /// A new item: the value as a visible field, and this program's data in its own section.
    pub(super) fn new(
        vault: &str,
        title: String,
        id: ValueId<'_>,
        value: &Redacted,
        seal: &Seal,
    ) -> Self {
        let rest = json!({
            "vault": { "id": vault },
            "category": CATEGORY,
            "tags": ["enclii"],
            "sections": [{ "id": SECTION, "label": "Enclii Secrets" }],
        });
        let rest = if let Value::Object(rest) = rest { rest } else { Map::new() };
        let mut item =
            Self { id: String::new(), title, version: 0, state: None, fields: Vec::new(), rest };
        item.set(id, value, seal);
        item
    }

    /// Sets the value, and leaves what people added unchanged.
    pub(super) fn set(&mut self, id: ValueId<'_>, value: &Redacted, seal: &Seal) {
        self.put(None, VALUE, "CONCEALED", FieldText::encode(value));
        self.put(Some(SECTION), VERSION, "STRING", id.version.to_string().into());
        self.put(Some(SECTION), SEAL, "STRING", seal.to_text().into());
    }

    /// Whether it is neither archived nor deleted.
    pub(super) fn is_active(&self) -> bool {
        self.state.as_deref().unwrap_or_default().is_empty()
    }

    /// 1Password's id of the person who edited it last.
    pub(super) fn editor(&self) -> Option<&str> {
        self.rest.get("lastEditedBy").and_then(Value::as_str).filter(|id| !id.is_empty())
    }

    /// Reads the item's content.
    pub(super) fn content(&self) -> Result<ItemContent, ItemError> {
        let value = self
            .one(VALUE, |field| field.purpose.as_deref() != Some("NOTES"))?
            .ok_or(ItemError::Missing(VALUE))?;
        let own =
            |field: &ItemField| field.section.as_ref().is_some_and(|section| section.id == SECTION);
        let text = |field: Option<&ItemField>| {
            field.and_then(|field| field.value.as_ref().map(|text| text.as_str().to_owned()))
        };
        let version = text(self.one(VERSION, own)?).and_then(|text| text.parse().ok()).map(Version);
        let seal = text(self.one(SEAL, own)?).and_then(|text| Seal::parse(&text));
        let empty = FieldText::default();
        let value = value.value.as_ref().unwrap_or(&empty).decode().ok_or(ItemError::Encoding)?;
        Ok(ItemContent { version, seal, value })
    }

    /// The only field with that label, if there is one.
    fn one(
        &self,
        label: &'static str,
        counts: impl Fn(&ItemField) -> bool,
    ) -> Result<Option<&ItemField>, ItemError> {
        let mut fields = self.fields.iter().filter(|field| field.label == label && counts(field));
        match (fields.next(), fields.count()) {
            (field, 0) => Ok(field),
            (_, more) => Err(ItemError::Duplicate(label, more + 1)),
        }
    }

    fn put(&mut self, section: Option<&str>, label: &str, kind: &str, text: FieldText) {
        let ours = |field: &&mut ItemField| {
            let inside = field.section.as_ref().map(|section| section.id.as_str());
            field.label == label
                && (section.is_none() || inside == section)
                && field.purpose.as_deref() != Some("NOTES")
        };
        if let Some(field) = self.fields.iter_mut().find(ours) {
            field.value = Some(text);
            return;
        }
        let section = section.map(|id| ItemSection { id: id.to_owned(), rest: Map::new() });
        let rest = Map::from_iter([("type".to_owned(), Value::from(kind))]);
        self.fields.push(ItemField {
            section,
            label: label.to_owned(),
            value: Some(text),
            purpose: None,
            rest,
        });
    }
}

#[cfg(test)]
mod tests;
