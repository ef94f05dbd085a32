//! What a change means for bundles: the next generation of each bundle that sees the scope.
//!
//! A generation is stored as its difference to the one before: a row of `bundle_members` holds from
//! one generation up to another, or still. A write of one secret costs the same in a bundle of ten
//! and in one of a thousand.

use std::collections::BTreeMap;

use contract::{Generation, Scope, SecretName, Version};
use lockbox::database::{Row, query};

use super::super::{Bundle, ChangeError, LedgerChange, RepositoryError, service_parts};
use super::LedgerTransaction;
use super::bundles::bundle;
use super::rows::{columns, count, database, integer, name, random_tag, scope, signed};
use super::touched::Touched;
use crate::snapshot::{BundleMember, BundleSize, BundleTooLarge, CandidateSecret, narrowest};

/// A change of more names than this computes its bundles anew.
const MAX_NAMES: usize = 64;

/// A bundle that sees the changed scope, and the size of its newest generation.
struct Affected {
    bundle: Bundle,
    size: BundleSize,
}

/// How one name changes in a bundle.
struct Difference {
    name: SecretName,
    before: Option<BundleMember>,
    after: Option<BundleMember>,
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
        affected.push(create(tx, change).await?);
    }
    let mut moved = Vec::new();
    for it in affected {
        let differences = differences(tx, &it, &touched.names).await?;
        let size = it.size.after(differences.iter().map(|it| (it.before, it.after)));
        match size.check() {
            Ok(()) if !differences.is_empty() => {
                moved.push(next_generation(tx, change, &it.bundle, size, &differences).await?);
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
                moved.push(set_stuck(tx, change, &it.bundle, Some(&reason)).await?);
            }
        }
    }
    Ok(moved)
}

