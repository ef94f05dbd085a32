//! The secrets that a value refers to, and that these refer to, at their active versions.

use std::collections::BTreeMap;

use contract::SecretRef;
use lockbox::StoredVersion;
use lockbox::database::{Query, Row, query_built};

use super::super::authenticity::Forgery;
use super::super::mac::{LedgerKey, RowMac};
use super::super::{RepositoryError, ValueTarget, ValueTargets};
use super::row_macs::{VERSION_COLUMNS, check_version};
use super::rows::{columns, count, database, integer, references, stored};
use super::secrets::SECRET_TABLES;
use super::{LedgerTransaction, Repository};
use crate::references::{MAX_ALL_TARGETS, Node, Plan, ReferenceError, ValueReferences, plan};

/// A secret that a value refers to.
#[derive(Clone, Debug)]
pub(super) struct TargetRow {
    pub(super) id: i64,
    pub(super) stored: StoredVersion,
    pub(super) mac: RowMac,
    size: u64,
    references: Option<ValueReferences>,
}

/// The secrets that were looked up, each with its row if it exists.
#[derive(Debug, Default)]
pub(super) struct Targets(BTreeMap<SecretRef, Option<TargetRow>>);

/// A value with references, and what it is composed of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The length of the composed value in bytes.
    pub size: u64,
    /// The secrets that it is composed of.
    pub targets: ValueTargets,
}

impl Repository {
    /// What the references of a secret lead to now.
    ///
    /// # Errors
    /// Somebody else wrote a row of a target, or the database failed.
    pub async fn resolve(
        &self,
        of: &SecretRef,
        references: &ValueReferences,
    ) -> Result<Result<Resolved, ReferenceError>, RepositoryError> {
        let key = self.authenticity.key()?;
        let (mut all, mut steps) = (Targets::default(), Steps::new(references));
        while let Some(next) = steps.next(&all) {
            let row = find(&next).cached(SECRET_TABLES);
            let row = row.fetch_optional(self.database.reader()).await;
            let row = row.map_err(database("find target of reference"))?;
            let found = row.as_ref().map(|row| target(&key, row)).transpose()?.transpose();
            let found = found.map_err(|forgery| self.authenticity.refuse(forgery))?;
            steps.found(found.as_ref());
            all.0.insert(next, found);
        }
        Ok(all.plan(of, references).map(|plan| {
            let targets = all.rows(&plan).map(|(target, row)| {
                let is_template = row.references.is_some();
                (target.clone(), ValueTarget { stored: row.stored.clone(), is_template })
            });
            Resolved { size: plan.size, targets: targets.collect() }
        }))
    }
}

impl Targets {
    /// Looks up what a value refers to, as far as that was not done before. A row that switchyard
    /// did not write is reported, and is no secret: it must not hold up those who wrote something
    /// else.
    pub(super) async fn load(
        &mut self,
        tx: &mut LedgerTransaction<'_>,
        references: &ValueReferences,
    ) -> Result<(), RepositoryError> {
        let key = tx.key()?;
        let mut steps = Steps::new(references);
        while let Some(next) = steps.next(self) {
            let row = find(&next).fetch_optional(tx.connection()).await;
            let row = row.map_err(database("find target of reference"))?;
            let found = row.as_ref().map(|row| target(&key, row)).transpose()?.transpose();
            let found = found.unwrap_or_else(|forgery| {
                let _ = tx.refuse(forgery);
                None
            });
            steps.found(found.as_ref());
            self.0.insert(next, found);
        }
        Ok(())
    }

    /// What the references of a secret lead to.
    pub(super) fn plan(
        &self,
        of: &SecretRef,
        references: &ValueReferences,
    ) -> Result<Plan, ReferenceError> {
        plan(of, references, |target| {
            let node = |row| {
                let TargetRow { size, references, .. }: &TargetRow = row;
                Node { size: *size, references: references.as_ref() }
            };
            Some(self.0.get(target)?.as_ref().map(node))
        })
    }

    /// The rows of what a value is composed of.
    pub(super) fn rows<'a>(
        &'a self,
        plan: &'a Plan,
    ) -> impl Iterator<Item = (&'a SecretRef, &'a TargetRow)> {
        plan.targets.iter().filter_map(|it| Some((it, self.0.get(it)?.as_ref()?)))
    }

    /// The row of one that was looked up.
    pub(super) fn row(&self, of: &SecretRef) -> Option<&TargetRow> {
        self.0.get(of)?.as_ref()
    }
}

/// Which secrets to look up next. There is an end to it, whatever refers to what.
struct Steps {
    waiting: Vec<SecretRef>,
    looked_up: usize,
}

impl Steps {
    fn new(references: &ValueReferences) -> Self {
        Self { waiting: references.targets.keys().cloned().collect(), looked_up: 0 }
    }

    fn next(&mut self, known: &Targets) -> Option<SecretRef> {
        while self.looked_up <= MAX_ALL_TARGETS {
            let next = self.waiting.pop()?;
            if !known.0.contains_key(&next) {
                self.looked_up += 1;
                return Some(next);
            }
        }
        None
    }

    fn found(&mut self, row: Option<&TargetRow>) {
        let references = row.and_then(|row| row.references.as_ref());
        self.waiting.extend(references.into_iter().flat_map(|it| it.targets.keys().cloned()));
    }
}

fn find(SecretRef { scope, name }: &SecretRef) -> Query {
    let [project, environment, service] = columns(scope);
    query_built(format!(
        "SELECT s.id, {VERSION_COLUMNS} FROM secrets s
         LEFT JOIN secret_versions v ON v.secret_id = s.id AND v.version = s.current_version
         WHERE s.project = $1 AND s.environment = $2 AND s.service = $3 AND s.name = $4
           AND s.deleted_at IS NULL"
    ))
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(name.as_str())
}

fn target(key: &LedgerKey, row: &Row) -> Result<Result<TargetRow, Forgery>, RepositoryError> {
    let mac = match check_version(key, row)? {
        Ok(mac) => mac,
        Err(forgery) => return Ok(Err(forgery)),
    };
    Ok(Ok(TargetRow {
        id: integer(row, "id")?,
        stored: stored(row)?,
        mac,
        size: count(row, "size")?,
        references: references(row)?,
    }))
}
