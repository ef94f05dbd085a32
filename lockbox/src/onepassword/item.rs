//! Connect's JSON, and what an item of ours says. Pure.
//!
//! The specification and the servers differ, so shapes are taken as they come: types and categories
//! are open texts, `null` is an empty list, a field may name a section that is not there, and what
//! is not known here goes back as it came when an item is replaced.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use contract::{Redacted, Version};

use super::proof::{Code, Place, Seal};
use super::text::Text;

const SECTION: &str = "enclii";
const CATEGORY: &str = "API_CREDENTIAL";
const VALUE: &str = "value";
const VERSION: &str = "version";
const SEAL: &str = "seal";

/// A vault.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Vault {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    /// Grows with every change of an item.
    #[serde(default)]
    pub(super) content_version: i64,
}

/// An item as a list has it, without its fields.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
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

impl Summary {
    /// Whether it is there, and neither archived nor deleted.
    pub(super) fn lives(&self) -> bool {
        self.state.as_deref().unwrap_or_default().is_empty()
    }

    /// Orders items of one title: the oldest first, in the same way at every caller.
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
    fields: Vec<Field>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Field {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    section: Option<Section>,
    #[serde(default)]
    label: String,
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    value: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Section {
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

/// Why an item cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// No field has that label.
    #[error("it has no field with the label {0:?}")]
    Missing(&'static str),
    /// More than one field has that label.
    #[error("it has {1} fields with the label {0:?}, and one is needed")]
    Duplicate(&'static str, usize),
    /// The value says that it is base64 and is not.
    #[error("its value begins with \"base64:\" and goes on with something else")]
    Encoding,
}

/// What an item of ours says. Version and seal are ours alone; a person may have removed them.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) version: Option<Version>,
    pub(super) seal: Option<Seal>,
    pub(super) value: Redacted,
}

impl Content {
    /// Whether the value has that code at that place.
    pub(super) fn fits(&self, place: Place<'_>, code: &Code) -> bool {
        self.seal.as_ref().is_some_and(|seal| seal.code_of(place, &self.value) == *code)
    }

    /// Whether the value is the one that the item was written with.
    pub(super) fn is_as_written(&self, place: Place<'_>) -> bool {
        match (self.version, &self.seal) {
            (Some(version), Some(seal)) => {
                seal.code_of(Place { version, ..place }, &self.value) == seal.code
            }
            _ => false,
        }
    }
}

impl Item {
    /// A new item in a vault: a value in sight, and what is ours in a section of its own.
    pub(super) fn new(
        vault: &str,
        title: String,
        place: Place<'_>,
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
        item.set(place, value, seal);
        item
    }

    /// Puts a value in, and leaves what people added as it is.
    pub(super) fn set(&mut self, place: Place<'_>, value: &Redacted, seal: &Seal) {
        self.put(None, VALUE, "CONCEALED", Text::of(value));
        self.put(Some(SECTION), VERSION, "STRING", place.version.to_string().into());
        self.put(Some(SECTION), SEAL, "STRING", seal.to_text().into());
    }

    /// Whether it is there, and neither archived nor deleted.
    pub(super) fn lives(&self) -> bool {
        self.state.as_deref().unwrap_or_default().is_empty()
    }

    /// Who edited it last, by 1Password's id of the person.
    pub(super) fn editor(&self) -> Option<&str> {
        self.rest.get("lastEditedBy").and_then(Value::as_str).filter(|id| !id.is_empty())
    }

    /// What it says.
    pub(super) fn content(&self) -> Result<Content, ItemError> {
        let value = self
            .one(VALUE, |field| field.purpose.as_deref() != Some("NOTES"))?
            .ok_or(ItemError::Missing(VALUE))?;
        let own =
            |field: &Field| field.section.as_ref().is_some_and(|section| section.id == SECTION);
        let text = |field: Option<&Field>| {
            field.and_then(|field| field.value.as_ref().map(|text| text.as_str().to_owned()))
        };
        let version = text(self.one(VERSION, own)?).and_then(|text| text.parse().ok()).map(Version);
        let seal = text(self.one(SEAL, own)?).and_then(|text| Seal::parse(&text));
        let empty = Text::default();
        let value = value.value.as_ref().unwrap_or(&empty).bytes().ok_or(ItemError::Encoding)?;
        Ok(Content { version, seal, value })
    }

    /// The one field with that label, if there is one.
    fn one(
        &self,
        label: &'static str,
        counts: impl Fn(&Field) -> bool,
    ) -> Result<Option<&Field>, ItemError> {
        let mut fields = self.fields.iter().filter(|field| field.label == label && counts(field));
        match (fields.next(), fields.count()) {
            (field, 0) => Ok(field),
            (_, more) => Err(ItemError::Duplicate(label, more + 1)),
        }
    }

    fn put(&mut self, section: Option<&str>, label: &str, kind: &str, text: Text) {
        let ours = |field: &&mut Field| {
            let inside = field.section.as_ref().map(|section| section.id.as_str());
            field.label == label
                && (section.is_none() || inside == section)
                && field.purpose.as_deref() != Some("NOTES")
        };
        if let Some(field) = self.fields.iter_mut().find(ours) {
            field.value = Some(text);
            return;
        }
        let section = section.map(|id| Section { id: id.to_owned(), rest: Map::new() });
        let rest = Map::from_iter([("type".to_owned(), Value::from(kind))]);
        self.fields.push(Field {
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
