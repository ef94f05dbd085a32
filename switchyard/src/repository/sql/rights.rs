//! Rows that give rights: grants and tokens. A row counts if it has its MAC and the table has it,
//! by a copy of the table that was checked against its digest. So a row that was put back gives
//! nothing, and neither does one that was inserted.

use lockbox::database::{Query, Row, query};
use runtime::logs::ErrorChain;

use super::super::RepositoryError;
use super::super::authenticity::{Forgery, MAX_REPORTED};
use super::super::digest::{Digest, Table};
use super::super::mac::{LedgerKey, RowMac};
use super::super::table_digests::TableDigests;
use super::super::trusted_rows::{LoadedRows, Standing, TrustedRows};
use super::row_macs::{rights_forgery, rights_mac, stored_mac};
use super::rows::{database, integer};
use super::{LedgerTransaction, Repository};

/// How often a statement is repeated because the table changed between it and the copy.
const MAX_ATTEMPTS: usize = 5;

impl Repository {
    /// The rows of `statement` that count. It selects rows of the table, and `digests` of the audit
    /// log's head.
    pub(super) async fn rights(
        &self,
        table: Table,
        mut statement: Query,
    ) -> Result<Vec<Row>, RepositoryError> {
        for _ in 0..MAX_ATTEMPTS {
            let rows = statement.clone().fetch_all(self.database.reader()).await;
            let rows = rows.map_err(database("read rights"))?;
            match self.those_that_count(table, rows).await? {
                Some(rows) => return Ok(rows),
                None => drop(self.load_rights(self.trusted(table)).await?),
            }
            statement = statement.uncached();
        }
        Err(RepositoryError::Busy)
    }

    /// The rows that count, or `None` if the copy of the table is not as old as they are.
    async fn those_that_count(
        &self,
        table: Table,
        rows: Vec<Row>,
    ) -> Result<Option<Vec<Row>>, RepositoryError> {
        let Some(first) = rows.first() else { return Ok(Some(rows)) };
        let (key, trusted) = (self.authenticity.key()?, self.trusted(table));
        let digests: Option<Vec<u8>> =
            first.try_get("digests").map_err(database("read digests"))?;
        let digests = TableDigests::decode(&key, digests.as_deref().unwrap_or_default());
        let digests = digests.ok_or_else(|| self.authenticity.refuse(Forgery::digests()))?;
        let changes = digests.of(table).changes;
        let mut counted = Vec::with_capacity(rows.len());
        for row in rows {
            let mac = rights_mac(&key, table, &row)?;
            if stored_mac(&row)? != Some(mac) {
                self.authenticity.report(rights_forgery(table, &row)?);
                continue;
            }
            match trusted.standing(integer(&row, "id")?, mac, changes) {
                Standing::Current => counted.push(row),
                Standing::NotCurrent => {
                    self.authenticity.report(rights_forgery(table, &row)?.put_back());
                }
                Standing::Unknown => return Ok(None),
                Standing::Inconsistent => {
                    return Err(RepositoryError::Forged(Forgery::table(table)));
                }
            }
        }
        Ok(Some(counted))
    }

    /// Reads a table again after a change of it, so that one that is put back right afterwards is
    /// told apart from the others. If that fails, whoever reads the table next does it.
    pub(super) async fn reload_rights(&self, table: Table) {
        if let Err(error) = self.load_rights(self.trusted(table)).await {
            tracing::debug!(error = %ErrorChain(&error), "read rights after a change");
        }
    }

    fn trusted(&self, table: Table) -> &TrustedRows {
        match table {
            Table::Grants => &self.authenticity.grants,
            _ => &self.authenticity.tokens,
        }
    }

    /// Reads a table and checks it against its digest, and reports what is wrong. Returns whether
    /// nothing is.
    ///
    /// # Errors
    /// The database failed.
    async fn load_rights(&self, trusted: &TrustedRows) -> Result<bool, RepositoryError> {
        let _one_at_a_time = trusted.loading.lock().await;
        let (key, table) = (self.authenticity.key()?, trusted.table);
        // One statement sees one state of both tables. Whatever the order, the digests are one row.
        let statement = match table {
            Table::Grants => {
                "SELECT g.*, h.digests FROM audit_head h LEFT JOIN grants g ON h.id = 1"
            }
            _ => "SELECT t.*, h.digests FROM audit_head h LEFT JOIN api_tokens t ON h.id = 1",
        };
        let step = move |found: &mut FoundRows, row: &Row| found.add(&key, table, row);
        let found = self.database.reader().try_fold(query(statement), FoundRows::default(), step);
        let FoundRows { rows, forgeries } = found.await.map_err(database("check rights"))??;
        if rows.expected.is_none() {
            return Err(self.authenticity.refuse(Forgery::digests()));
        }
        let is_authentic = forgeries.is_empty();
        for forgery in forgeries {
            self.authenticity.report(forgery);
        }
        let is_consistent = trusted.replace(rows);
        if !is_consistent {
            self.authenticity.report(Forgery::table(table));
        }
        Ok(is_authentic && is_consistent)
    }

