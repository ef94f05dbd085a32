//! What a change means for bundles: the next generation of each bundle that sees the scope.
//!
//! A generation is stored as its difference to the one before: a row of `bundle_members` holds from
//! one generation up to another, or still. A write of one secret costs the same in a bundle of ten
//! and in one of a thousand.

use std::collections::BTreeMap;

use contract::{Generation, Scope, SecretName, SecretRef, Version};
use lockbox::database::{query, query_built};

use super::super::digest::{Digest, Table};
use super::super::mac::{LedgerKey, RowMac};
use super::super::{Bundle, ChangeError, LedgerChange, RepositoryError, service_parts};
use super::LedgerTransaction;
use super::affected::{Affected, affected_bundles, create, with_referrers};
use super::bundles::bundle;
use super::generation_row::MemberDigest;
use super::member_targets::Compositions;
use super::row_macs::{VERSION_COLUMNS, check_version, optional_mac};
use super::rows::{
    columns, count, database, integer, name, optional_count, random_tag, references, scope, signed,
};
use super::touched::Touched;
use crate::snapshot::{
    BundleMember, BundleSize, BundleTooLarge, CandidateSecret, Composition, narrowest,
};

/// A change of more names than this computes its bundles anew.
const MAX_NAMES: usize = 64;

/// How one name changes in a bundle.
struct Difference {
    name: SecretName,
    before: Option<BundleMember>,
    after: Option<BundleMember>,
}

/// How a bundle changes, and what it holds afterwards.
struct Differences {
    differences: Vec<Difference>,
    held: MemberDigest,
}

/// Creates the next generation of every bundle whose contents the change affects. A service scope
/// without a bundle gets one if the change adds to it.
///
/// A bundle that would no longer fit into a pod refuses the change only if the change adds to that
/// bundle's own scope. Otherwise it is stuck: it keeps its generation, and the others move. Returns
/// the bundles that moved, and those that became stuck or free.
pub(super) async fn advance(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    touched: &Touched,
) -> Result<Vec<Bundle>, ChangeError> {
    if touched.names.is_empty() {
        return Ok(Vec::new());
    }
    let mut affected = affected_bundles(tx, &change.scope).await?;
    if touched.adds && affected.is_empty() && service_parts(&change.scope).is_some() {
        affected.push(Ok(create(tx, change).await?));
    }
    let affected = with_referrers(tx, &change.scope, &touched.names, affected).await?;
    let (mut moved, mut compositions) = (Vec::new(), Compositions::default());
    for (it, names) in affected {
        let it = match it {
            Ok(it) => it,
            Err((bundle, forgery)) if bundle.scope == change.scope => {
                return Err(tx.refuse(forgery).into());
            }
            // It does not hold up the others.
            Err((bundle, forgery)) => {
                let reason = forgery.what;
                let _ = tx.refuse(forgery);
                moved.push(set_stuck(tx, change, &bundle, Some(reason)).await?);
                continue;
            }
        };
        let Differences { differences, held } =
            differences(tx, &it, &names, &mut compositions).await?;
        let size = it.size.after(differences.iter().map(|it| (it.before, it.after)));
        let problem = differences.iter().find_map(|it| it.problem(&compositions));
        match problem.map_or_else(|| size.check(), Err) {
            Ok(()) if !differences.is_empty() => {
                let parts = (size, held, &compositions);
                moved.push(next_generation(tx, change, &it, parts, &differences).await?);
            }
            // What kept it from fitting is gone again.
            Ok(()) if it.bundle.stuck.is_some() => {
                moved.push(set_stuck(tx, change, &it.bundle, None).await?);
            }
            Ok(()) => {}
            Err(source) if touched.adds && it.bundle.scope == change.scope => {
                return Err(ChangeError::TooLarge { bundle: it.bundle.scope, source });
            }
            Err(reason) => {
                let reason = reason.to_string();
                moved.push(set_stuck(tx, change, &it.bundle, Some(&reason)).await?);
            }
        }
    }
    Ok(moved)
}

impl Difference {
    /// Why the bundle cannot hold what is new.
    fn problem(&self, compositions: &Compositions) -> Option<BundleTooLarge> {
        let error = compositions.problem(self.after?.secret)?;
        Some(BundleTooLarge::Composed(Box::new((self.name.clone(), error.clone()))))
    }
}

