//! The audit log: append and list only.

use std::sync::LazyLock;

use audit::{Event, Hash, Pod};
use jiff::Timestamp;
use lockbox::database::{QueueFull, Row, SqlValue, placeholders, query, query_built};

use super::super::{AuditEntry, AuditQuery, RepositoryError};
use super::rows::{bytes, count, database, optional_text, signed, text, time};
use super::transaction::AuditHead;
use super::{LedgerTransaction, Repository};

impl Repository {
    /// Appends all events or none. They are durable when this returns.
    ///
    /// # Errors
    /// The database failed.
    pub async fn append(&self, records: Vec<AuditEntry>) -> Result<(), RepositoryError> {
        self.transaction(async move |tx| append(tx, records).await).await
    }

    /// Appends, when its turn in the database's queue comes, the events that `take` gives then.
    /// `answer` gets what `take` gave beside them once they are durable, on the database's thread,
    /// or why they are not.
    ///
    /// # Errors
    /// There is no room in the queue now, and neither is asked.
    pub fn append_taken<W: Send + 'static>(
        &self,
        take: impl FnOnce() -> (Vec<AuditEntry>, W) + Send + 'static,
        answer: impl FnOnce(Result<W, RepositoryError>) + Send + 'static,
    ) -> Result<(), QueueFull> {
        let work = async move |tx: &mut LedgerTransaction<'_>| {
            let (records, waiting) = take();
            append(tx, records).await?;
            Ok(waiting)
        };
        self.try_submit(work, answer)
    }

    /// Events in order of sequence, or the other way round.
    ///
    /// # Errors
    /// The database failed.
    pub async fn audit(&self, filter: &AuditQuery) -> Result<Vec<audit::Record>, RepositoryError> {
        let time = |at: Option<Timestamp>| at.map(Timestamp::as_millisecond);
        let (in_scope, secret) = match &filter.secret {
            None => (None, None),
            Some((scope, secret)) => (scope.as_ref().map(ToString::to_string), Some(secret)),
        };
        let within: Vec<String> = filter.within.iter().flatten().map(ToString::to_string).collect();
        let mut filtered = query_built(statement(filter, within.len()))
            .bind(signed(filter.after))
            .bind(filter.before.map(signed))
            .bind(filter.action.clone())
            .bind(filter.actor_type.clone())
            .bind(filter.actor.clone())
            .bind(secret.map(|name| name.as_str().to_owned()))
            .bind(in_scope)
            .bind(filter.outcome.clone())
            .bind(time(filter.since))
            .bind(time(filter.until))
            .bind(i64::from(filter.limit));
        for scope in within {
            filtered = filtered.bind(scope);
        }
        let rows = filtered
            .fetch_all(self.database.reader())
            .await
            .map_err(database("list audit events"))?;
        rows.iter().map(row).collect()
    }
}

/// The statement of a query with this many scopes. Only placeholder numbers are formatted into it;
/// texts are bound.
fn statement(query: &AuditQuery, scopes: usize) -> String {
    let mut sql = "SELECT * FROM audit_events WHERE sequence > $1
             AND (CAST($2 AS BIGINT) IS NULL OR sequence < CAST($2 AS BIGINT))
             AND (CAST($3 AS TEXT) IS NULL OR action = CAST($3 AS TEXT))
             AND (CAST($4 AS TEXT) IS NULL OR actor_type = CAST($4 AS TEXT))
             AND (CAST($5 AS TEXT) IS NULL OR actor_id = CAST($5 AS TEXT))
             AND (CAST($6 AS TEXT) IS NULL OR (resource_type = 'secret' AND \
             resource_id = CAST($6 AS TEXT)))
             AND (CAST($7 AS TEXT) IS NULL OR scope = CAST($7 AS TEXT))
             AND (CAST($8 AS TEXT) IS NULL OR outcome = CAST($8 AS TEXT))
             AND (CAST($9 AS BIGINT) IS NULL OR at >= CAST($9 AS BIGINT))
             AND (CAST($10 AS BIGINT) IS NULL OR at < CAST($10 AS BIGINT))"
        .to_owned();
    if query.within.is_some() {
        let one = |at: usize| {
            let scope = format!("CAST(${} AS TEXT)", at + 12);
            format!("scope = {scope} OR substr(scope, 1, length({scope}) + 1) = {scope} || '.'")
        };
        // No scope at all matches nothing.
        let all: Vec<String> = (0..scopes).map(one).chain(["1 = 0".to_owned()]).collect();
        sql.push_str(&format!(" AND ({})", all.join(" OR ")));
    }
    let order = if query.newest_first { "DESC" } else { "ASC" };
    sql.push_str(&format!(" ORDER BY sequence {order} LIMIT $11"));
    sql
}

async fn append(
    tx: &mut LedgerTransaction<'_>,
    records: Vec<AuditEntry>,
) -> Result<(), RepositoryError> {
    let mut events = Vec::with_capacity(records.len());
    let mut reports = Vec::new();
    for AuditEntry { at, event, report } in records {
        events.push((at, event));
        reports.extend(report.map(|it| (at, it)));
    }
    insert_all(tx, events).await?;
    super::pod_reports::put_all(tx, reports).await
}

