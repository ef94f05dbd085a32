//! Access grants, which extend the built-in rules.

use audit::Event;
use contract::api::{Access, Grant, GrantRequest, Subject, SubjectKind};
use contract::{Scope, SecretName};
use jiff::Timestamp;
use lockbox::database::{Row, query, query_built};

use super::super::RepositoryError;
use super::rows::{columns, count, database, scope, signed, text, time};
use super::{LedgerTransaction, Repository};
use crate::policy::{AccessGrant, BundleGrant};

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
}

impl From<PersonGrant> for AccessGrant {
    fn from(row: PersonGrant) -> Self {
        let PersonGrant { id, access, scope, secret } = row;
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
        let rows = query(
            "SELECT * FROM grants WHERE subject_kind = 'service_account' AND subject = $1 AND \
                access = 'read' AND service <> ''",
        )
        .bind(format!("{namespace}/{service_account}"))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("read grants"))?;
        let grant = |row| {
            Ok(BundleGrant {
                namespace: namespace.to_owned(),
                service_account: service_account.to_owned(),
                bundle: scope(row)?,
                secret: secret(row)?,
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
        let placeholders: Vec<String> =
            (0..groups.len()).map(|at| format!("${}", at + 2)).collect();
        let of_groups = if groups.is_empty() {
            String::new()
        } else {
            format!(" OR (subject_kind = 'group' AND subject IN ({}))", placeholders.join(", "))
        };
        let sql = format!(
            "SELECT * FROM grants WHERE (subject_kind = 'user' AND subject = $1){of_groups} ORDER \
                BY id"
        );
        let mut query = query_built(sql).bind(user.to_owned());
        for group in groups {
            query = query.bind(group.clone());
        }
        let rows = query
            .fetch_all(self.database.reader())
            .await
            .map_err(database("read grants of a person"))?;
        let grant = |row| {
            Ok(PersonGrant {
                id: count(row, "id")?,
                access: access(row)?,
                scope: scope(row)?,
                secret: secret(row)?,
            })
        };
        rows.iter().map(grant).collect()
    }

    /// A page of grants with ids greater than `after`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn grants(&self, after: u64, limit: u32) -> Result<Vec<Grant>, RepositoryError> {
        let rows = query("SELECT * FROM grants WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(signed(after))
            .bind(i64::from(limit))
            .fetch_all(self.database.reader())
            .await
            .map_err(database("list grants"))?;
        rows.iter().map(grant).collect()
    }

    /// The grant with this id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn grant(&self, id: u64) -> Result<Option<Grant>, RepositoryError> {
        let found = query("SELECT * FROM grants WHERE id = $1")
            .bind(signed(id))
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find grant"))?;
        found.as_ref().map(grant).transpose()
    }

    /// Adds a grant with its audit event. An identical grant stays as it is and adds no event.
    ///
    /// # Errors
    /// The database failed.
    pub async fn add_grant(
        &self,
        new: &GrantRequest,
        by: &str,
        event: &Event,
    ) -> Result<Grant, RepositoryError> {
        let now = Timestamp::now();
        let (new, by, event) = (new.clone(), by.to_owned(), event.clone());
        self.transaction(async move |tx| add(tx, now, &new, &by, &event).await).await
    }

    /// Revokes a grant with its audit event. Returns `false` if the grant does not exist.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_grant(&self, id: u64, event: &Event) -> Result<bool, RepositoryError> {
        let event = event.clone();
        self.transaction(async move |tx| {
            let gone = query("DELETE FROM grants WHERE id = $1")
                .bind(signed(id))
                .execute(tx.connection())
                .await
                .map_err(database("delete grant"))?;
            if gone > 0 {
                super::audit_events::insert(tx, Timestamp::now(), &event).await?;
            }
            Ok(gone > 0)
        })
        .await
    }
}

async fn add(
    tx: &mut LedgerTransaction<'_>,
    now: Timestamp,
    new: &GrantRequest,
    by: &str,
    event: &Event,
) -> Result<Grant, RepositoryError> {
    if let Some(existing) = same(tx, new).await? {
        return Ok(existing);
    }
    let [project, environment, service] = columns(&new.scope);
    query(
        "INSERT INTO grants (subject_kind, subject, project, environment, service, secret, \
            access, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(new.subject.kind.as_str())
    .bind(new.subject.name.clone())
    .bind(project)
    .bind(environment)
    .bind(service)
    .bind(new.secret.as_ref().map_or_else(String::new, ToString::to_string))
    .bind(new.access.as_str())
    .bind(now.as_millisecond())
    .bind(by.to_owned())
    .execute(tx.connection())
    .await
    .map_err(database("insert grant"))?;
    super::audit_events::insert(tx, now, event).await?;
    same(tx, new).await?.ok_or(RepositoryError::Form("grant"))
}

/// The existing grant that equals `new`.
async fn same(
    tx: &mut LedgerTransaction<'_>,
    new: &GrantRequest,
) -> Result<Option<Grant>, RepositoryError> {
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
    found.as_ref().map(grant).transpose()
}

fn grant(row: &Row) -> Result<Grant, RepositoryError> {
    let kind: SubjectKind =
        text(row, "subject_kind")?.parse().map_err(|_| RepositoryError::Form("subject_kind"))?;
    Ok(Grant {
        id: count(row, "id")?,
        subject: Subject { kind, name: text(row, "subject")? },
        scope: scope(row)?,
        secret: secret(row)?,
        access: access(row)?,
        created_at: time(row, "created_at")?,
        created_by: text(row, "created_by")?,
    })
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
