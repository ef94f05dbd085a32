//! When secrets were last read. A job counts the audit log's reads; here are its rows.

use std::collections::BTreeMap;

use contract::{Generation, Scope, SecretName};
use jiff::Timestamp;
use lockbox::database::{Row, query, query_built};

use super::super::{ChangeError, Fence, LastRead, RepositoryError};
use super::Repository;
use super::rows::{
    columns, count, database, integer, name, optional_count, optional_text, optional_time, scope,
    signed, text, time,
};

/// Each row binds four values; SQLite takes 32,766.
const ROWS_PER_STATEMENT: usize = 500;

/// Up to where reads are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedUntil {
    /// The last event.
    pub sequence: u64,
    /// Every read before this time is counted.
    pub at: Timestamp,
}

/// A read in the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadEvent {
    /// Its number.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// The kind of who read.
    pub actor_type: String,
    /// `secret` or `bundle`.
    pub resource_type: String,
    /// The name of the resource.
    pub resource: String,
    /// Its scope.
    pub scope: Option<String>,
    /// The version, or the generation of a bundle.
    pub version: Option<u64>,
    /// The rule, which says what a delivery had.
    pub details: String,
}

/// A secret that a generation holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleMemberId {
    /// Its id.
    pub secret: i64,
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: SecretName,
}

impl Repository {
    /// Up to where reads are counted.
    ///
    /// # Errors
    /// The database failed.
    pub async fn counted_reads(&self) -> Result<CountedUntil, RepositoryError> {
        let row = query("SELECT sequence, at FROM counted_reads WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database("read how far reads are counted"))?;
        Ok(CountedUntil { sequence: count(&row, "sequence")?, at: time(&row, "at")? })
    }

    /// The number of the newest audit event, 0 if there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn newest_event(&self) -> Result<u64, RepositoryError> {
        let row = query("SELECT sequence FROM audit_head WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database("read newest event"))?;
        count(&row, "sequence")
    }

    /// The reads after one event up to another one, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn read_events(
        &self,
        after: u64,
        until: u64,
        limit: u32,
    ) -> Result<Vec<ReadEvent>, RepositoryError> {
        let rows = query(
            "SELECT sequence, at, actor_type, resource_type, resource_id, scope, version, details
             FROM audit_events WHERE action = 'read' AND sequence > $1 AND sequence <= $2
               AND outcome = 'allowed'
             ORDER BY sequence LIMIT $3",
        )
        .bind(signed(after))
        .bind(signed(until))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list reads to count"))?;
        let event = |row: &Row| {
            Ok(ReadEvent {
                sequence: count(row, "sequence")?,
                at: time(row, "at").unwrap_or(Timestamp::MIN),
                actor_type: text(row, "actor_type")?,
                resource_type: text(row, "resource_type")?,
                resource: text(row, "resource_id")?,
                scope: optional_text(row, "scope")?,
                version: optional_count(row, "version").unwrap_or_default(),
                details: optional_text(row, "details")?.unwrap_or_default(),
            })
        };
        rows.iter().map(event).collect()
    }

