//! What makes a version with references the active one.

use contract::{SecretRef, Version};
use lockbox::database::query;

use super::super::{ChangeError, RepositoryError};
use super::LedgerTransaction;
use super::referrers::{direct_referrers, referrers};
use super::rows::{database, signed};
use super::targets::Targets;
use crate::references::{MAX_DEPTH, MAX_REFERRERS, ReferenceError, ValueReferences};

/// Checks the references of a version that has just become active, and keeps them by target.
///
/// # Errors
/// They cannot be: a target is missing, they lead back to the secret, or there are too many.
pub(super) async fn establish(
    tx: &mut LedgerTransaction<'_>,
    of: &SecretRef,
    (id, version): (i64, Version),
    references: &ValueReferences,
) -> Result<(), ChangeError> {
    let refuse =
        |source| ChangeError::References { secret: of.to_string(), source: Box::new(source) };
    let mut all = Targets::default();
    all.load(tx, references).await?;
    let plan = all.plan(of, references).map_err(refuse)?;
    // What follows this secret would follow all of its targets.
    let above = referrers(tx, [id]).await?;
    if above.depth + plan.depth > MAX_DEPTH {
        return Err(refuse(ReferenceError::TooDeep));
    }
    for target in references.targets.keys() {
        let Some(row) = all.row(target) else { continue };
        query(
            "INSERT INTO version_references (target_id, secret_id, version) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(row.id)
        .bind(id)
        .bind(signed(version.0))
        .execute(tx.connection())
        .await
        .map_err(database("insert reference"))?;
    }
    let ids: Vec<i64> = all.rows(&plan).map(|(_, row)| row.id).collect();
    for target in ids {
        if referrers(tx, [target]).await?.found.len() > MAX_REFERRERS {
            return Err(refuse(ReferenceError::TooManyReferrers));
        }
    }
    Ok(())
}

/// Refuses to remove a secret that others refer to.
///
/// # Errors
/// If some do.
pub(super) async fn refuse_referenced(
    tx: &mut LedgerTransaction<'_>,
    (id, path): (i64, &str),
) -> Result<(), ChangeError> {
    let referrers: Result<_, RepositoryError> = direct_referrers(tx, &[id].into()).await;
    let referrers: Vec<SecretRef> = referrers?.into_values().collect();
    if referrers.is_empty() {
        return Ok(());
    }
    Err(ChangeError::Referenced { secret: path.to_owned(), referrers })
}
