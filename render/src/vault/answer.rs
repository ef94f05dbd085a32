//! Vault's answer as a template sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use contract::Redacted;
use gotmpl::Value;
use serde::Deserialize;
use serde_json::Value as Json;

/// Vault's answer to a read or a write.
pub(super) struct VaultAnswer {
    lease_id: String,
    lease_duration: i64,
    renewable: bool,
    data: Value,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    lease_id: String,
    #[serde(default)]
    lease_duration: i64,
    #[serde(default)]
    renewable: bool,
    data: Json,
}

impl VaultAnswer {
    /// Reads what the agent has of it; `None` if that is something else.
    pub(super) fn read(bytes: &Redacted) -> Option<Self> {
        // The parser's error may quote the value.
        let envelope: Envelope = serde_json::from_slice(bytes.expose()).ok()?;
        let Envelope { lease_id, lease_duration, renewable, data } = envelope;
        Some(Self { lease_id, lease_duration, renewable, data: value(data) })
    }

    /// As the function `secret` gives it.
    pub(super) fn secret(&self) -> Value {
        map([
            ("Data", self.data.clone()),
            ("LeaseDuration", Value::Int(self.lease_duration)),
            ("LeaseID", Value::String(self.lease_id.as_str().into())),
            ("Renewable", Value::Bool(self.renewable)),
        ])
    }

    /// As the function `pkiCert` gives it: the parts of the certificate, and all of them once more
    /// in `Data`, where older templates look.
    pub(super) fn certificate(&self) -> Value {
        let field = |name: &str| self.data.field(name).cloned().unwrap_or(Value::Nil);
        let pem = |name: &str| match field(name) {
            Value::String(text) if !text.is_empty() => {
                Value::String(format!("{}\n", text.trim_end()).into())
            }
            other => other,
        };
        let parts = [
            ("CA", pem("issuing_ca")),
            ("CAChain", field("ca_chain")),
            ("Cert", pem("certificate")),
            ("Key", pem("private_key")),
        ];
        map(parts.clone().into_iter().chain([("Data", map(parts))]))
    }
}

fn map<'k>(fields: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(name, value)| (Arc::from(name), value));
    Value::Map(Arc::new(fields.collect::<BTreeMap<_, _>>()))
}

/// A JSON value. A number that an integer cannot hold stays the text that it is in JSON.
pub(super) fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(it) => Value::Bool(it),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(it), _) => Value::Int(it),
            (None, Some(it)) => Value::Uint(it),
            (None, None) => Value::String(number.to_string().into()),
        },
        Json::String(text) => Value::String(text.into()),
        Json::Array(items) => Value::List(items.into_iter().map(value).collect()),
        Json::Object(fields) => {
            let fields = fields.into_iter().map(|(name, it)| (Arc::from(name), value(it)));
            Value::Map(Arc::new(fields.collect()))
        }
    }
}

/// A value as JSON.
pub(super) fn json(value: &Value) -> Json {
    match value {
        Value::Nil | Value::Function(_) => Json::Null,
        Value::Bool(it) => Json::Bool(*it),
        Value::Int(it) => Json::from(*it),
        Value::Uint(it) => Json::from(*it),
        Value::Float(it) => Json::from(*it),
        Value::String(text) => Json::from(&**text),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(fields) => {
            let fields = fields.iter().map(|(name, it)| (name.to_string(), json(it)));
            Json::Object(fields.collect())
        }
    }
}
