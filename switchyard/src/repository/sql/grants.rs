//! Access grants, which extend the built-in rules.

use audit::Event;
use contract::api::{Access, Grant, GrantRequest, Subject, SubjectKind};
use contract::{Scope, SecretName};
use jiff::Timestamp;
use lockbox::database::{Row, placeholders, query, query_built};

use super::super::authenticity::Forgery;
use super::super::digest::Table;
use super::super::{ChangeError, GrantExtent, KeptResponse, NewGrant, RepositoryError};
use super::rows::{columns, count, database, integer, optional_time, scope, signed, text, time};
use super::{LedgerTransaction, Repository, idempotency, rights};
use crate::policy::{AccessGrant, BundleGrant, Reach};

/// How long the row of an expired grant is kept, in milliseconds: one week.
const EXPIRED_RETENTION_MILLIS: i64 = 7 * 24 * 60 * 60 * 1000;

/// A grant to a person or to one of the person's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonGrant {
    /// Its id.
    pub id: u64,
    /// The access it gives.
    pub access: Access,
    /// The scope it applies to.
    pub scope: Scope,
    /// The one secret it covers, or `None` for all.
    pub secret: Option<SecretName>,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
}

impl From<PersonGrant> for AccessGrant {
    fn from(row: PersonGrant) -> Self {
        let PersonGrant { id, access, scope, secret, expires_at: _ } = row;
        Self { grant: id, access, scope, secret }
    }
}

impl Repository {
    /// The grants of one service account, for whole bundles and single secrets.
    ///
    /// # Errors
    /// The database failed.
    pub async fn bundle_grants(
        &self,
        namespace: &str,
        service_account: &str,
    ) -> Result<Vec<BundleGrant>, RepositoryError> {
        let statement = query(
            "SELECT g.*, h.digests FROM grants g JOIN audit_head h ON h.id = 1
             WHERE subject_kind = 'service_account' AND subject = $1 AND \
                access = 'read' AND service <> '' AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(format!("{namespace}/{service_account}"))
        .bind(Timestamp::now().as_millisecond());
        let rows = self.rights(Table::Grants, statement).await?;
        let grant = |row| {
            Ok(BundleGrant {
                namespace: namespace.to_owned(),
                service_account: service_account.to_owned(),
                bundle: scope(row)?,
                secret: secret(row)?,
                reach: reach(row)?,
            })
        };
        rows.iter().map(grant).collect()
    }

    /// The grants of a person and of the person's groups.
    ///
    /// # Errors
    /// The database failed.
    pub async fn grants_of(
        &self,
        user: &str,
        groups: &[String],
    ) -> Result<Vec<PersonGrant>, RepositoryError> {
        // Only placeholder numbers are formatted into the SQL; names are bound.
        let of_groups = if groups.is_empty() {
            String::new()
        } else {
            format!(
                " OR (subject_kind = 'group' AND subject IN ({}))",
                placeholders(2, groups.len())
            )
        };
        let sql = format!(
            "SELECT g.*, h.digests FROM grants g JOIN audit_head h ON h.id = 1
             WHERE (subject_kind = 'user' AND subject = $1){of_groups} ORDER BY g.id"
        );
        let mut query = query_built(sql).bind(user.to_owned()).cached(&["grants"]);
        for group in groups {
            query = query.bind(group.clone());
        }
        let rows = self.rights(Table::Grants, query).await?;
        let grant = |row| {
            Ok(PersonGrant {
                id: count(row, "id")?,
                access: access(row)?,
                scope: scope(row)?,
                secret: secret(row)?,
                expires_at: optional_time(row, "expires_at")?,
            })
        };
        let now = Timestamp::now();
        let is_valid = |grant: &PersonGrant| grant.expires_at.is_none_or(|end| end > now);
        let grants: Vec<PersonGrant> =
            rows.iter().map(grant).collect::<Result<_, RepositoryError>>()?;
        Ok(grants.into_iter().filter(is_valid).collect())
    }

    /// A page of grants with ids greater than `after`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn grants(&self, after: u64, limit: u32) -> Result<Vec<Grant>, RepositoryError> {
        let statement = query(
            "SELECT g.*, h.digests FROM grants g JOIN audit_head h ON h.id = 1
             WHERE g.id > $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY g.id LIMIT $3",
        )
        .bind(signed(after))
        .bind(Timestamp::now().as_millisecond())
        .bind(i64::from(limit));
        let rows = self.rights(Table::Grants, statement).await?;
        rows.iter().map(grant).collect()
    }

