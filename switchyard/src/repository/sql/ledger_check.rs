//! Checks the tables of secrets, versions and bundles as a whole, against their digests: a row that
//! was removed or put back is found here.

use std::sync::Arc;

use lockbox::database::{Row, query};

use super::super::authenticity::{Forgery, MAX_REPORTED};
use super::super::digest::{Digest, Table};
use super::super::mac::LedgerKey;
use super::super::table_digests::{TableDigest, TableDigests};
use super::super::{BundleId, RepositoryError};
use super::Repository;
use super::bundles::bundle_mac;
use super::row_macs::{secret_mac, stored_mac, version_mac};
use super::rows::{database, name, optional_integer, scope, state, text};
use super::version_rows;

/// How many bundles are read at once.
const BUNDLES_PER_PAGE: u32 = 100;

/// The digests, then the rows: one statement sees one state of both.
const SECRETS: &str = "SELECT digests, NULL AS project, NULL AS environment, NULL AS service, \
        NULL AS name, NULL AS current_version, NULL AS latest_version, NULL AS is_deleted, \
        NULL AS mac FROM audit_head
    UNION ALL SELECT NULL, project, environment, service, name, current_version, latest_version, \
        CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END, mac FROM secrets";

const VERSIONS: &str = "SELECT digests, NULL AS project, NULL AS environment, NULL AS service, \
        NULL AS name, NULL AS version, NULL AS vault_ref, NULL AS tag, NULL AS size, \
        NULL AS refs, \
        NULL AS rotation_status, NULL AS deleted_lived, NULL AS mac FROM audit_head
    UNION ALL SELECT NULL, s.project, s.environment, s.service, s.name, v.version, v.vault_ref, \
        v.tag, v.size, v.refs, v.rotation_status, v.deleted_lived, v.mac
    FROM secret_versions v JOIN secrets s ON s.id = v.secret_id";

const BUNDLES: &str = "SELECT digests, NULL AS project, NULL AS environment, NULL AS service, \
        NULL AS stable_generation, NULL AS target_generation, NULL AS stable_tag, \
        NULL AS secrets, NULL AS bytes, NULL AS mac FROM audit_head
    UNION ALL SELECT NULL, project, environment, service, stable_generation, target_generation, \
        stable_tag, secrets, bytes, mac FROM bundles";

/// What a row adds to the digest of its table, or what it is instead.
type Checked = Result<Digest, Forgery>;

/// The state of a check.
#[derive(Default)]
struct Found {
    expected: Option<TableDigest>,
    sum: Digest,
    forgeries: Vec<Forgery>,
}

impl Repository {
    /// Checks the three tables, and the stable generation of each bundle, and reports what is
    /// wrong. Returns whether nothing is.
    ///
    /// # Errors
    /// The database failed.
    pub async fn check_ledger(&self) -> Result<bool, RepositoryError> {
        let mut is_authentic = self.check_table(Table::Secrets, SECRETS, secret).await?;
        is_authentic &= self.check_table(Table::Versions, VERSIONS, version).await?;
        is_authentic &= self.check_table(Table::Bundles, BUNDLES, bundle).await?;
        is_authentic &= self.check_referrers().await?;
        let mut after = BundleId(0);
        loop {
            let page = self.bundles_after(after, BUNDLES_PER_PAGE).await?;
            let Some(last) = page.last() else { return Ok(is_authentic) };
            after = last.id;
            for bundle in &page {
                match self.members(bundle, bundle.rollout.stable).await {
                    Ok(_) => {}
                    Err(RepositoryError::Forged(_)) => is_authentic = false,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    async fn check_table(
        &self,
        table: Table,
        statement: &'static str,
        check: fn(&LedgerKey, &Row) -> Result<Checked, RepositoryError>,
    ) -> Result<bool, RepositoryError> {
        let key = self.authenticity.key()?;
        let step = move |found: &mut Found, row: &Row| -> Result<(), RepositoryError> {
            found.add(&key, table, row, check)
        };
        let found = self.database.reader().try_fold(query(statement), Found::default(), step);
        let Found { expected, sum, forgeries } =
            found.await.map_err(database("check ledger"))??;
        let is_authentic = forgeries.is_empty();
        for forgery in forgeries {
            self.authenticity.report(forgery);
        }
        match expected {
            None => self.authenticity.report(Forgery::digests()),
            Some(expected) if expected.rows != sum => {
                self.authenticity.report(Forgery::table(table));
            }
            Some(_) => return Ok(is_authentic),
        }
        Ok(false)
    }
}

impl Found {
    fn add(
        &mut self,
        key: &Arc<LedgerKey>,
        table: Table,
        row: &Row,
        check: fn(&LedgerKey, &Row) -> Result<Checked, RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let digests: Option<Vec<u8>> = row.try_get("digests").map_err(database("digests"))?;
        if let Some(digests) = digests {
            self.expected = TableDigests::decode(key, &digests).map(|it| it.of(table));
            return Ok(());
        }
        let project: Option<String> = row.try_get("project").map_err(database("project"))?;
        if project.is_none() {
            return Ok(());
        }
        match check(key, row)? {
            Ok(term) => self.sum = self.sum.plus(term),
            Err(forgery) if self.forgeries.len() < MAX_REPORTED => self.forgeries.push(forgery),
            Err(_) => {}
        }
        Ok(())
    }
}

fn secret(key: &LedgerKey, row: &Row) -> Result<Checked, RepositoryError> {
    let mac = secret_mac(key, row)?;
    if stored_mac(row)? == Some(mac) {
        return Ok(Ok(key.term(Table::Secrets.as_str(), mac, &[])));
    }
    Ok(Err(Forgery::secret(&scope(row)?, &name(row)?)))
}

fn version(key: &LedgerKey, row: &Row) -> Result<Checked, RepositoryError> {
    let (scope, name) = (scope(row)?, name(row)?);
    let mac = version_mac(key, (&scope, &name), row)?;
    if stored_mac(row)? != Some(mac) {
        return Ok(Err(Forgery::version(&scope, &name)));
    }
    let state = state(&text(row, "rotation_status")?)?;
    Ok(Ok(version_rows::term(key, mac, state, optional_integer(row, "deleted_lived")?)))
}

fn bundle(key: &LedgerKey, row: &Row) -> Result<Checked, RepositoryError> {
    let mac = bundle_mac(key, row)?;
    if stored_mac(row)? == Some(mac) {
        return Ok(Ok(key.term(Table::Bundles.as_str(), mac, &[])));
    }
    Ok(Err(Forgery::bundle(&scope(row)?)))
}
