//! The members of generations whose values are composed, and the versions that they take.

use std::collections::BTreeMap;

use contract::{Generation, SecretName, SecretRef, Version};
use lockbox::database::query;

use super::super::mac::{LedgerKey, RowMac};
use super::super::{BundleId, RepositoryError, ValueTarget, ValueTargets};
use super::row_macs::{stored_mac, version_mac};
use super::rows::{count, database, name, references, scope, signed, stored, text};
use super::targets::Targets;
use super::{LedgerTransaction, Repository};
use crate::references::{ReferenceError, ValueReferences};
use crate::snapshot::{BundleMember, Composition};

/// What one change found out about values with references, for all the bundles that it moves.
#[derive(Debug, Default)]
pub(super) struct Compositions {
    targets: Targets,
    /// By the id of the secret: the versions that its value takes.
    composed: BTreeMap<i64, Vec<(i64, Version)>>,
    broken: BTreeMap<i64, ReferenceError>,
}

impl Compositions {
    /// The member with its composition, if its value has references.
    pub(super) async fn compose(
        &mut self,
        tx: &mut LedgerTransaction<'_>,
        of: &SecretRef,
        references: Option<&ValueReferences>,
        member: BundleMember,
    ) -> Result<BundleMember, RepositoryError> {
        let Some(references) = references else { return Ok(member) };
        self.targets.load(tx, references).await?;
        let plan = match self.targets.plan(of, references) {
            Ok(plan) => plan,
            Err(error) => {
                self.broken.insert(member.secret, error);
                return Ok(BundleMember { composition: Composition::Broken, ..member });
            }
        };
        let macs = self.targets.rows(&plan).map(|(_, row)| row.mac).collect();
        let RowMac(mac) = tx.key()?.composed(RowMac(member.mac), macs);
        let versions = self.targets.rows(&plan).map(|(_, row)| (row.id, row.stored.version));
        self.composed.insert(member.secret, versions.collect());
        let (size, composition) = (plan.size, Composition::Complete);
        Ok(BundleMember { size, mac, composition, ..member })
    }

    /// Why the value of a secret cannot be composed.
    pub(super) fn problem(&self, secret: i64) -> Option<&ReferenceError> {
        self.broken.get(&secret)
    }

    /// Keeps what a member is composed of, which is in `bundle_members` already.
    pub(super) async fn insert(
        &self,
        tx: &mut LedgerTransaction<'_>,
        (BundleId(bundle), name, first): (BundleId, &SecretName, Generation),
        secret: i64,
    ) -> Result<(), RepositoryError> {
        for (target, version) in self.composed.get(&secret).into_iter().flatten() {
            query(
                "INSERT INTO member_targets (bundle_id, name, first_generation, secret_id, \
                    version) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(bundle)
            .bind(name.as_str())
            .bind(signed(first.0))
            .bind(*target)
            .bind(signed(version.0))
            .execute(tx.connection())
            .await
            .map_err(database("insert target of member"))?;
        }
        Ok(())
    }
}

/// What a member is composed of, and the MACs of these versions.
#[derive(Debug, Default)]
pub(super) struct MemberTargets {
    pub(super) targets: ValueTargets,
    pub(super) macs: Vec<RowMac>,
}

impl Repository {
    /// What the members of a generation are composed of, by their names. `None` if switchyard did
    /// not write one of the rows.
    pub(super) async fn member_targets(
        &self,
        key: &LedgerKey,
        (BundleId(bundle), generation): (BundleId, Generation),
    ) -> Result<Option<BTreeMap<SecretName, MemberTargets>>, RepositoryError> {
        let rows = query(
            "SELECT t.name AS member, s.project, s.environment, s.service, s.name, v.version, \
                v.vault_ref, v.tag, v.size, v.refs, v.mac
             FROM bundle_members m
             JOIN member_targets t ON t.bundle_id = m.bundle_id AND t.name = m.name
                 AND t.first_generation = m.first_generation
             JOIN secrets s ON s.id = t.secret_id
             JOIN secret_versions v ON v.secret_id = t.secret_id AND v.version = t.version
             WHERE m.bundle_id = $1 AND m.first_generation <= $2
               AND (m.end_generation IS NULL OR m.end_generation > $2)",
        )
        .bind(bundle)
        .bind(signed(generation.0))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("read targets of generation"))?;
        let mut all: BTreeMap<SecretName, MemberTargets> = BTreeMap::new();
        for row in &rows {
            let secret = SecretRef { scope: scope(row)?, name: name(row)? };
            let mac = version_mac(key, (&secret.scope, &secret.name), row)?;
            if stored_mac(row)? != Some(mac) {
                return Ok(None);
            }
            let member = text(row, "member")?.parse().map_err(|_| RepositoryError::Form("name"))?;
            let of: &mut MemberTargets = all.entry(member).or_default();
            of.macs.push(mac);
            let is_template = references(row)?.is_some();
            of.targets.insert(secret, ValueTarget { stored: stored(row)?, is_template });
        }
        Ok(Some(all))
    }
}

/// Signs the members of a bundle whose values are composed, whose versions were signed anew.
/// Returns their new MACs by name and first generation.
pub(super) async fn sign(
    tx: &mut LedgerTransaction<'_>,
    key: &LedgerKey,
    bundle: i64,
) -> Result<BTreeMap<(SecretName, u64), RowMac>, RepositoryError> {
    let rows = query(
        "SELECT m.name, m.first_generation, v.mac, w.mac AS target_mac FROM bundle_members m
         JOIN secret_versions v ON v.secret_id = m.secret_id AND v.version = m.version
         LEFT JOIN member_targets t ON t.bundle_id = m.bundle_id AND t.name = m.name
             AND t.first_generation = m.first_generation
         LEFT JOIN secret_versions w ON w.secret_id = t.secret_id AND w.version = t.version
         WHERE m.bundle_id = $1 AND v.refs IS NOT NULL",
    )
    .bind(bundle)
    .fetch_all(tx.connection())
    .await
    .map_err(database("read composed members to sign"))?;
    let mut all: BTreeMap<(SecretName, u64), (RowMac, Vec<RowMac>)> = BTreeMap::new();
    for row in &rows {
        let own = stored_mac(row)?.ok_or(RepositoryError::Form("mac"))?;
        let member = (name(row)?, count(row, "first_generation")?);
        let (_, targets) = all.entry(member).or_insert_with(|| (own, Vec::new()));
        targets.extend(super::row_macs::optional_mac(row, "target_mac")?);
    }
    let mut signed_members = BTreeMap::new();
    for ((name, first), (own, targets)) in all {
        let mac = key.composed(own, targets);
        query(
            "UPDATE bundle_members SET composed_mac = $4 WHERE bundle_id = $1 AND name = $2 AND \
                first_generation = $3",
        )
        .bind(bundle)
        .bind(name.as_str())
        .bind(signed(first))
        .bind(mac.0.to_vec())
        .execute(tx.connection())
        .await
        .map_err(database("sign composed member"))?;
        signed_members.insert((name, first), mac);
    }
    Ok(signed_members)
}
