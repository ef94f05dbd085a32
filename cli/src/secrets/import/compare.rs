//! Compares an import with the current secrets.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Redacted, Scope, SecretName};
use serde::Serialize;

use crate::client::{Client, ManyValues};
use crate::error::Error;
use crate::file_formats::SecretValues;
use crate::output::Output;

/// What an import does to one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(super) enum Change {
    /// The secret does not exist yet.
    New,
    /// Its value differs.
    Changed,
    /// Its value is the same: nothing is written.
    Unchanged,
    /// Its current value may not be read, so it is written.
    Unknown,
    /// It is written without a comparison.
    Rewritten,
}

impl Change {
    /// The change from the current value, which is absent if it may not be read.
    fn from_current(current: Option<&Redacted>, new: &Redacted) -> Self {
        match current {
            Some(current) if current == new => Self::Unchanged,
            Some(_) => Self::Changed,
            None => Self::Unknown,
        }
    }
}

/// Compares each secret with its current value.
pub(super) async fn with_current(
    client: &Client<'_>,
    scope: &Scope,
    values: &SecretValues,
    output: &Output,
) -> Result<BTreeMap<SecretName, Change>, Error> {
    let existing: BTreeSet<SecretName> = match client.list(scope).await {
        Ok(list) => list.into_iter().map(|it| it.name).collect(),
        Err(Error::Refused(problem)) if problem.status == 403 => {
            values.iter().map(|(name, _)| name.clone()).collect()
        }
        // A scope does not exist before its first secret.
        Err(Error::Refused(problem)) if problem.status == 404 => BTreeSet::new(),
        Err(error) => return Err(error),
    };
    let names: Vec<&SecretName> =
        values.iter().map(|(name, _)| name).filter(|name| existing.contains(*name)).collect();
    let current = match client.read_many(scope, names.iter().copied().cloned(), false).await {
        Ok(ManyValues { found: current, .. }) => {
            let unknown: Vec<&str> = names
                .iter()
                .filter(|name| !current.contains_key(**name))
                .map(|name| name.as_str())
                .collect();
            if !unknown.is_empty() {
                output.note(&format!(
                    "these count as changed, because their current values cannot be read: {}",
                    unknown.join(", ")
                ));
            }
            current
        }
        Err(Error::Refused(problem)) if problem.status == 403 => {
            output.note(&format!(
                "secrets that cannot be compared count as changed, because the current values of \
                 {scope} cannot be read: {}",
                problem.detail
            ));
            BTreeMap::new()
        }
        Err(error) => return Err(error),
    };
    let change = |name: &SecretName, new: &Redacted| {
        if existing.contains(name) {
            Change::from_current(current.get(name).map(|it| &it.value), new)
        } else {
            Change::New
        }
    };
    Ok(values.iter().map(|(name, new)| (name.clone(), change(name, new))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_follows_from_the_current_value() {
        let value = |text: &str| Redacted::from(text.as_bytes());
        for (current, new, expected) in [
            (Some("a"), "a", Change::Unchanged),
            (Some("a"), "a\n", Change::Changed),
            (Some(""), "", Change::Unchanged),
            (None, "a", Change::Unknown),
        ] {
            let current = current.map(value);
            assert_eq!(Change::from_current(current.as_ref(), &value(new)), expected);
        }
    }
}
