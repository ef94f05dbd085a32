//! The ledger in SQL. SQLite and PostgreSQL run the same statements.
//!
//! Every change first locks the audit log's head row. Changes are therefore serialized across
//! replicas, and a transaction never sees concurrent changes. Tests check the statements against
//! real databases; compile-time checking would need a database to build.

mod accept;
mod affected;
mod agent_states;
mod audit_events;
mod bundles;
mod changes;
mod checkpoints;
mod deleted_versions;
mod destroy;
mod epochs;
mod forgeries;
mod generation_row;
mod generations;
mod grants;
mod idempotency;
mod last_reads;
mod leases;
mod ledger_check;
mod listing;
mod lived_time;
mod member_targets;
mod metadata;
mod notify;
mod pod_reports;
mod prune;
mod references;
mod referrers;
mod rights;
mod row_macs;
mod rows;
mod search;
mod secret_reads;
mod secret_row;
mod secrets;
mod settings;
mod targets;
mod tokens;
mod touched;
mod transaction;
mod version_rows;

use std::sync::Arc;

use lockbox::{Database, Migration, Schema};

use super::RepositoryError;
use super::authenticity::Authenticity;
pub use accept::{AcceptedRows, LedgerKeyRef};
pub use checkpoints::StoredCheckpoint;
pub use destroy::PendingDestroy;
pub use grants::PersonGrant;
pub use last_reads::{BundleMemberId, CountedUntil, ReadEvent};
pub use notify::CHANNEL;
pub use prune::PrunedBundle;
use rows::database;
pub use secret_reads::{Membership, ReadQuery};
pub use targets::Resolved;
pub(super) use transaction::LedgerTransaction;

const SCHEMA: Schema = Schema {
    table: "_switchyard_migrations",
    migrations: &[
        Migration {
            version: 1,
            description: "ledger",
            sqlite: include_str!("../../migrations/sqlite/0001_ledger.sql"),
            postgres: include_str!("../../migrations/postgres/0001_ledger.sql"),
        },
        Migration {
            version: 2,
            description: "bundle members",
            sqlite: include_str!("../../migrations/sqlite/0002_bundle_members.sql"),
            postgres: include_str!("../../migrations/postgres/0002_bundle_members.sql"),
        },
        Migration {
            version: 3,
            description: "grants",
            sqlite: include_str!("../../migrations/sqlite/0003_grants.sql"),
            postgres: include_str!("../../migrations/postgres/0003_grants.sql"),
        },
        Migration {
            version: 4,
            description: "epochs",
            sqlite: include_str!("../../migrations/sqlite/0004_epochs.sql"),
            postgres: include_str!("../../migrations/postgres/0004_epochs.sql"),
        },
        Migration {
            version: 5,
            description: "macs",
            sqlite: include_str!("../../migrations/sqlite/0005_macs.sql"),
            postgres: include_str!("../../migrations/postgres/0005_macs.sql"),
        },
        Migration {
            version: 6,
            description: "metadata",
            sqlite: include_str!("../../migrations/sqlite/0006_metadata.sql"),
            postgres: include_str!("../../migrations/postgres/0006_metadata.sql"),
        },
        Migration {
            version: 7,
            description: "reads of a secret",
            sqlite: include_str!("../../migrations/sqlite/0007_reads_of_a_secret.sql"),
            postgres: include_str!("../../migrations/postgres/0007_reads_of_a_secret.sql"),
        },
        Migration {
            version: 8,
            description: "references",
            sqlite: include_str!("../../migrations/sqlite/0008_references.sql"),
            postgres: include_str!("../../migrations/postgres/0008_references.sql"),
        },
        Migration {
            version: 9,
            description: "last reads",
            sqlite: include_str!("../../migrations/sqlite/0009_last_reads.sql"),
            postgres: include_str!("../../migrations/postgres/0009_last_reads.sql"),
        },
        Migration {
            version: 10,
            description: "pruning",
            sqlite: include_str!("../../migrations/sqlite/0010_pruning.sql"),
            postgres: include_str!("../../migrations/postgres/0010_pruning.sql"),
        },
        Migration {
            version: 11,
            description: "agent states",
            sqlite: include_str!("../../migrations/sqlite/0011_agent_states.sql"),
            postgres: include_str!("../../migrations/postgres/0011_agent_states.sql"),
        },
    ],
};

/// The ledger. Clones share one database pool.
#[derive(Clone, Debug)]
pub struct Repository {
    database: Database,
    authenticity: Arc<Authenticity>,
}

impl Repository {
    /// Opens the ledger in `database` and applies pending migrations. What rows decide can be read
    /// and changed once its key is there.
    ///
    /// # Errors
    /// A migration failed.
    pub async fn open(database: Database) -> Result<Self, RepositoryError> {
        database.migrate(&SCHEMA).await.map_err(RepositoryError::Migrate)?;
        Ok(Self { database, authenticity: Arc::default() })
    }

    /// The underlying database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Completes when a write could not be flushed to disk. A later flush may then succeed without
    /// covering the lost pages, so the repository refuses further writes and the process must exit;
    /// its successor reads what the disk really has.
    pub async fn lost(&self) {
        self.database.lost().await;
    }

    /// Whether a write could not be flushed, see [`Self::lost`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.database.is_lost()
    }

    /// Checks that the ledger can be written.
    ///
    /// # Errors
    /// The database refuses a write transaction.
    pub async fn health(&self) -> Result<(), RepositoryError> {
        self.database.health().await.map_err(database("check ledger"))
    }
}

/// Opens a ledger in a test, under a key of its own.
#[cfg(test)]
pub(crate) async fn open_signed(database: Database) -> Repository {
    use audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
    use contract::Version;
    use lockbox::{Reference, StoredVersion};

    let repository = Repository::open(database).await.unwrap();
    let event = |_| Event {
        actor: Actor::Anonymous,
        action: Action::Accept,
        resource: Resource { kind: ResourceKind::Ledger, id: "key".into(), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: None,
    };
    let key = super::LedgerKey::new(&super::LedgerKey::draw().unwrap()).unwrap();
    let stored = StoredVersion { version: Version(1), reference: Reference::new("key".into()) };
    let new = LedgerKeyRef::new("ledger_key".parse().unwrap(), &stored);
    assert!(repository.accept_rows((key, &new), None, Vec::new(), event).await.unwrap());
    repository
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_migration_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        assert!(SCHEMA.matches_folder(Path::new(folder)).unwrap());
    }
}