async fn affected_bundles(
    tx: &mut LedgerTransaction<'_>,
    changed: &Scope,
) -> Result<Vec<Affected>, RepositoryError> {
    let [project, environment, service] = columns(changed);
    let rows = query(
        "SELECT * FROM bundles WHERE project = $1 AND ($2 = '' OR environment = $2) \
            AND ($3 = '' OR service = $3) ORDER BY id",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .fetch_all(tx.connection())
    .await
    .map_err(database("find affected bundles"))?;
    rows.iter().map(affected).collect()
}

fn affected(row: &Row) -> Result<Affected, RepositoryError> {
    let size = BundleSize { secrets: count(row, "secrets")?, bytes: count(row, "bytes")? };
    Ok(Affected { bundle: bundle(row)?, size })
}

/// A bundle before its first generation.
async fn create(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
) -> Result<Affected, RepositoryError> {
    let [project, environment, service] = columns(&change.scope);
    // It is stuck until its first generation is computed from everything that it sees.
    let row = query(
        "INSERT INTO bundles (project, environment, service, stable_generation, revision, \
            created_at, updated_at, secrets, bytes, stuck)
         VALUES ($1, $2, $3, 1, 0, $4, $4, 0, 0, '') RETURNING *",
    )
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(change.at.as_millisecond())
    .fetch_one(tx.connection())
    .await
    .map_err(database("insert bundle"))?;
    affected(&row)
}

/// What the bundle's next generation has that its newest one has not. Only the changed names are
/// looked at, unless the bundle lags behind its scopes.
async fn differences(
    tx: &mut LedgerTransaction<'_>,
    affected: &Affected,
    names: &[SecretName],
) -> Result<Vec<Difference>, RepositoryError> {
    let Bundle { scope, stuck, .. } = &affected.bundle;
    let (mut after, mut before) = (BTreeMap::new(), BTreeMap::new());
    if stuck.is_some() || names.len() > MAX_NAMES {
        after = narrowest(scope, &candidates(tx, scope, None).await?);
        before = members(tx, &affected.bundle, None).await?;
    } else {
        for name in names {
            after.extend(narrowest(scope, &candidates(tx, scope, Some(name)).await?));
            before.extend(members(tx, &affected.bundle, Some(name)).await?);
        }
    }
    let all: std::collections::BTreeSet<&SecretName> = before.keys().chain(after.keys()).collect();
    let difference = |name: &SecretName| Difference {
        name: name.clone(),
        before: before.get(name).copied(),
        after: after.get(name).copied(),
    };
    Ok(all.into_iter().map(difference).filter(|it| it.before != it.after).collect())
}

/// The secrets that a service sees, of all its scopes: those with one name, or all.
async fn candidates(
    tx: &mut LedgerTransaction<'_>,
    of: &Scope,
    named: Option<&SecretName>,
) -> Result<Vec<CandidateSecret>, RepositoryError> {
    let [project, environment, service] = columns(of);
    let sql = match named {
        Some(_) => {
            "SELECT s.id, s.project, s.environment, s.service, s.name, s.current_version, v.size
             FROM secrets s
             JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
             WHERE s.project = $1 AND s.environment IN ('', $2) AND s.service IN ('', $3)
               AND s.name = $4 AND s.deleted_at IS NULL"
        }
        None => {
            "SELECT s.id, s.project, s.environment, s.service, s.name, s.current_version, v.size
             FROM secrets s
             JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
             WHERE s.project = $1 AND s.environment IN ('', $2) AND s.service IN ('', $3)
               AND s.deleted_at IS NULL"
        }
    };
    let statement = query(sql).bind(project).bind(environment).bind(service);
    let statement = match named {
        Some(name) => statement.bind(name.as_str()),
        None => statement,
    };
    let rows = statement.fetch_all(tx.connection()).await;
    let rows = rows.map_err(database("read visible secrets"))?;
    rows.iter()
        .map(|row| {
            Ok(CandidateSecret {
                scope: scope(row)?,
                name: name(row)?,
                member: BundleMember {
                    secret: integer(row, "id")?,
                    version: Version(count(row, "current_version")?),
                    size: count(row, "size")?,
                },
            })
        })
        .collect()
}

/// What the bundle's newest generation holds: under one name, or all.
async fn members(
    tx: &mut LedgerTransaction<'_>,
    of: &Bundle,
    named: Option<&SecretName>,
) -> Result<BTreeMap<SecretName, BundleMember>, RepositoryError> {
    let sql = match named {
        Some(_) => {
            "SELECT m.name, m.secret_id, m.version, v.size FROM bundle_members m
             JOIN secret_versions v ON v.secret_id = m.secret_id AND v.version = m.version
             WHERE m.bundle_id = $1 AND m.name = $2 AND m.end_generation IS NULL"
        }
        None => {
            "SELECT m.name, m.secret_id, m.version, v.size FROM bundle_members m
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
            let member = BundleMember {
                secret: integer(row, "secret_id")?,
                version: Version(count(row, "version")?),
                size: count(row, "size")?,
            };
            Ok((name(row)?, member))
        })
        .collect()
}

async fn next_generation(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    of: &Bundle,
    size: BundleSize,
    differences: &[Difference],
) -> Result<Bundle, RepositoryError> {
    let (at, tag) = (change.at.as_millisecond(), random_tag());
    // Numbering continues from the newest generation, which is not always the stable one.
    let row = query(
        "UPDATE bundles SET
             stable_generation = (SELECT coalesce(max(number), 0) + 1 FROM generations
                                  WHERE bundle_id = bundles.id),
             revision = revision + 1, updated_at = $2, secrets = $3, bytes = $4, stuck = NULL,
             stable_tag = $5
         WHERE id = $1 RETURNING *",
    )
    .bind(of.id.0)
    .bind(at)
    .bind(signed(size.secrets))
    .bind(signed(size.bytes))
    .bind(tag.clone())
    .fetch_one(tx.connection())
    .await
    .map_err(database("advance bundle"))?;
    let bundle = bundle(&row)?;
    let Generation(number) = bundle.rollout.stable;
    query(
        "INSERT INTO generations (bundle_id, number, created_at, created_by, tag) VALUES ($1, \
        $2, $3, $4, $5)",
    )
    .bind(bundle.id.0)
    .bind(signed(number))
    .bind(at)
    .bind(change.by.clone())
    .bind(tag)
    .execute(tx.connection())
    .await
    .map_err(database("insert generation"))?;
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
        if let Some(BundleMember { secret, version, .. }) = after {
            query(
                "INSERT INTO bundle_members (bundle_id, name, first_generation, secret_id, \
                    version) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(bundle.id.0)
            .bind(name.as_str())
            .bind(signed(number))
            .bind(*secret)
            .bind(signed(version.0))
            .execute(tx.connection())
            .await
            .map_err(database("insert member of bundle"))?;
        }
    }
    Ok(bundle)
}

async fn set_stuck(
    tx: &mut LedgerTransaction<'_>,
    change: &LedgerChange,
    of: &Bundle,
    reason: Option<&BundleTooLarge>,
) -> Result<Bundle, RepositoryError> {
    if let Some(reason) = reason {
        tracing::warn!(scope = %of.scope, %reason, "bundle is stuck: its pods keep what they have");
    }
    let row = query("UPDATE bundles SET stuck = $2, updated_at = $3 WHERE id = $1 RETURNING *")
        .bind(of.id.0)
        .bind(reason.map(ToString::to_string))
        .bind(change.at.as_millisecond())
        .fetch_one(tx.connection())
        .await
        .map_err(database("set whether bundle is stuck"))?;
    bundle(&row)
}
