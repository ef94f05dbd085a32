//! What the ledger is authenticated with, and what was found that switchyard did not write.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use audit::ResourceKind;
use contract::{Scope, SecretName};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::RepositoryError;
use super::digest::Table;
use super::mac::LedgerKey;
use super::trusted_rows::TrustedRows;

/// How many forgeries wait to be reported. More are dropped: they are found again.
const MAX_WAITING: usize = 64;

/// How many forgeries one check of a table reports.
pub(super) const MAX_REPORTED: usize = 16;

/// Something in the ledger that switchyard did not write, or that is not what it wrote last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Forgery {
    /// The kind of what it is about.
    pub kind: ResourceKind,
    /// Its name.
    pub id: String,
    /// Its scope, if it has one.
    pub scope: Option<String>,
    /// What is wrong.
    pub what: &'static str,
}

impl Forgery {
    const ROW: &'static str = "its row is not one that switchyard wrote";

    pub(super) fn secret(scope: &Scope, name: &SecretName) -> Self {
        let (id, scope) = (name.to_string(), Some(scope.to_string()));
        Self { kind: ResourceKind::Secret, id, scope, what: Self::ROW }
    }

    pub(super) fn version(scope: &Scope, name: &SecretName) -> Self {
        let what = "the row of a version is not one that switchyard wrote";
        Self { what, ..Self::secret(scope, name) }
    }

    pub(super) fn references(scope: &Scope, name: &SecretName) -> Self {
        let what = "the table of references is not what its version says";
        Self { what, ..Self::secret(scope, name) }
    }

    pub(super) fn bundle(scope: &Scope) -> Self {
        let (id, scope) = (scope.to_string(), Some(scope.to_string()));
        Self { kind: ResourceKind::Bundle, id, scope, what: Self::ROW }
    }

    pub(super) fn generation(scope: &Scope) -> Self {
        let what = "its members are not those that switchyard gave it";
        Self { what, ..Self::bundle(scope) }
    }

    pub(super) fn grant(id: i64) -> Self {
        Self { kind: ResourceKind::Grant, id: id.to_string(), scope: None, what: Self::ROW }
    }

    pub(super) fn token(name: String) -> Self {
        Self { kind: ResourceKind::Token, id: name, scope: None, what: Self::ROW }
    }

    /// Of a row that is authentic, but not what the table has.
    pub(super) fn put_back(self) -> Self {
        Self { what: "its row is an older one that was put back", ..self }
    }

    pub(super) fn table(table: Table) -> Self {
        let what = "rows were removed from the table, changed, or put back";
        let id = table.as_str().to_owned();
        Self { kind: ResourceKind::Ledger, id, scope: None, what }
    }

    pub(super) fn digests() -> Self {
        let what = "the digests of the tables are not those that switchyard wrote";
        Self { kind: ResourceKind::Ledger, id: "digests".to_owned(), scope: None, what }
    }
}

impl fmt::Display for Forgery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind: &str = self.kind.into();
        match &self.scope {
            Some(scope) if *scope != self.id => write!(f, "{kind} {scope}/{}", self.id)?,
            _ => write!(f, "{kind} {}", self.id)?,
        }
        write!(f, ": {}", self.what)
    }
}

/// The ledger's key, what is known to be in its tables, and the forgeries to report.
#[derive(Debug)]
pub(super) struct Authenticity {
    key: RwLock<Option<Arc<LedgerKey>>>,
    pub(super) grants: TrustedRows,
    pub(super) tokens: TrustedRows,
    found: Sender<Forgery>,
    unreported: Mutex<Option<Receiver<Forgery>>>,
}

impl Default for Authenticity {
    fn default() -> Self {
        let (found, unreported) = mpsc::channel(MAX_WAITING);
        Self {
            key: RwLock::default(),
            grants: TrustedRows::new(Table::Grants),
            tokens: TrustedRows::new(Table::Tokens),
            found,
            unreported: Mutex::new(Some(unreported)),
        }
    }
}

impl Authenticity {
    /// The ledger's key.
    ///
    /// # Errors
    /// It is not loaded yet.
    pub(super) fn key(&self) -> Result<Arc<LedgerKey>, RepositoryError> {
        let key = self.key.read().unwrap_or_else(PoisonError::into_inner).clone();
        key.ok_or(RepositoryError::Locked)
    }

    /// Goes on with this key.
    pub(super) fn set_key(&self, key: impl Into<Arc<LedgerKey>>) {
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Some(key.into());
        self.grants.clear();
        self.tokens.clear();
    }

    /// Reports a forgery, and returns the error for whoever came across it.
    pub(super) fn refuse(&self, forgery: Forgery) -> RepositoryError {
        self.report(forgery.clone());
        RepositoryError::Forged(forgery)
    }

    pub(super) fn report(&self, forgery: Forgery) {
        // If the channel is full, it is found again.
        let _ = self.found.try_send(forgery);
    }

    /// The forgeries that were found, for their one reporter.
    pub(super) fn take_unreported(&self) -> Option<Receiver<Forgery>> {
        self.unreported.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgery_says_what_and_where() {
        let (scope, name) = ("shop.prod.web".parse().unwrap(), "A".parse().unwrap());
        for (forgery, text) in [
            (
                Forgery::secret(&scope, &name),
                "secret shop.prod.web/A: its row is not one that switchyard wrote",
            ),
            (
                Forgery::generation(&scope),
                "bundle shop.prod.web: its members are not those that switchyard gave it",
            ),
            (Forgery::grant(7).put_back(), "grant 7: its row is an older one that was put back"),
            (
                Forgery::table(Table::Tokens),
                "ledger api_tokens: rows were removed from the table, changed, or put back",
            ),
        ] {
            assert_eq!(forgery.to_string(), text);
        }
    }
}