/// What the bundle's next generation has that its newest one has not, and the digest of what it
/// holds. Only the changed names are looked at, unless the bundle lags behind its scopes.
async fn differences(
    tx: &mut LedgerTransaction<'_>,
    affected: &Affected,
    names: &[SecretName],
    compositions: &mut Compositions,
) -> Result<Differences, RepositoryError> {
    let Bundle { scope, stuck, .. } = &affected.bundle;
    let (mut after, mut before) = (BTreeMap::new(), BTreeMap::new());
    let in_full = stuck.is_some() || names.len() > MAX_NAMES;
    if in_full {
        after = narrowest(scope, &candidates(tx, scope, None, compositions).await?);
        before = members(tx, &affected.bundle, None).await?;
    } else {
        for name in names {
            let visible = candidates(tx, scope, Some(name), compositions).await?;
            after.extend(narrowest(scope, &visible));
            before.extend(members(tx, &affected.bundle, Some(name)).await?);
        }
    }
    let all: std::collections::BTreeSet<&SecretName> = before.keys().chain(after.keys()).collect();
    let difference = |name: &SecretName| Difference {
        name: name.clone(),
        before: before.get(name).copied(),
        after: after.get(name).copied(),
    };
    let differences: Vec<_> =
        all.into_iter().map(difference).filter(|it| it.before != it.after).collect();
    let key = tx.key()?;
    let held = if in_full {
        // What follows from the secrets alone counts, whatever the newest generation holds.
        after.iter().fold(MemberDigest::default(), |held, (name, member)| {
            held.with(&key, scope, name, None, Some(member))
        })
    } else {
        differences.iter().fold(affected.held, |held, it| {
            held.with(&key, scope, &it.name, it.before.as_ref(), it.after.as_ref())
        })
    };
    Ok(Differences { differences, held })
}

impl MemberDigest {
    /// With a member replaced, added or removed.
    fn with(
        self,
        key: &LedgerKey,
        bundle: &Scope,
        name: &SecretName,
        before: Option<&BundleMember>,
        after: Option<&BundleMember>,
    ) -> Self {
        let term = |it: &BundleMember| key.member(bundle, name, RowMac(it.mac));
        let count = |it: Option<&BundleMember>| u64::from(it.is_some());
        let members = before.map(term).into_iter().fold(self.members, Digest::minus);
        Self {
            members: after.map(term).into_iter().fold(members, Digest::plus),
            secrets: (self.secrets + count(after)).saturating_sub(count(before)),
        }
    }
}

/// The secrets that a service sees, of all its scopes: those with one name, or all.
async fn candidates(
    tx: &mut LedgerTransaction<'_>,
    of: &Scope,
    named: Option<&SecretName>,
    compositions: &mut Compositions,
) -> Result<Vec<CandidateSecret>, RepositoryError> {
    let [project, environment, service] = columns(of);
    let of_name = if named.is_some() { "AND s.name = $4" } else { "" };
    let sql = format!(
        "SELECT s.id, {VERSION_COLUMNS} FROM secrets s
         LEFT JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
         WHERE s.project = $1 AND s.environment IN ('', $2) AND s.service IN ('', $3)
           {of_name} AND s.deleted_at IS NULL"
    );
    let statement = query_built(sql).bind(project).bind(environment).bind(service);
    let statement = match named {
        Some(name) => statement.bind(name.as_str()),
        None => statement,
    };
    let rows = statement.fetch_all(tx.connection()).await;
    let rows = rows.map_err(database("read visible secrets"))?;
    let key = tx.key()?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let RowMac(mac) = check_version(&key, row)?.map_err(|forgery| tx.refuse(forgery))?;
        let of = SecretRef { scope: scope(row)?, name: name(row)? };
        let member = BundleMember {
            secret: integer(row, "id")?,
            version: Version(count(row, "current_version")?),
            size: count(row, "size")?,
            mac,
            composition: Composition::None,
        };
        let references = references(row)?;
        let member = compositions.compose(tx, &of, references.as_ref(), member).await?;
        let SecretRef { scope, name } = of;
        found.push(CandidateSecret { scope, name, member });
    }
    Ok(found)
}

/// What the bundle's newest generation holds: under one name, or all.
async fn members(
    tx: &mut LedgerTransaction<'_>,
    of: &Bundle,
    named: Option<&SecretName>,
) -> Result<BTreeMap<SecretName, BundleMember>, RepositoryError> {
    let sql = match named {
        Some(_) => {
            "SELECT m.name, m.secret_id, m.version, m.composed_size, m.composed_mac, v.size, v.mac
             FROM bundle_members m
             JOIN secret_versions v ON v.secret_id = m.secret_id AND v.version = m.version
             WHERE m.bundle_id = $1 AND m.name = $2 AND m.end_generation IS NULL"
        }
        None => {
            "SELECT m.name, m.secret_id, m.version, m.composed_size, m.composed_mac, v.size, v.mac
             FROM bundle_members m
             JOIN secret_versions v ON v.secret_id = m.secret_id AND v.version = m.version
             WHERE m.bundle_id = $1 AND m.end_generation IS NULL"
        }
    };
    let statement = query(sql).bind(of.id.0);
    let statement = match named {
        Some(name) => statement.bind(name.as_str()),
        None => statement,
    };
    let rows = statement.fetch_all(tx.connection()).await;
    let rows = rows.map_err(database("read newest generation"))?;
    rows.iter()
        .map(|row| {
            // If the row is not authentic, neither is the digest that follows.
            let composed = optional_mac(row, "composed_mac")?;
            let mac = optional_mac(row, "mac")?;
            let own_size = count(row, "size")?;
            let member = BundleMember {
                secret: integer(row, "secret_id")?,
                version: Version(count(row, "version")?),
                size: optional_count(row, "composed_size")?.unwrap_or(own_size),
                mac: composed.or(mac).map_or([0; 32], |mac| mac.0),
                composition: composed.map_or(Composition::None, |_| Composition::Complete),
            };
            Ok((name(row)?, member))
        })
        .collect()
}

