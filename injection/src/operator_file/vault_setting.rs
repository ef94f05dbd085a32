//! The settings of Vault as keys of the file.

use contract::vault_source::VaultPath;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::setting::{Setting, parse};
use crate::vault::{PemCertificates, PollSeconds, RoleTemplate, TokenAudience, VaultAddress};

/// Reads each from its text, and says what the JSON schema of that is.
macro_rules! texts {
    ($($name:ident: $schema:tt;)+) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parse(deserializer)
            }
        }

        impl Setting for $name {
            fn schema() -> Value {
                json!($schema)
            }
        }
    )+ };
}

texts! {
    VaultAddress: {
        "type": "string",
        "pattern": concat!(
            "^(https://[^/@?#\"'\\\\ ]+",
            "|http://(127\\.0\\.0\\.1|\\[::1\\]|localhost):[0-9]+)/*$",
        ),
        "examples": ["https://vault.vault.svc:8200"],
    };
    PemCertificates: {
        "type": "string",
        "pattern": "^\\s*-----BEGIN CERTIFICATE-----",
        "maxLength": 32768,
        "examples": ["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"],
    };
    RoleTemplate: {
        "type": "string",
        "pattern": "^([A-Za-z0-9_.-]|\\{namespace\\}|\\{service_account\\})+$",
        "maxLength": 128,
        "examples": ["{namespace}_{service_account}"],
    };
    TokenAudience: {
        "type": "string",
        "pattern": "^[!#-&(-\\[\\]-~]+$",
        "not": {"pattern": "^(enclii\\.io$|https://kubernetes\\.default)"},
        "maxLength": 256,
        "examples": ["https://vault.example.com"],
    };
}

impl Setting for VaultPath {
    fn schema() -> Value {
        json!({
            "type": "string",
            "pattern": "^[^/]+(/[^/]+)*$",
            "maxLength": 512,
            "examples": ["team-a"],
        })
    }
}

impl<'de> Deserialize<'de> for PollSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

impl Setting for PollSeconds {
    fn schema() -> Value {
        json!({"type": "integer", "minimum": 1, "maximum": Self::MAX, "examples": [10]})
    }
}

impl Setting for bool {
    fn schema() -> Value {
        json!({"type": "boolean", "examples": [true]})
    }
}