    /// The grant with this id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn grant(&self, id: u64) -> Result<Option<Grant>, RepositoryError> {
        let statement = query(
            "SELECT g.*, h.digests FROM grants g JOIN audit_head h ON h.id = 1
             WHERE g.id = $1 AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(signed(id))
        .bind(Timestamp::now().as_millisecond());
        self.rights(Table::Grants, statement).await?.first().map(grant).transpose()
    }

    /// Adds a grant with its audit event. An equal grant stays as it is and adds no event, unless
    /// the new one lasts longer, reaches further, or asks for another end.
    ///
    /// # Errors
    /// The request was done before, an equal grant cannot be combined with it, or the database
    /// failed.
    pub async fn add_grant(&self, new: &NewGrant, event: &Event) -> Result<Grant, ChangeError> {
        let now = Timestamp::now();
        let (new, event) = (new.clone(), event.clone());
        let added = self.transaction(async move |tx| {
            idempotency::refuse_repeated(tx, new.idempotency.as_ref()).await?;
            delete_expired(tx, &new.request, now).await?;
            let changes = match same(tx, &new.request).await? {
                None => {
                    insert(tx, &new, now).await?;
                    true
                }
                Some((existing, extent)) => match new.combined_with(extent) {
                    Some(combined) if combined == extent => false,
                    Some(combined) => {
                        set_extent(tx, existing.id, combined).await?;
                        true
                    }
                    None => return Err(ChangeError::GrantExists(existing.id)),
                },
            };
            if changes {
                super::audit_events::insert(tx, now, &event).await?;
            }
            let (grant, _) = same(tx, &new.request).await?.ok_or(RepositoryError::Form("grant"))?;
            if let Some(request) = &new.idempotency {
                // Names, numbers and times always serialize.
                let response = serde_json::to_string(&grant).unwrap_or_default();
                idempotency::keep_response(tx, request, response, now).await?;
            }
            Ok(grant)
        });
        let added = added.await;
        self.reload_rights(Table::Grants).await;
        added
    }

    /// Revokes a grant with its audit event. Returns `false` if the grant does not exist.
    ///
    /// # Errors
    /// The request was done before, or the database failed.
    pub async fn remove_grant(
        &self,
        id: u64,
        event: &Event,
        kept: Option<&KeptResponse>,
    ) -> Result<bool, ChangeError> {
        let now = Timestamp::now();
        let (event, kept) = (event.clone(), kept.cloned());
        let removed = self.transaction(async move |tx| {
            idempotency::refuse_repeated(tx, kept.as_ref().map(|it| &it.request)).await?;
            let gone = query("DELETE FROM grants WHERE id = $1 RETURNING *")
                .bind(signed(id))
                .fetch_all(tx.connection())
                .await
                .map_err(database("delete grant"))?;
            if gone.is_empty() {
                return Ok(false);
            }
            rights::forget(tx, Table::Grants, &gone)?;
            super::audit_events::insert(tx, now, &event).await?;
            if let Some(KeptResponse { request, response }) = &kept {
                idempotency::keep_response(tx, request, response.clone(), now).await?;
            }
            Ok(true)
        });
        let removed = removed.await;
        self.reload_rights(Table::Grants).await;
        removed
    }
}

async fn insert(
    tx: &mut LedgerTransaction<'_>,
    new: &NewGrant,
    now: Timestamp,
) -> Result<(), RepositoryError> {
    let NewGrant { request, extent, by, idempotency: _ } = new;
    let [project, environment, service] = columns(&request.scope);
    let row = query(
        "INSERT INTO grants (subject_kind, subject, project, environment, service, secret, \
            access, created_at, created_by, expires_at, reach)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING *",
    )
    .bind(request.subject.kind.as_str())
    .bind(request.subject.name.clone())
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(request.secret.as_ref().map_or_else(String::new, ToString::to_string))
    .bind(request.access.as_str())
    .bind(now.as_millisecond())
    .bind(by.clone())
    .bind(extent.expires_at.map(Timestamp::as_millisecond))
    .bind(extent.reach.as_str())
    .fetch_one(tx.connection())
    .await
    .map_err(database("insert grant"))?;
    rights::sign(tx, Table::Grants, None, &row).await
}

