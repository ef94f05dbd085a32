//! The types of settings: each is read from a text that is checked, and knows its JSON schema.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use contract::Quantity;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::choice::{AgentUser, PlacementPolicy, SecretSource};
use crate::config::PullPolicy;
use crate::references::{MAX_KEYS, MAX_RULES, ReferenceRules};

/// What a key of the file may hold.
pub(super) trait Setting {
    /// Its JSON schema, with an example that differs from the default.
    fn schema() -> Value;
}

/// Reads a type from its text.
pub(super) fn parse<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

impl Setting for Quantity {
    fn schema() -> Value {
        json!({
            "type": "string",
            "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|M|G|Ki|Mi|Gi)?$",
            "examples": ["17Mi"],
        })
    }
}

impl<'de> Deserialize<'de> for PullPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer)
    }
}

impl Setting for PullPolicy {
    fn schema() -> Value {
        json!({
            "type": "string",
            "enum": ["Always", "IfNotPresent", "Never"],
            "examples": ["Always"],
        })
    }
}

/// A setting that is one of some words; the second is an example that differs from the default.
macro_rules! words {
    ($($name:ident),+) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parse(deserializer)
            }
        }

        impl Setting for $name {
            fn schema() -> Value {
                let words = Self::ALL.map(Self::as_str);
                json!({ "type": "string", "enum": words, "examples": [words[1]] })
            }
        }
    )+ };
}

words!(PlacementPolicy, AgentUser, SecretSource);

/// The text is not a setting of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Not an [`ImageName`].
    #[error("parse image {0:?}: must be REGISTRY/NAME:TAG without a space")]
    Image(String),
    /// Not an [`HttpsAddress`].
    #[error("parse address: must be https://HOST or https://HOST:PORT")]
    Address,
}

/// The name of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName(String);

impl FromStr for ImageName {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text.to_owned())) } else { Err(SettingError::Image(text.to_owned())) }
    }
}

impl From<ImageName> for String {
    fn from(image: ImageName) -> Self {
        image.0
    }
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer)
    }
}

impl Setting for ImageName {
    fn schema() -> Value {
        json!({
            "type": "string",
            "pattern": "^[!-~]+$",
            "examples": ["registry.example.com/enclii/agent:0.1.0"],
        })
    }
}

/// An address without a path. Agents send their token there, so it is HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsAddress(String);

impl FromStr for HttpsAddress {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let host = text.strip_prefix("https://").unwrap_or_default().trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
            return Err(SettingError::Address);
        }
        Ok(Self(format!("https://{host}")))
    }
}

impl From<HttpsAddress> for String {
    fn from(address: HttpsAddress) -> Self {
        address.0
    }
}

impl<'de> Deserialize<'de> for HttpsAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse(deserializer)
    }
}

impl Setting for HttpsAddress {
    fn schema() -> Value {
        json!({
            "type": "string",
            "pattern": "^https://[^/@?# ]+/?$",
            "examples": ["https://secrets.example.com"],
        })
    }
}

/// Names: of variables, containers or registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameList(BTreeSet<String>);

impl From<NameList> for BTreeSet<String> {
    fn from(names: NameList) -> Self {
        names.0
    }
}

impl<'de> Deserialize<'de> for NameList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let is_name =
            |name: &String| !name.is_empty() && !name.contains(['=', ',', ' ', '\n', '\0']);
        match names.iter().find(|name| !is_name(name)) {
            Some(other) => {
                let found = Unexpected::Str(other);
                Err(D::Error::invalid_value(found, &"a name"))
            }
            None => Ok(Self(names.into_iter().collect())),
        }
    }
}

impl Setting for NameList {
    fn schema() -> Value {
        json!({
            "type": "array",
            "items": {"type": "string", "pattern": "^[^=, \\n]+$"},
            "examples": [["one", "another"]],
        })
    }
}

impl Setting for ReferenceRules {
    fn schema() -> Value {
        json!({
            "type": "array",
            "maxItems": MAX_RULES,
            "items": {
                "type": "object",
                "additionalProperties": false,
                "required": ["from", "bundle"],
                "properties": {
                    "from": {
                        "type": "string",
                        "pattern": "^(vault:|bao:|op://)[^/#?$\\n]",
                        "description": "The beginning of the references, without a key",
                    },
                    "bundle": {"type": "string", "description": "The bundle that has the secrets"},
                    "keys": {
                        "type": "object",
                        "maxProperties": MAX_KEYS,
                        "additionalProperties": {"type": "string"},
                        "description": "Keys or fields that have another name in the bundle",
                    },
                },
            },
            "examples": [[
                {"from": "vault:secret/data/shop/api", "bundle": "api-prod"},
                {
                    "from": "op://Shop/Database",
                    "bundle": "api-prod",
                    "keys": {"password": "DB_PASSWORD"},
                },
            ]],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_must_be_https_without_a_path() {
        let address = "https://localhost:9443/".parse::<HttpsAddress>().map(String::from);
        assert_eq!(address, Ok("https://localhost:9443".into()));
        for text in ["", "http://x", "https://", "https://a/b", "https://u@h", "https://a b"] {
            assert!(text.parse::<HttpsAddress>().is_err(), "{text}");
        }
    }
}