/// Appends one event with the next sequence number. The transaction holds the lock on the head, so
/// sequence numbers are unique, and a rollback leaves no gap.
pub(super) async fn insert(
    tx: &mut LedgerTransaction<'_>,
    at: Timestamp,
    event: &Event,
) -> Result<(), RepositoryError> {
    insert_all(tx, vec![(at, event.clone())]).await
}

/// How many events a statement inserts. What is left takes the next smaller one: a statement costs
/// SQLite as much as a row, and PostgreSQL a round trip.
const ROWS: [usize; 4] = [64, 16, 4, 1];

/// The columns of an event, in the order in which [`columns`] binds them.
const COLUMNS: [&str; 19] = [
    "sequence",
    "at",
    "actor_type",
    "actor_id",
    "action",
    "resource_type",
    "resource_id",
    "scope",
    "version",
    "outcome",
    "address",
    "user_agent",
    "trace_id",
    "namespace",
    "service_account",
    "pod",
    "pod_uid",
    "details",
    "hash",
];

/// The statements for [`ROWS`].
static STATEMENTS: LazyLock<[String; ROWS.len()]> = LazyLock::new(|| ROWS.map(insert_statement));

fn insert_statement(rows: usize) -> String {
    let row = |row: usize| format!("({})", placeholders(row * COLUMNS.len() + 1, COLUMNS.len()));
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("INSERT INTO audit_events ({}) VALUES {}", COLUMNS.join(", "), rows.join(", "))
}

/// Appends events in this order, each with the next sequence number.
async fn insert_all(
    tx: &mut LedgerTransaction<'_>,
    events: Vec<(Timestamp, Event)>,
) -> Result<(), RepositoryError> {
    let mut events = events.into_iter();
    for (rows, sql) in ROWS.into_iter().zip(STATEMENTS.iter()) {
        while events.len() >= rows {
            let (mut head, mut values) = (tx.head(), Vec::with_capacity(rows * COLUMNS.len()));
            for (at, event) in events.by_ref().take(rows) {
                let record = audit::Record::new(head.sequence + 1, at, event, &head.hash);
                head = AuditHead { sequence: record.sequence, hash: record.hash };
                values.extend(columns(record));
            }
            let insert = query(sql).bind_all(values).execute(tx.connection());
            insert.await.map_err(database("insert audit event"))?;
            tx.advance(head);
        }
    }
    Ok(())
}

fn columns(record: audit::Record) -> [SqlValue; COLUMNS.len()] {
    let [namespace, service_account, pod, pod_uid] = match record.pod {
        Some(Pod { namespace, service_account, name, uid }) => {
            [namespace, service_account, name, uid].map(Some)
        }
        None => [None, None, None, None],
    };
    [
        signed(record.sequence).into(),
        record.at.as_millisecond().into(),
        record.actor_type.into(),
        record.actor_id.into(),
        record.action.into(),
        record.resource_type.into(),
        record.resource_id.into(),
        record.scope.into(),
        record.version.map(signed).into(),
        record.outcome.into(),
        record.address.into(),
        record.user_agent.into(),
        record.trace_id.into(),
        namespace.into(),
        service_account.into(),
        pod.into(),
        pod_uid.into(),
        record.details.into(),
        record.hash.0.to_vec().into(),
    ]
}

/// Reads a row leniently. A tampered row with impossible values becomes something close to it: its
/// hash will not match, and the rest of the log stays readable.
pub(super) fn row(row: &Row) -> Result<audit::Record, RepositoryError> {
    let pod =
        ["namespace", "service_account", "pod", "pod_uid"].map(|column| optional_text(row, column));
    let pod = match pod {
        [Ok(None), Ok(None), Ok(None), Ok(None)] => None,
        [namespace, service_account, name, uid] => Some(Pod {
            namespace: namespace?.unwrap_or_default(),
            service_account: service_account?.unwrap_or_default(),
            name: name?.unwrap_or_default(),
            uid: uid?.unwrap_or_default(),
        }),
    };
    let version: Option<i64> = row.try_get("version").map_err(database("version"))?;
    Ok(audit::Record {
        sequence: count(row, "sequence")?,
        at: time(row, "at").unwrap_or(Timestamp::MIN),
        actor_type: text(row, "actor_type")?,
        actor_id: text(row, "actor_id")?,
        action: text(row, "action")?,
        resource_type: text(row, "resource_type")?,
        resource_id: text(row, "resource_id")?,
        scope: optional_text(row, "scope")?,
        version: version.map(|version| u64::try_from(version).unwrap_or(u64::MAX)),
        outcome: text(row, "outcome")?,
        address: optional_text(row, "address")?,
        user_agent: optional_text(row, "user_agent")?,
        trace_id: optional_text(row, "trace_id")?,
        pod,
        details: optional_text(row, "details")?,
        hash: Hash::from_slice(&bytes(row, "hash")?).unwrap_or(Hash::GENESIS),
    })
}