    /// Checks the grants and the tokens as a whole, and reports what is wrong. Returns whether
    /// nothing is.
    ///
    /// # Errors
    /// The database failed.
    pub async fn check_rights(&self) -> Result<bool, RepositoryError> {
        let grants = self.load_rights(&self.authenticity.grants).await?;
        let tokens = self.load_rights(&self.authenticity.tokens).await?;
        Ok(grants && tokens)
    }

    /// Whether the tokens are those that switchyard wrote, all of them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_authentic_tokens(&self) -> Result<bool, RepositoryError> {
        self.load_rights(&self.authenticity.tokens).await
    }
}

/// The rows of a table as they are read.
#[derive(Default)]
struct FoundRows {
    rows: LoadedRows,
    /// The first rows that somebody else wrote. They are not in the sum.
    forgeries: Vec<Forgery>,
}

impl FoundRows {
    fn add(&mut self, key: &LedgerKey, table: Table, row: &Row) -> Result<(), RepositoryError> {
        if self.rows.expected.is_none() {
            let digests: Option<Vec<u8>> =
                row.try_get("digests").map_err(database("read digests"))?;
            let digests = TableDigests::decode(key, digests.as_deref().unwrap_or_default());
            self.rows.expected = digests.map(|digests| digests.of(table));
        }
        let id: Option<i64> = row.try_get("id").map_err(database("id"))?;
        let Some(id) = id else { return Ok(()) };
        let mac = rights_mac(key, table, row)?;
        if stored_mac(row)? == Some(mac) {
            self.rows.rows = self.rows.rows.plus(key.term(table.as_str(), mac, &[]));
            self.rows.macs.insert(id, mac);
        } else if self.forgeries.len() < MAX_REPORTED {
            self.forgeries.push(rights_forgery(table, row)?);
        }
        Ok(())
    }
}

/// Signs a row that was inserted or changed, and puts it into the table's digest in place of what
/// it was before.
pub(super) async fn sign(
    tx: &mut LedgerTransaction<'_>,
    table: Table,
    before: Option<RowMac>,
    row: &Row,
) -> Result<(), RepositoryError> {
    let key = tx.key()?;
    let mac = rights_mac(&key, table, row)?;
    let term = |mac| key.term(table.as_str(), mac, &[]);
    tx.replace_row(table, before.map(term), Some(term(mac)))?;
    let statement = match table {
        Table::Grants => "UPDATE grants SET mac = $1 WHERE id = $2",
        _ => "UPDATE api_tokens SET mac = $1 WHERE id = $2",
    };
    query(statement)
        .bind(mac.0.to_vec())
        .bind(integer(row, "id")?)
        .execute(tx.connection())
        .await
        .map_err(database("sign row"))?;
    Ok(())
}

/// The MAC of a row before it changes, if switchyard wrote it: only then is it in the digest.
pub(super) fn mac_before(
    tx: &LedgerTransaction<'_>,
    table: Table,
    row: &Row,
) -> Result<Option<RowMac>, RepositoryError> {
    let mac = rights_mac(&*tx.key()?, table, row)?;
    if stored_mac(row)? == Some(mac) {
        return Ok(Some(mac));
    }
    let _ = tx.refuse(rights_forgery(table, row)?);
    Ok(None)
}

/// Takes rows that are deleted out of the table's digest.
pub(super) fn forget(
    tx: &mut LedgerTransaction<'_>,
    table: Table,
    rows: &[Row],
) -> Result<(), RepositoryError> {
    let key = tx.key()?;
    for row in rows {
        let term: Option<Digest> =
            mac_before(tx, table, row)?.map(|mac| key.term(table.as_str(), mac, &[]));
        tx.replace_row(table, term, None)?;
    }
    Ok(())
}
