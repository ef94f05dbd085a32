//! The operator's rules: which bundle has the secrets of a path in another store.

use std::collections::BTreeMap;

use contract::{BundleRef, SecretName};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::grammar::{ForeignReference, ReferenceFault, Scheme};

/// The most rules.
pub(crate) const MAX_RULES: usize = 256;

/// The most keys of one rule that have another name in its bundle.
pub(crate) const MAX_KEYS: usize = 256;

/// The most names in the path of a rule. A reference is compared with one rule for each.
const MAX_NAMES: usize = 16;

/// The longest path of a rule, in bytes.
const MAX_PATH_BYTES: usize = 512;

/// The operator's rules, by the store and the path that each begins at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceRules(BTreeMap<Scheme, BTreeMap<String, Target>>);

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    bundle: BundleRef,
    /// Keys that have another name in the bundle.
    keys: BTreeMap<String, SecretName>,
}

/// The key of a bundle that a reference means, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MappedReference<'r> {
    pub(crate) bundle: &'r BundleRef,
    pub(crate) key: Result<&'r str, ReferenceFault>,
}

/// Why rules are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceRuleError {
    /// Not the beginning of a reference.
    #[error(
        "parse rule for references: from {0:?} must be vault:PATH, bao:PATH or op://VAULT/ITEM \
         without a key, of {MAX_NAMES} names and {MAX_PATH_BYTES} bytes at most"
    )]
    From(String),
    /// Two rules for one path.
    #[error("parse rules for references: there are two for {0:?}")]
    Twice(String),
    /// More than are looked at.
    #[error("parse rules for references: there may be {MAX_RULES}, with {MAX_KEYS} keys each")]
    TooMany,
}

impl ReferenceRules {
    /// The secret that a reference means; `None` if no rule covers it. The longest path counts.
    pub(crate) fn find<'r>(
        &'r self,
        reference: &ForeignReference<'r>,
    ) -> Option<MappedReference<'r>> {
        let ForeignReference { scheme, path, key, fault } = *reference;
        let rules = self.0.get(&scheme)?;
        let path = scheme.normal(path);
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let ends: Vec<usize> = ends.take(MAX_NAMES).collect();
        let mut longest_first = ends.iter().enumerate().rev();
        let (names, Target { bundle, keys }) =
            longest_first.find_map(|(at, end)| Some((at + 1, rules.get(&path[..*end])?)))?;
        let key = match keys.get(&scheme.normal(key)) {
            _ if fault.is_some() => Err(fault.unwrap_or(ReferenceFault::NoKey)),
            _ if reference.has_section() && names < 3 => Err(ReferenceFault::Section),
            Some(renamed) => Ok(renamed.as_str()),
            None if key.parse::<SecretName>().is_ok() => Ok(key),
            None => Err(ReferenceFault::Key),
        };
        Some(MappedReference { bundle, key })
    }

    fn add(&mut self, rule: RawRule) -> Result<(), ReferenceRuleError> {
        let RawRule { from, bundle, keys } = rule;
        let (scheme, path) =
            parse_from(&from).ok_or_else(|| ReferenceRuleError::From(from.clone()))?;
        if keys.len() > MAX_KEYS || self.0.values().map(BTreeMap::len).sum::<usize>() >= MAX_RULES {
            return Err(ReferenceRuleError::TooMany);
        }
        let keys = keys.into_iter().map(|(key, name)| (scheme.normal(&key), name)).collect();
        match self.0.entry(scheme).or_default().insert(path, Target { bundle, keys }) {
            Some(_) => Err(ReferenceRuleError::Twice(from)),
            None => Ok(()),
        }
    }
}

/// The store and the path of a rule.
fn parse_from(from: &str) -> Option<(Scheme, String)> {
    let (scheme, path) = Scheme::of(from)?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_path = path.len() <= MAX_PATH_BYTES
        && !path.contains(['#', '?', '$', '\n'])
        && path.split('/').count() <= if scheme == Scheme::OnePassword { 3 } else { MAX_NAMES }
        && path.split('/').all(|name| !name.is_empty());
    is_path.then(|| (scheme, scheme.normal(path)))
}

/// One rule as the operator writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    from: String,
    bundle: BundleRef,
    #[serde(default)]
    keys: BTreeMap<String, SecretName>,
}