    /// The secrets that a generation of the bundle of a service holds. One that a value is composed
    /// of is there as well, under the name and the scope of that value's secret.
    ///
    /// # Errors
    /// The database failed.
    pub async fn member_ids(
        &self,
        bundle: &Scope,
        generation: Generation,
    ) -> Result<Vec<BundleMemberId>, RepositoryError> {
        let [project, environment, service] = columns(bundle);
        let rows = query(
            "SELECT s.id, s.name, s.project, s.environment, s.service
             FROM bundles b JOIN bundle_members m ON m.bundle_id = b.id
             JOIN secrets s ON s.id = m.secret_id
             WHERE b.project = $1 AND b.environment = $2 AND b.service = $3
               AND m.first_generation <= $4
               AND (m.end_generation IS NULL OR m.end_generation > $4)
             UNION ALL
             SELECT t.secret_id AS id, s.name, s.project, s.environment, s.service
             FROM bundles b JOIN bundle_members m ON m.bundle_id = b.id
             JOIN secrets s ON s.id = m.secret_id
             JOIN member_targets t ON t.bundle_id = m.bundle_id AND t.name = m.name
               AND t.first_generation = m.first_generation
             WHERE b.project = $1 AND b.environment = $2 AND b.service = $3
               AND m.first_generation <= $4
               AND (m.end_generation IS NULL OR m.end_generation > $4)",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(signed(generation.0))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find secrets of a generation"))?;
        let member = |row: &Row| {
            Ok(BundleMemberId { secret: integer(row, "id")?, scope: scope(row)?, name: name(row)? })
        };
        rows.iter().map(member).collect()
    }

    /// Notes reads, and up to where they are counted now. Returns `false`, and changes nothing, if
    /// they were counted up to elsewhere than `from` before.
    ///
    /// # Errors
    /// Another replica holds the lease, or the database failed.
    pub async fn count_reads(
        &self,
        reads: BTreeMap<i64, LastRead>,
        from: CountedUntil,
        until: CountedUntil,
        fence: &Fence,
    ) -> Result<bool, ChangeError> {
        let fence = fence.clone();
        self.transaction(async move |tx| {
            tx.check_fence(&fence).await?;
            let moved = query(
                "UPDATE counted_reads SET sequence = $1, at = $2 WHERE id = 1 AND sequence = $3",
            )
            .bind(signed(until.sequence))
            .bind(until.at.as_millisecond())
            .bind(signed(from.sequence))
            .execute(tx.connection())
            .await
            .map_err(database("set how far reads are counted"))?;
            if moved == 0 {
                return Ok(false);
            }
            let reads: Vec<(i64, LastRead)> = reads.into_iter().collect();
            for rows in reads.chunks(ROWS_PER_STATEMENT) {
                let places: Vec<String> = (0..rows.len())
                    .map(|at| {
                        let place = |column: usize| format!("${}", 4 * at + column);
                        // PostgreSQL would take a NULL for a text.
                        let [secret, pod, person, program] =
                            [1, 2, 3, 4].map(|column| format!("CAST({} AS BIGINT)", place(column)));
                        format!("({secret}, {pod}, {person}, {program})")
                    })
                    .collect();
                let mut upsert = query_built(upsert(&places.join(", ")));
                for (secret, LastRead { by_pod, by_person, by_program }) in rows {
                    upsert = upsert.bind(*secret);
                    for at in [by_pod, by_person, by_program] {
                        upsert = upsert.bind(at.map(Timestamp::as_millisecond));
                    }
                }
                let noted = upsert.execute(tx.connection()).await;
                noted.map_err(database("note reads"))?;
            }
            Ok(true)
        })
        .await
    }
}

/// Only the numbers of placeholders are formatted into the SQL.
fn upsert(places: &str) -> String {
    let later = |column: &str| {
        format!(
            "{column} = CASE WHEN secret_reads.{column} IS NULL \
                OR excluded.{column} > secret_reads.{column} \
                THEN excluded.{column} ELSE secret_reads.{column} END"
        )
    };
    let set = ["by_pod_at", "by_person_at", "by_program_at"].map(later).join(", ");
    format!(
        "INSERT INTO secret_reads (secret_id, by_pod_at, by_person_at, by_program_at)
         VALUES {places} ON CONFLICT (secret_id) DO UPDATE SET {set}"
    )
}

/// That nobody read the secret since a time. `$A` is 1 if that is asked for, and `$B` the time. One
/// that was never read counts from when it was first written.
pub(super) fn unused_since(asked: u32, time: u32) -> String {
    let before = ["s.created_at", "r.by_pod_at", "r.by_person_at", "r.by_program_at"]
        .map(|column| format!("coalesce({column}, 0) < ${time}"));
    format!("(${asked} = 0 OR ({}))", before.join(" AND "))
}

/// The columns of `secret_reads`, without reads from before `created_at`.
pub(super) fn last_read(row: &Row, created_at: Timestamp) -> Result<LastRead, RepositoryError> {
    let read = LastRead {
        by_pod: optional_time(row, "by_pod_at")?,
        by_person: optional_time(row, "by_person_at")?,
        by_program: optional_time(row, "by_program_at")?,
    };
    Ok(read.since(created_at))
}
