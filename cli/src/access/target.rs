//! What a question about access is about: a scope, or one secret of it.

use std::str::FromStr;

use contract::{Scope, SecretName};

use crate::common_args::parse_scope;

/// `shop.prod.api`, or `shop.prod.api/DATABASE_URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessTarget {
    pub(crate) scope: Scope,
    pub(crate) secret: Option<SecretName>,
}

impl FromStr for AccessTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scope, secret) = match text.split_once('/') {
            Some((scope, secret)) => {
                (scope, Some(secret.parse().map_err(|error| format!("{error}"))?))
            }
            None => (text, None),
        };
        Ok(Self { scope: parse_scope(scope)?, secret })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_scope_or_a_secret() {
        let read = |text: &str| text.parse::<AccessTarget>();
        assert_eq!(read("shop.prod").unwrap().secret, None);
        let one = read("shop.prod.api/DATABASE_URL").unwrap();
        assert_eq!(one.scope.to_string(), "shop.prod.api");
        assert_eq!(one.secret.unwrap().as_str(), "DATABASE_URL");
        for text in ["", "/A", "shop/", "Shop/A", "shop/A/B"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
