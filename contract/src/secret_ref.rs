//! A secret as a text names it: `shop.prod/DB_HOST`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::SecretName;
use crate::scope::Scope;

/// A scope and a name in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef {
    /// The scope.
    pub scope: Scope,
    /// The name.
    pub name: SecretName,
}

/// A text is not a [`SecretRef`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse secret: must be a scope, '/' and a name, such as shop.prod/DB_HOST")]
pub struct SecretRefError;

impl FromStr for SecretRef {
    type Err = SecretRefError;

    fn from_str(text: &str) -> Result<Self, SecretRefError> {
        let (scope, name) = text.split_once('/').ok_or(SecretRefError)?;
        Ok(Self {
            scope: scope.parse().map_err(|_| SecretRefError)?,
            name: name.parse().map_err(|_| SecretRefError)?,
        })
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.name)
    }
}

impl TryFrom<String> for SecretRef {
    type Error = SecretRefError;

    fn try_from(text: String) -> Result<Self, SecretRefError> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(secret: SecretRef) -> Self {
        secret.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_round_trips_or_is_refused() {
        for text in ["shop/A", "shop.prod/DB_HOST", "shop.prod.api/tls.key"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
        for text in ["", "A", "/A", "shop/", "shop/1A", "shop prod/A", "shop/A/B", " shop/A"] {
            assert!(text.parse::<SecretRef>().is_err(), "{text}");
        }
    }
}