async fn next_generation(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    of: &Affected,
    (size, held, compositions): (BundleSize, MemberDigest, &Compositions),
    differences: &[Difference],
) -> Result<Bundle, RepositoryError> {
    let (at, tag, key) = (change.at.as_millisecond(), random_tag(), tx.key()?);
    // Numbering continues from the newest generation, which is not always the stable one.
    let number = Generation(of.newest.0 + 1);
    let (scope, target) = (&of.bundle.scope, of.bundle.rollout.target);
    let mac = key.bundle(scope, (number, target), &tag, (size.secrets, size.bytes));
    let term = |mac| Some(key.term(Table::Bundles.as_str(), mac, &[]));
    tx.replace_row(Table::Bundles, term(of.mac), term(mac))?;
    let row = query(
        "UPDATE bundles SET stable_generation = $6, revision = revision + 1, updated_at = $2, \
             secrets = $3, bytes = $4, stuck = NULL, stable_tag = $5, mac = $7
         WHERE id = $1 RETURNING *",
    )
    .bind(of.bundle.id.0)
    .bind(at)
    .bind(signed(size.secrets))
    .bind(signed(size.bytes))
    .bind(tag.clone())
    .bind(signed(number.0))
    .bind(mac.0.to_vec())
    .fetch_one(tx.connection())
    .await
    .map_err(database("advance bundle"))?;
    let bundle = bundle(&row)?;
    let signed_row = held.sign(&key, scope, (number, &tag));
    query(
        "INSERT INTO generations (bundle_id, number, created_at, created_by, tag, members, \
            secrets, mac, made_lived)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, \
            (SELECT milliseconds FROM lived_time WHERE id = 1))",
    )
    .bind(bundle.id.0)
    .bind(signed(number.0))
    .bind(at)
    .bind(change.by.clone())
    .bind(tag)
    .bind(signed_row.members)
    .bind(signed(held.secrets))
    .bind(signed_row.mac)
    .execute(tx.connection())
    .await
    .map_err(database("insert generation"))?;
    let number = number.0;
    for Difference { name, before, after } in differences {
        if before.is_some() {
            query(
                "UPDATE bundle_members SET end_generation = $3
                 WHERE bundle_id = $1 AND name = $2 AND end_generation IS NULL",
            )
            .bind(bundle.id.0)
            .bind(name.as_str())
            .bind(signed(number))
            .execute(tx.connection())
            .await
            .map_err(database("end member of bundle"))?;
        }
        if let Some(BundleMember { secret, version, size, mac, composition }) = after {
            let is_composed = *composition != Composition::None;
            query(
                "INSERT INTO bundle_members (bundle_id, name, first_generation, secret_id, \
                    version, composed_size, composed_mac) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(bundle.id.0)
            .bind(name.as_str())
            .bind(signed(number))
            .bind(*secret)
            .bind(signed(version.0))
            .bind(is_composed.then(|| signed(*size)))
            .bind(is_composed.then(|| mac.to_vec()))
            .execute(tx.connection())
            .await
            .map_err(database("insert member of bundle"))?;
            if is_composed {
                let of = (bundle.id, name, Generation(number));
                compositions.insert(tx, of, *secret).await?;
            }
        }
    }
    Ok(bundle)
}

async fn set_stuck(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    of: &Bundle,
    reason: Option<&str>,
) -> Result<Bundle, RepositoryError> {
    if let Some(reason) = reason {
        tracing::warn!(scope = %of.scope, reason, "bundle is stuck: its pods keep what they have");
    }
    let row = query("UPDATE bundles SET stuck = $2, updated_at = $3 WHERE id = $1 RETURNING *")
        .bind(of.id.0)
        .bind(reason.map(str::to_owned))
        .bind(change.at.as_millisecond())
        .fetch_one(tx.connection())
        .await
        .map_err(database("set whether bundle is stuck"))?;
    bundle(&row)
}
