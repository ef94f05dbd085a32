//! The secrets whose active values refer to others.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Scope, SecretName, SecretRef};
use lockbox::database::{Query, Row, placeholders, query, query_built};

use super::super::RepositoryError;
use super::super::authenticity::{Forgery, MAX_REPORTED};
use super::super::mac::LedgerKey;
use super::row_macs::{VERSION_COLUMNS, check_version};
use super::rows::{
    columns, database, integer, name, optional_secret_ref, references, scope, secret_ref,
};
use super::{LedgerTransaction, Repository};
use crate::references::{MAX_DEPTH, MAX_REFERRERS};

/// Far below what either database allows to bind.
const IDS_PER_QUERY: usize = 500;

/// All that follow some secrets, directly or not.
#[derive(Debug, Default)]
pub(super) struct Referrers {
    /// By the id of the row.
    pub(super) found: BTreeMap<i64, SecretRef>,
    /// How many references follow each other up to the last one.
    pub(super) depth: usize,
}

/// The ids of secrets of a scope that something refers to.
pub(super) async fn targets_among(
    tx: &mut LedgerTransaction<'_>,
    of: &Scope,
    names: &[SecretName],
) -> Result<BTreeSet<i64>, RepositoryError> {
    let mut found = BTreeSet::new();
    for names in names.chunks(IDS_PER_QUERY) {
        let [project, environment, service] = columns(of);
        // Only placeholder numbers are formatted into the SQL; all values are bound.
        let statement = query_built(format!(
            "SELECT t.id FROM secrets t
             WHERE t.project = $1 AND t.environment = $2 AND t.service = $3 AND t.name IN ({})
               AND EXISTS (SELECT 1 FROM version_references r WHERE r.target_id = t.id)",
            placeholders(4, names.len())
        ));
        let statement = statement.bind(project).bind(environment).bind(service);
        let rows = names
            .iter()
            .fold(statement, |statement, name| statement.bind(name.as_str()))
            .fetch_all(tx.connection())
            .await
            .map_err(database("find targets of references"))?;
        for row in &rows {
            found.insert(integer(row, "id")?);
        }
    }
    Ok(found)
}

/// What follows these secrets, step by step.
pub(super) async fn referrers(
    tx: &mut LedgerTransaction<'_>,
    of: impl IntoIterator<Item = i64>,
) -> Result<Referrers, RepositoryError> {
    let mut all = Referrers::default();
    let mut step: BTreeSet<i64> = of.into_iter().collect();
    while !step.is_empty() && all.depth <= MAX_DEPTH && all.found.len() <= MAX_REFERRERS {
        let next = direct_referrers(tx, &step).await?;
        all.depth += usize::from(!next.is_empty());
        step = next.keys().copied().collect();
        all.found.extend(next);
    }
    Ok(all)
}

