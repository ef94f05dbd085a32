//! The bundles that a change affects, as they are before it.

use std::collections::BTreeMap;

use contract::{Generation, Scope, SecretName, SecretRef};
use lockbox::database::{Row, query, query_built};

use super::super::authenticity::Forgery;
use super::super::digest::Table;
use super::super::mac::RowMac;
use super::super::{Bundle, BundleId, LedgerChange, RepositoryError};
use super::LedgerTransaction;
use super::bundles::{bundle, bundle_mac};
use super::generation_row::{GENERATION_COLUMNS, MemberDigest, check_generation};
use super::referrers::{Referrers, referrers, targets_among};
use super::row_macs::stored_mac;
use super::rows::{columns, count, database, optional_count};
use crate::snapshot::BundleSize;

/// A bundle that sees the changed scope, and the size of its newest generation.
pub(super) struct Affected {
    pub(super) bundle: Bundle,
    pub(super) size: BundleSize,
    pub(super) mac: RowMac,
    /// Its newest generation, which is not always the stable one, and what that holds.
    pub(super) newest: Generation,
    pub(super) held: MemberDigest,
}

/// A bundle whose rows are those that switchyard wrote, or why they are not.
pub(super) type CheckedBundle = Result<Affected, (Bundle, Forgery)>;

/// The bundles that see a scope, and whether each is right.
pub(super) async fn affected_bundles(
    tx: &mut LedgerTransaction<'_>,
    changed: &Scope,
) -> Result<Vec<CheckedBundle>, RepositoryError> {
    let [project, environment, service] = columns(changed);
    let rows = query_built(format!(
        "SELECT b.*, {GENERATION_COLUMNS} FROM bundles b LEFT JOIN generations g \
             ON g.bundle_id = b.id AND g.number = \
             (SELECT max(n.number) FROM generations n WHERE n.bundle_id = b.id)
         WHERE b.project = $1 AND ($2 = '' OR b.environment = $2) \
            AND ($3 = '' OR b.service = $3) ORDER BY b.id"
    ))
    .bind(project)
    .bind(environment)
    .bind(service)
    .fetch_all(tx.connection())
    .await
    .map_err(database("find affected bundles"))?;
    rows.iter().map(|row| affected(tx, row)).collect()
}

fn affected(tx: &LedgerTransaction<'_>, row: &Row) -> Result<CheckedBundle, RepositoryError> {
    let (key, bundle) = (tx.key()?, bundle(row)?);
    let size = BundleSize { secrets: count(row, "secrets")?, bytes: count(row, "bytes")? };
    let mac = bundle_mac(&key, row)?;
    if stored_mac(row)? != Some(mac) {
        let forgery = Forgery::bundle(&bundle.scope);
        return Ok(Err((bundle, forgery)));
    }
    let (newest, held) = match optional_count(row, "generation_number")? {
        None => (Generation(0), MemberDigest::default()),
        Some(number) => {
            let Some(held) = check_generation(&key, &bundle.scope, row)? else {
                let forgery = Forgery::generation(&bundle.scope);
                return Ok(Err((bundle, forgery)));
            };
            (Generation(number), held)
        }
    };
    Ok(Ok(Affected { bundle, size, mac, newest, held }))
}

/// A bundle with the names that may have changed in it.
pub(super) type WithNames = (CheckedBundle, Vec<SecretName>);

/// The bundles that see the changed scope, and those that see a secret that follows a changed one.
pub(super) async fn with_referrers(
    tx: &mut LedgerTransaction<'_>,
    changed: &Scope,
    names: &[SecretName],
    affected: Vec<CheckedBundle>,
) -> Result<Vec<WithNames>, RepositoryError> {
    let targets = targets_among(tx, changed, names).await?;
    let followers =
        if targets.is_empty() { Referrers::default() } else { referrers(tx, targets).await? };
    let mut by_scope: BTreeMap<Scope, Vec<SecretName>> = BTreeMap::new();
    for SecretRef { scope, name } in followers.found.into_values() {
        by_scope.entry(scope).or_default().push(name);
    }
    let id = |it: &CheckedBundle| match it {
        Ok(it) => it.bundle.id,
        Err((bundle, _)) => bundle.id,
    };
    let mut all: BTreeMap<BundleId, WithNames> =
        affected.into_iter().map(|it| (id(&it), (it, names.to_vec()))).collect();
    for (scope, names) in by_scope {
        for it in affected_bundles(tx, &scope).await? {
            let (_, of_it) = all.entry(id(&it)).or_insert_with(|| (it, Vec::new()));
            of_it.extend(names.iter().cloned());
        }
    }
    for (_, names) in all.values_mut() {
        names.sort_unstable();
        names.dedup();
    }
    Ok(all.into_values().collect())
}

/// A bundle before its first generation.
pub(super) async fn create(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
) -> Result<Affected, RepositoryError> {
    let [project, environment, service] = columns(&change.scope);
    let key = tx.key()?;
    let mac = key.bundle(&change.scope, (Generation(1), None), "", (0, 0));
    tx.replace_row(Table::Bundles, None, Some(key.term(Table::Bundles.as_str(), mac, &[])))?;
    // It is stuck until its first generation is computed from everything that it sees.
    let row = query(
        "INSERT INTO bundles (project, environment, service, stable_generation, revision, \
            created_at, updated_at, secrets, bytes, stuck, mac)
         VALUES ($1, $2, $3, 1, 0, $4, $4, 0, 0, '', $5) RETURNING *",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(change.at.as_millisecond())
    .bind(mac.0.to_vec())
    .fetch_one(tx.connection())
    .await
    .map_err(database("insert bundle"))?;
    let (size, held) = (BundleSize::default(), MemberDigest::default());
    Ok(Affected { bundle: bundle(&row)?, size, mac, newest: Generation(0), held })
}