impl<'de> Deserialize<'de> for ReferenceRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rules = Self::default();
        for rule in Vec::<RawRule>::deserialize(deserializer)? {
            rules.add(rule).map_err(D::Error::custom)?;
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(rules: Value) -> Result<ReferenceRules, String> {
        serde_json::from_value(rules).map_err(|error| error.to_string())
    }

    #[test]
    fn the_longest_path_counts_and_keys_have_other_names() {
        let rules = read(json!([
            { "from": "vault:secret/data/shop/", "bundle": "shared-prod" },
            { "from": "vault:secret/data/shop/api", "bundle": "api-prod" },
            { "from": "op://Shop", "bundle": "api-prod" },
            {
                "from": "op://Shop/DB/Admin", "bundle": "admin-prod",
                "keys": { "User Name": "ADMIN" },
            },
            { "from": "op://Shop/DB", "bundle": "db-prod", "keys": { "password": "DB_PASSWORD" } },
        ]))
        .unwrap();
        use ReferenceFault::{Key, Section, Version};
        for (value, expected) in [
            ("vault:secret/data/shop/api#K", Some(("api-prod", Ok("K")))),
            ("vault:secret/data/shop/api/deep#K", Some(("api-prod", Ok("K")))),
            ("vault:secret/data/shop/apis#K", Some(("shared-prod", Ok("K")))),
            ("vault:secret/data/shop#K", Some(("shared-prod", Ok("K")))),
            ("vault:secret/data/shop/api#K#1", Some(("api-prod", Err(Version)))),
            ("vault:secret/data/shop/api#a b", Some(("api-prod", Err(Key)))),
            ("vault:secret/data/shops#K", None),
            ("vault:Secret/data/shop#K", None),
            ("bao:secret/data/shop#K", None),
            ("op://shop/db/Password", Some(("db-prod", Ok("DB_PASSWORD")))),
            ("op://Shop/DB/username", Some(("db-prod", Ok("username")))),
            ("op://Shop/DB/Admin/user name", Some(("admin-prod", Ok("ADMIN")))),
            ("op://Shop/DB/Other/password", Some(("db-prod", Err(Section)))),
            ("op://Shop/Stripe/credential", Some(("api-prod", Ok("credential")))),
            ("op://Other/DB/password", None),
        ] {
            let reference = ForeignReference::parse(value).unwrap();
            let found = rules.find(&reference);
            assert_eq!(found.map(|it| (it.bundle.as_str(), it.key)), expected, "{value}");
        }
    }

    #[test]
    fn rules_that_say_nothing_are_refused() {
        let deep = format!("vault:{}", ["a"; 17].join("/"));
        for (rule, words) in [
            (json!({ "from": "secret/data", "bundle": "a-b" }), "vault:PATH"),
            (json!({ "from": "vault:", "bundle": "a-b" }), "vault:PATH"),
            (json!({ "from": "vault:/a", "bundle": "a-b" }), "vault:PATH"),
            (json!({ "from": "vault:a#K", "bundle": "a-b" }), "vault:PATH"),
            (json!({ "from": "op://a/b/c/d", "bundle": "a-b" }), "vault:PATH"),
            (json!({ "from": deep, "bundle": "a-b" }), "vault:PATH"),
            (json!({ "from": "vault:a", "bundle": "A" }), "bundle"),
            (json!({ "from": "vault:a" }), "bundle"),
            (json!({ "from": "vault:a", "bundle": "a-b", "key": "x" }), "key"),
            (json!({ "from": "vault:a", "bundle": "a-b", "keys": { "x": "../y" } }), "secret name"),
        ] {
            let error = read(json!([rule])).unwrap_err();
            assert!(error.contains(words), "{rule}: {error}");
        }
        let rule = |from: String| json!({ "from": from, "bundle": "a-b" });
        let twice = read(json!([rule("op://A/b".into()), rule("op://a/B".into())])).unwrap_err();
        assert!(twice.contains("there are two for"), "{twice}");
        let many: Vec<_> = (0..=MAX_RULES).map(|at| rule(format!("vault:a{at}"))).collect();
        assert!(read(json!(many)).unwrap_err().contains("there may be 256"));
        assert!(read(json!(many[1..])).is_ok());
    }
}
