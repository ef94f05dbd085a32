//! Compares an import with the current secrets.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Redacted, Scope, SecretName};
use serde::Serialize;

use crate::client::Client;
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
    /// The change from the current value, or from the HTTP status with which reading it failed.
    fn from_current(current: Result<&Redacted, u16>, new: &Redacted) -> Self {
        match current {
            Ok(current) if current == new => Self::Unchanged,
            Ok(_) => Self::Changed,
            Err(404) => Self::New,
            Err(_) => Self::Unknown,
        }
    }
}

/// Compares each secret with its current value. After the first refusal to read, no further value
/// is requested.
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
    let mut changes = BTreeMap::new();
    let mut readable = true;
    let progress = output.progress("comparing", values.len() as u64);
    for (done, (name, new)) in (0..).zip(values.iter()) {
        progress.set(done);
        let change = if !existing.contains(name) {
            Change::New
        } else if !readable {
            Change::Unknown
        } else {
            match client.read(scope, name).await {
                Ok(read) => Change::from_current(Ok(&read.value), new),
                Err(Error::Refused(problem)) if matches!(problem.status, 403 | 404) => {
                    if problem.status == 403 {
                        readable = false;
                        let detail = &problem.detail;
                        progress.suspend(|| {
                            output.note(&format!(
                                "secrets that cannot be compared count as changed, because the \
                                 current values of {scope} cannot be read: {detail}"
                            ));
                        });
                    }
                    Change::from_current(Err(problem.status), new)
                }
                Err(error) => return Err(error),
            }
        };
        changes.insert(name.clone(), change);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_follows_from_the_current_value() {
        let value = |text: &str| Redacted::from(text.as_bytes());
        for (current, new, expected) in [
            (Ok("a"), "a", Change::Unchanged),
            (Ok("a"), "a\n", Change::Changed),
            (Ok(""), "", Change::Unchanged),
            (Err(404), "a", Change::New),
            (Err(403), "a", Change::Unknown),
        ] {
            assert_eq!(
                Change::from_current(current.map(value).as_ref().map_err(|it| *it), &value(new)),
                expected
            );
        }
    }
}
