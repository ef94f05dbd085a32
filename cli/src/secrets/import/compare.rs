//! What an import would change.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Redacted, Scope, SecretName};
use serde::Serialize;

use crate::client::Client;
use crate::error::Error;
use crate::output::Output;
use crate::values::Values;

/// What becomes of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    /// There is none of its name yet.
    New,
    /// It has another value.
    Changed,
    /// It has this very value: nothing is written.
    Unchanged,
    /// It is there, and may not be read: it is written.
    Unknown,
    /// It is written without a look.
    Rewritten,
}

impl Change {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Unknown => "unknown",
            Self::Rewritten => "rewritten",
        }
    }

    /// The change from what the store answered: a value, nothing, or that it may not be read.
    fn from(present: Result<&Redacted, u16>, new: &Redacted) -> Self {
        match present {
            Ok(present) if present == new => Self::Unchanged,
            Ok(_) => Self::Changed,
            Err(404) => Self::New,
            Err(_) => Self::Unknown,
        }
    }
}

/// Compares with what is there. Whoever may not read is told so once, not once for each secret.
pub(super) async fn with_store(
    client: &Client<'_>,
    scope: &Scope,
    values: &Values,
    output: &Output,
) -> Result<BTreeMap<SecretName, Change>, Error> {
    let present: BTreeSet<SecretName> = match client.list(scope).await {
        Ok(list) => list.into_iter().map(|it| it.name).collect(),
        Err(Error::Refused(problem)) if problem.status == 403 => {
            values.iter().map(|(name, _)| name.clone()).collect()
        }
        // A scope comes into being with its first secret.
        Err(Error::Refused(problem)) if problem.status == 404 => BTreeSet::new(),
        Err(error) => return Err(error),
    };
    let mut changes = BTreeMap::new();
    let mut readable = true;
    for (done, (name, new)) in values.iter().enumerate() {
        output.progress("comparing", done, values.len());
        let change = if !present.contains(name) {
            Change::New
        } else if !readable {
            Change::Unknown
        } else {
            match client.read(scope, name).await {
                Ok(read) => Change::from(Ok(&read.value), new),
                Err(Error::Refused(problem)) if matches!(problem.status, 403 | 404) => {
                    if problem.status == 403 {
                        readable = false;
                        output.note(&format!("present values of {scope} may not be read, so that all are written: {}", problem.detail));
                    }
                    Change::from(Err(problem.status), new)
                }
                Err(error) => return Err(error),
            }
        };
        changes.insert(name.clone(), change);
    }
    output.progress_ends();
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes() {
        let value = |text: &str| Redacted::from(text.as_bytes());
        for (present, new, expected) in [
            (Ok("a"), "a", Change::Unchanged),
            (Ok("a"), "a\n", Change::Changed),
            (Ok(""), "", Change::Unchanged),
            (Err(404), "a", Change::New),
            (Err(403), "a", Change::Unknown),
        ] {
            assert_eq!(
                Change::from(present.map(value).as_ref().map_err(|it| *it), &value(new)),
                expected
            );
        }
    }
}