async fn set_extent(
    tx: &mut LedgerTransaction<'_>,
    id: u64,
    to: GrantExtent,
) -> Result<(), RepositoryError> {
    let before = query("SELECT * FROM grants WHERE id = $1")
        .bind(signed(id))
        .fetch_one(tx.connection())
        .await
        .map_err(database("read grant to change"))?;
    let before = rights::mac_before(tx, Table::Grants, &before)?;
    let row = query("UPDATE grants SET expires_at = $1, reach = $2 WHERE id = $3 RETURNING *")
        .bind(to.expires_at.map(Timestamp::as_millisecond))
        .bind(to.reach.as_str())
        .bind(signed(id))
        .fetch_one(tx.connection())
        .await
        .map_err(database("change grant"))?;
    rights::sign(tx, Table::Grants, before, &row).await
}

/// Deletes what has ended: an equal grant, which would be in the way, and grants of long ago, whose
/// history the audit log keeps.
async fn delete_expired(
    tx: &mut LedgerTransaction<'_>,
    new: &GrantRequest,
    now: Timestamp,
) -> Result<(), RepositoryError> {
    let equal = same(tx, new).await?.filter(|(_, it)| it.expires_at.is_some_and(|at| at <= now));
    let gone = query("DELETE FROM grants WHERE id = $1 OR expires_at < $2 RETURNING *")
        .bind(equal.map_or(0, |(it, _)| signed(it.id)))
        .bind(now.as_millisecond() - EXPIRED_RETENTION_MILLIS)
        .fetch_all(tx.connection())
        .await
        .map_err(database("delete expired grants"))?;
    rights::forget(tx, Table::Grants, &gone)
}

/// The existing grant that equals `new`.
async fn same(
    tx: &mut LedgerTransaction<'_>,
    new: &GrantRequest,
) -> Result<Option<(Grant, GrantExtent)>, RepositoryError> {
    let [project, environment, service] = columns(&new.scope);
    let found = query(
        "SELECT * FROM grants WHERE subject_kind = $1 AND subject = $2 AND project = $3 AND \
            environment = $4 AND service = $5
             AND secret = $6 AND access = $7",
    )
    .bind(new.subject.kind.as_str())
    .bind(new.subject.name.clone())
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(new.secret.as_ref().map_or_else(String::new, ToString::to_string))
    .bind(new.access.as_str())
    .fetch_optional(tx.connection())
    .await
    .map_err(database("find grant"))?;
    let extent = |row: &Row| -> Result<GrantExtent, RepositoryError> {
        let expires_at = optional_time(row, "expires_at")?;
        Ok(GrantExtent { expires_at, reach: reach(row)? })
    };
    // One that switchyard did not write is in the way of its unique name.
    if let Some(row) = &found
        && rights::mac_before(tx, Table::Grants, row)?.is_none()
    {
        return Err(RepositoryError::Forged(Forgery::grant(integer(row, "id")?)));
    }
    found.as_ref().map(|row| Ok((grant(row)?, extent(row)?))).transpose()
}

fn grant(row: &Row) -> Result<Grant, RepositoryError> {
    let kind: SubjectKind =
        text(row, "subject_kind")?.parse().map_err(|_| RepositoryError::Form("subject_kind"))?;
    let scope = scope(row)?;
    let reach = match kind {
        SubjectKind::ServiceAccount => reach(row)?.widest(&scope),
        SubjectKind::User | SubjectKind::Group => None,
    };
    Ok(Grant {
        id: count(row, "id")?,
        subject: Subject { kind, name: text(row, "subject")? },
        scope,
        reach,
        secret: secret(row)?,
        access: access(row)?,
        created_at: time(row, "created_at")?,
        created_by: text(row, "created_by")?,
        expires_at: optional_time(row, "expires_at")?,
    })
}

fn reach(row: &Row) -> Result<Reach, RepositoryError> {
    text(row, "reach")?.parse().map_err(|_| RepositoryError::Form("reach"))
}

fn access(row: &Row) -> Result<Access, RepositoryError> {
    text(row, "access")?.parse().map_err(|_| RepositoryError::Form("access"))
}

fn secret(row: &Row) -> Result<Option<SecretName>, RepositoryError> {
    match text(row, "secret")?.as_str() {
        "" => Ok(None),
        name => name.parse().map(Some).map_err(|_| RepositoryError::Form("secret")),
    }
}
