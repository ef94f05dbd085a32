//! The ledger's epochs, and where the ledger is.

use audit::{Event, Hash};
use jiff::Timestamp;
use lockbox::database::{DatabaseKind, query};

use super::super::table_digests::TableDigests;
use super::super::{LedgerPlace, LedgerTables, RepositoryError};
use super::rows::{bytes, count, database, signed, text};
use super::{LedgerTransaction, Repository};

/// The server and the table itself: a restored or moved ledger has another of the two. Every user
/// may call the function, unless the server's owner took that away.
const PLACE: &str = "SELECT (SELECT system_identifier FROM pg_control_system())::TEXT || '/' || \
    'audit_head'::regclass::oid::TEXT AS server, (SELECT timeline_id FROM \
    pg_control_checkpoint())::TEXT AS timeline";

/// What is left of it without the functions.
const TABLE: &str = "SELECT 'audit_head'::regclass::oid::TEXT AS server, '' AS timeline";

impl Repository {
    /// The current epoch, or `None` before the first one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn epoch(&self) -> Result<Option<String>, RepositoryError> {
        let row = query("SELECT id FROM epochs ORDER BY number DESC LIMIT 1")
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("read epoch"))?;
        row.map(|row| text(&row, "id")).transpose()
    }

    /// Whether the ledger is or was in this epoch.
    ///
    /// # Errors
    /// The database failed.
    pub async fn knows_epoch(&self, id: &str) -> Result<bool, RepositoryError> {
        let found = query("SELECT 1 FROM epochs WHERE id = $1")
            .bind(id.to_owned())
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find epoch"))?;
        Ok(found.is_some())
    }

    /// The hash of an event.
    ///
    /// # Errors
    /// The database failed.
    pub async fn hash_at(&self, sequence: u64) -> Result<Option<Hash>, RepositoryError> {
        let row = query("SELECT hash FROM audit_events WHERE sequence = $1")
            .bind(signed(sequence))
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("read hash of event"))?;
        row.map(|row| Ok(Hash::from_slice(&bytes(&row, "hash")?))).transpose().map(Option::flatten)
    }

    /// The name of the ledger's key, and how often its tables changed, as the database says.
    ///
    /// # Errors
    /// The database failed.
    pub async fn tables(&self) -> Result<LedgerTables, RepositoryError> {
        let row = query("SELECT digests FROM audit_head WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database("read digests"))?;
        let digests: Option<Vec<u8>> = row.try_get("digests").map_err(database("digests"))?;
        let changes = digests.map_or(0, |digests| TableDigests::changes(&digests));
        let key = self.ledger_key().await?.map(|key| key.name.to_string());
        Ok(LedgerTables { key, changes })
    }

    /// Where the ledger is now. A SQLite file is nowhere in particular.
    ///
    /// # Errors
    /// The database failed.
    pub async fn place(&self) -> Result<LedgerPlace, RepositoryError> {
        if self.database.kind() == DatabaseKind::Sqlite {
            return Ok(LedgerPlace::default());
        }
        let row = match query(PLACE).fetch_one(self.database.reader()).await {
            Ok(row) => row,
            // Any other error is one of this moment, and says nothing about the place.
            Err(error) if !error.is_forbidden() => {
                return Err(database("read place of ledger")(error));
            }
            Err(_) => query(TABLE)
                .fetch_one(self.database.reader())
                .await
                .map_err(database("read place of ledger"))?,
        };
        Ok(LedgerPlace { server: text(&row, "server")?, timeline: text(&row, "timeline")? })
    }

    /// Where the ledger was when it was last opened, as it says itself.
    ///
    /// # Errors
    /// The database failed.
    pub async fn recorded_place(&self) -> Result<LedgerPlace, RepositoryError> {
        let row = query("SELECT server, timeline FROM ledger_place WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database("read recorded place of ledger"))?;
        Ok(LedgerPlace { server: text(&row, "server")?, timeline: text(&row, "timeline")? })
    }

    /// Records where the ledger is.
    ///
    /// # Errors
    /// The database failed.
    pub async fn record_place(&self, place: &LedgerPlace) -> Result<(), RepositoryError> {
        let place = place.clone();
        self.transaction(async move |tx| set_place(tx, &place).await).await
    }

    /// Begins an epoch after `previous`, with its event, at this place. If another replica began
    /// one first, returns that one and changes nothing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn begin_epoch(
        &self,
        id: &str,
        previous: Option<&str>,
        reason: &str,
        event: Option<&Event>,
        place: &LedgerPlace,
    ) -> Result<String, RepositoryError> {
        let now = Timestamp::now();
        let (id, previous) = (id.to_owned(), previous.map(str::to_owned));
        let (reason, event, place) = (reason.to_owned(), event.cloned(), place.clone());
        self.transaction(async move |tx| {
            let last = query("SELECT number, id FROM epochs ORDER BY number DESC LIMIT 1")
                .fetch_optional(tx.connection())
                .await
                .map_err(database("read last epoch"))?;
            let (number, current) = match last {
                Some(row) => (count(&row, "number")?, Some(text(&row, "id")?)),
                None => (0, None),
            };
            if let Some(current) = current
                && previous.as_ref() != Some(&current)
            {
                return Ok(current);
            }
            query("INSERT INTO epochs (number, id, started_at, reason) VALUES ($1, $2, $3, $4)")
                .bind(signed(number + 1))
                .bind(id.clone())
                .bind(now.as_millisecond())
                .bind(reason)
                .execute(tx.connection())
                .await
                .map_err(database("insert epoch"))?;
            set_place(tx, &place).await?;
            if let Some(event) = &event {
                super::audit_events::insert(tx, now, event).await?;
            }
            Ok(id)
        })
        .await
    }
}

async fn set_place(
    tx: &mut LedgerTransaction<'_>,
    place: &LedgerPlace,
) -> Result<(), RepositoryError> {
    query("UPDATE ledger_place SET server = $1, timeline = $2 WHERE id = 1")
        .bind(place.server.clone())
        .bind(place.timeline.clone())
        .execute(tx.connection())
        .await
        .map_err(database("record place of ledger"))?;
    Ok(())
}