/// What refers to these secrets itself.
pub(super) async fn direct_referrers(
    tx: &mut LedgerTransaction<'_>,
    of: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, SecretRef>, RepositoryError> {
    let mut found = BTreeMap::new();
    let ids: Vec<i64> = of.iter().copied().collect();
    for ids in ids.chunks(IDS_PER_QUERY) {
        let rows = statement(ids).fetch_all(tx.connection()).await;
        let rows = rows.map_err(database("find referrers"))?;
        let key = tx.key()?;
        for row in &rows {
            match referrer(&key, row)? {
                Ok((id, secret)) => drop(found.insert(id, secret)),
                // It is no reference, and must not hold up who wrote something else.
                Err(forgery) => drop(tx.refuse(forgery)),
            }
        }
    }
    Ok(found)
}

fn statement(ids: &[i64]) -> Query {
    let statement = query_built(format!(
        "SELECT s.id, {VERSION_COLUMNS}, t.project AS target_project, \
            t.environment AS target_environment, t.service AS target_service, \
            t.name AS target_name
         FROM version_references r
         JOIN secrets t ON t.id = r.target_id
         JOIN secrets s ON s.id = r.secret_id AND s.current_version = r.version
         JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
         WHERE r.target_id IN ({}) AND s.deleted_at IS NULL",
        placeholders(1, ids.len())
    ));
    ids.iter().fold(statement, |statement, id| statement.bind(*id))
}

/// The table only says where to look: what counts is the row of the version.
fn referrer(
    key: &LedgerKey,
    row: &Row,
) -> Result<Result<(i64, SecretRef), Forgery>, RepositoryError> {
    let (scope, name) = (scope(row)?, name(row)?);
    Ok(match check_version(key, row)? {
        Ok(_) if refers_to_its_target(row)? => Ok((integer(row, "id")?, SecretRef { scope, name })),
        Ok(_) => Err(Forgery::references(&scope, &name)),
        Err(forgery) => Err(forgery),
    })
}

/// Whether the version's own row has the target that the table says.
fn refers_to_its_target(row: &Row) -> Result<bool, RepositoryError> {
    let target = secret_ref(row, "target")?;
    Ok(references(row)?.is_some_and(|it| it.targets.contains_key(&target)))
}

impl Repository {
    /// The secrets that follow one, directly or not.
    ///
    /// # Errors
    /// The database failed.
    pub async fn referrers(
        &self,
        scope: &Scope,
        name: &SecretName,
    ) -> Result<BTreeSet<SecretRef>, RepositoryError> {
        let key = self.authenticity.key()?;
        let mut step: Vec<i64> = self.secret_id(scope, name).await?.into_iter().collect();
        let (mut found, mut depth) = (BTreeMap::new(), 0);
        while !step.is_empty() && depth <= MAX_DEPTH && found.len() <= MAX_REFERRERS {
            let mut next = Vec::new();
            for ids in step.chunks(IDS_PER_QUERY) {
                let rows = statement(ids).fetch_all(self.database.reader()).await;
                for row in &rows.map_err(database("find referrers"))? {
                    match referrer(&key, row)? {
                        Ok((id, secret)) => {
                            next.push(id);
                            found.insert(id, secret);
                        }
                        Err(forgery) => self.authenticity.report(forgery),
                    }
                }
            }
            depth += 1;
            step = next;
        }
        Ok(found.into_values().collect())
    }

    /// Checks that the table of references says what the rows of the active versions say, and
    /// reports what is wrong. Returns whether nothing is.
    pub(super) async fn check_referrers(&self) -> Result<bool, RepositoryError> {
        type ReferenceRows =
            BTreeMap<(Scope, SecretName), (BTreeSet<SecretRef>, BTreeSet<SecretRef>)>;
        let step = |found: &mut ReferenceRows, row: &Row| -> Result<(), RepositoryError> {
            let (expected, indexed) = found.entry((scope(row)?, name(row)?)).or_default();
            expected.extend(references(row)?.into_iter().flat_map(|it| it.targets.into_keys()));
            indexed.extend(optional_secret_ref(row, "target")?);
            Ok(())
        };
        let statement = query(
            "SELECT s.project, s.environment, s.service, s.name, v.refs, \
                t.project AS target_project, t.environment AS target_environment, \
                t.service AS target_service, t.name AS target_name
             FROM secrets s
             JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
             LEFT JOIN version_references r ON r.secret_id = v.secret_id AND r.version = v.version
             LEFT JOIN secrets t ON t.id = r.target_id
             WHERE s.deleted_at IS NULL AND (v.refs IS NOT NULL OR r.target_id IS NOT NULL)",
        );
        let found = self.database.reader().try_fold(statement, ReferenceRows::new(), step);
        let found = found.await.map_err(database("check references"))??;
        let wrong: Vec<_> =
            found.into_iter().filter(|(_, (expected, indexed))| expected != indexed).collect();
        for ((scope, name), _) in wrong.iter().take(MAX_REPORTED) {
            self.authenticity.report(Forgery::references(scope, name));
        }
        Ok(wrong.is_empty())
    }
}
