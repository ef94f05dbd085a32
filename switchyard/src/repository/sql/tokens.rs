//! API tokens and sessions, stored as hashes.

use audit::Event;
use jiff::Timestamp;
use lockbox::database::{Row, query};

use super::super::digest::Table;
use super::super::token::{
    IdTokenRef, NewToken, TokenAdded, TokenRow, TokenSubject, USE_RESOLUTION_SECONDS,
};
use super::super::{ChangeError, KeptResponse, RepositoryError};
use super::rows::{count, database, integer, optional_text, optional_time, signed, text, time};
use super::{LedgerTransaction, Repository, idempotency, rights};

/// How long an expired session's row is kept, in milliseconds: one week.
const SESSION_RETENTION_MILLIS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Repository {
    /// The token with this hash, unless it is revoked or expired.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token(&self, hash: &[u8]) -> Result<Option<TokenRow>, RepositoryError> {
        let statement = query(
            "SELECT t.*, h.digests FROM api_tokens t JOIN audit_head h ON h.id = 1
             WHERE t.hash = $1 AND revoked_at IS NULL",
        )
        .bind(hash.to_owned())
        .cached(&["api_tokens"]);
        let found = self.rights(Table::Tokens, statement).await?;
        let token = found.first().map(row).transpose()?;
        let now = Timestamp::now();
        Ok(token.filter(|token| token.expires_at.is_none_or(|end| end > now)))
    }

    /// When the token with this hash expired. `None` if it is unknown, valid, or revoked before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token_expiry(&self, hash: &[u8]) -> Result<Option<Timestamp>, RepositoryError> {
        let found = query(
            "SELECT expires_at FROM api_tokens WHERE hash = $1 AND expires_at <= $2 AND \
                (revoked_at IS NULL OR revoked_at >= expires_at)",
        )
        .bind(hash.to_owned())
        .bind(Timestamp::now().as_millisecond())
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find expired token"))?;
        found.map_or(Ok(None), |row| optional_time(&row, "expires_at"))
    }

    /// A page of valid tokens with ids greater than `after`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn tokens(&self, after: u64, limit: u32) -> Result<Vec<TokenRow>, RepositoryError> {
        let statement = query(
            "SELECT t.*, h.digests FROM api_tokens t JOIN audit_head h ON h.id = 1
             WHERE t.id > $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
             ORDER BY t.id LIMIT $3",
        )
        .bind(signed(after))
        .bind(Timestamp::now().as_millisecond())
        .bind(i64::from(limit));
        let rows = self.rights(Table::Tokens, statement).await?;
        rows.iter().map(row).collect()
    }

    /// The valid token with this name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token_named(&self, name: &str) -> Result<Option<TokenRow>, RepositoryError> {
        let statement = query(
            "SELECT t.*, h.digests FROM api_tokens t JOIN audit_head h ON h.id = 1
             WHERE t.name = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(name.to_owned())
        .bind(Timestamp::now().as_millisecond());
        self.rights(Table::Tokens, statement).await?.first().map(row).transpose()
    }

    /// The newest valid session of a person.
    ///
    /// # Errors
    /// The database failed.
    pub async fn newest_session(&self, user: &str) -> Result<Option<TokenRow>, RepositoryError> {
        let found = query(
            "SELECT * FROM api_tokens WHERE subject = $1 AND kind = 'session' AND \
                subject_kind = 'user' AND revoked_at IS NULL AND (expires_at IS NULL OR \
                expires_at > $2)
             ORDER BY id DESC LIMIT 1",
        )
        .bind(user.to_owned())
        .bind(Timestamp::now().as_millisecond())
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find session"))?;
        found.as_ref().map(row).transpose()
    }

    /// Whether a token with this name (and hash, if given) ever existed, valid or not.
    ///
    /// # Errors
    /// The database failed.
    pub async fn token_existed(
        &self,
        name: &str,
        hash: Option<&[u8]>,
    ) -> Result<bool, RepositoryError> {
        let sql = match hash {
            None => "SELECT 1 FROM api_tokens WHERE name = $1 LIMIT 1",
            Some(_) => "SELECT 1 FROM api_tokens WHERE name = $1 AND hash = $2 LIMIT 1",
        };
        let mut query = query(sql).bind(name.to_owned());
        if let Some(hash) = hash {
            query = query.bind(hash.to_owned());
        }
        let found = query
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find token by name"))?;
        Ok(found.is_some())
    }

    /// Adds a token with its audit event: nobody gets rights without one.
    ///
    /// # Errors
    /// The request was done before, or the database failed.
    pub async fn add_token(
        &self,
        new: &NewToken,
        event: &Event,
    ) -> Result<TokenAdded, ChangeError> {
        let now = Timestamp::now();
        let (new, event) = (new.clone(), event.clone());
        let added = self.transaction(async move |tx| {
            idempotency::refuse_repeated(tx, new.kept.as_ref().map(|it| &it.request)).await?;
            delete_old(tx, &new, now).await?;
            if let Some(id_token) = &new.id_token
                && is_ended(tx, id_token).await?
            {
                return Ok(TokenAdded::IdTokenEnded);
            }
            if !insert(tx, &new, now).await? {
                return Ok(TokenAdded::NameTaken);
            }
            super::audit_events::insert(tx, now, &event).await?;
            if let Some(KeptResponse { request, response }) = &new.kept {
                idempotency::keep_response(tx, request, response.clone(), now).await?;
            }
            Ok(TokenAdded::Added)
        });
        let added = added.await;
        self.reload_rights(Table::Tokens).await;
        added
    }

    /// Revokes a token with its audit event. Returns `false` if it was already revoked.
    ///
    /// # Errors
    /// The request was done before, or the database failed.
    pub async fn revoke_token(
        &self,
        id: u64,
        event: &Event,
        kept: Option<&KeptResponse>,
    ) -> Result<bool, ChangeError> {
        let now = Timestamp::now();
        let (event, kept) = (event.clone(), kept.cloned());
        let revoked = self.transaction(async move |tx| {
            idempotency::refuse_repeated(tx, kept.as_ref().map(|it| &it.request)).await?;
            let valid = query("SELECT * FROM api_tokens WHERE id = $1 AND revoked_at IS NULL")
                .bind(signed(id))
                .fetch_all(tx.connection())
                .await
                .map_err(database("find token to revoke"))?;
            if valid.is_empty() {
                return Ok(false);
            }
            set_revoked(tx, &valid, now.as_millisecond()).await?;
            super::audit_events::insert(tx, now, &event).await?;
            if let Some(KeptResponse { request, response }) = &kept {
                idempotency::keep_response(tx, request, response.clone(), now).await?;
            }
            Ok(true)
        });
        let revoked = revoked.await;
        self.reload_rights(Table::Tokens).await;
        revoked
    }

    /// Records that a token was used, at most once a minute.
    ///
    /// # Errors
    /// The database failed.
    pub async fn record_use(
        &self,
        token: &TokenRow,
        now: Timestamp,
    ) -> Result<(), RepositoryError> {
        let statement = query(
            "UPDATE api_tokens SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS \
            NULL OR last_used_at < $3)",
        )
        .bind(now.as_millisecond())
        .bind(signed(token.id))
        .bind(now.as_millisecond() - 1000 * USE_RESOLUTION_SECONDS);
        self.database.execute(statement).await.map_err(database("record token use"))?;
        Ok(())
    }
}

/// Frees the name of an expired token, and deletes old sessions: the audit log keeps their history.
/// A session that was ended stays as long as its ID token, so that the token makes no other one.
async fn delete_old(
    tx: &mut LedgerTransaction<'_>,
    new: &NewToken,
    now: Timestamp,
) -> Result<(), RepositoryError> {
    let expired = query(
        "SELECT * FROM api_tokens WHERE name = $1 AND revoked_at IS NULL AND expires_at <= $2",
    )
    .bind(new.name.clone())
    .bind(now.as_millisecond())
    .fetch_all(tx.connection())
    .await
    .map_err(database("find expired token"))?;
    for row in expired {
        let at = integer(&row, "expires_at")?;
        set_revoked(tx, &[row], at).await?;
    }
    let gone = query(
        "DELETE FROM api_tokens WHERE kind = 'session' AND expires_at < $1
             AND (revoked_at IS NULL OR id_token_expires_at IS NULL OR id_token_expires_at < $2)
         RETURNING *",
    )
    .bind(now.as_millisecond() - SESSION_RETENTION_MILLIS)
    .bind(now.as_millisecond())
    .fetch_all(tx.connection())
    .await
    .map_err(database("delete old sessions"))?;
    rights::forget(tx, Table::Tokens, &gone)
}

/// Revokes tokens as of a time in milliseconds.
async fn set_revoked(
    tx: &mut LedgerTransaction<'_>,
    tokens: &[Row],
    at: i64,
) -> Result<(), RepositoryError> {
    for before in tokens {
        let mac = rights::mac_before(tx, Table::Tokens, before)?;
        let row = query("UPDATE api_tokens SET revoked_at = $1 WHERE id = $2 RETURNING *")
            .bind(at)
            .bind(integer(before, "id")?)
            .fetch_one(tx.connection())
            .await
            .map_err(database("revoke token"))?;
        rights::sign(tx, Table::Tokens, mac, &row).await?;
    }
    Ok(())
}

/// Whether a session of the ID token was ended by its person or an administrator.
async fn is_ended(
    tx: &mut LedgerTransaction<'_>,
    id_token: &IdTokenRef,
) -> Result<bool, RepositoryError> {
    let ended = query(
        "SELECT 1 FROM api_tokens WHERE id_token_hash = $1 AND revoked_at IS NOT NULL LIMIT 1",
    )
    .bind(id_token.hash.clone())
    .fetch_optional(tx.connection())
    .await
    .map_err(database("find ended session"))?;
    Ok(ended.is_some())
}

/// Inserts the row, unless its name or its hash is taken. Returns whether it did.
async fn insert(
    tx: &mut LedgerTransaction<'_>,
    new: &NewToken,
    now: Timestamp,
) -> Result<bool, RepositoryError> {
    let (role, scope, subject_kind, subject, groups) = match &new.subject {
        TokenSubject::Program { role, scope } => {
            (Some(role.as_str()), scope.as_ref(), "token", &new.name, "[]".to_owned())
        }
        // Strings always serialize.
        TokenSubject::Person { name, groups } => {
            (None, None, "user", name, serde_json::to_string(groups).unwrap_or_default())
        }
        TokenSubject::Workload { name, rules } => {
            (None, None, "workload", name, serde_json::to_string(rules).unwrap_or_default())
        }
    };
    let id_token = new.id_token.as_ref();
    let added = query(
        "INSERT INTO api_tokens (name, kind, subject_kind, subject, groups, role, scope, hash, \
            created_at, created_by, expires_at, id_token_hash, id_token_expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING
         RETURNING *",
    )
    .bind(new.name.clone())
    .bind(new.subject.kind().as_str())
    .bind(subject_kind)
    .bind(subject.clone())
    .bind(groups)
    .bind(role)
    .bind(scope.map_or_else(String::new, ToString::to_string))
    .bind(new.hash.clone())
    .bind(now.as_millisecond())
    .bind(new.by.clone())
    .bind(new.expires_at.map(Timestamp::as_millisecond))
    .bind(id_token.map(|it| it.hash.clone()))
    .bind(id_token.map(|it| it.expires_at.as_millisecond()))
    .fetch_optional(tx.connection())
    .await
    .map_err(database("insert token"))?;
    let Some(row) = added else { return Ok(false) };
    rights::sign(tx, Table::Tokens, None, &row).await?;
    Ok(true)
}

fn row(row: &Row) -> Result<TokenRow, RepositoryError> {
    let form = |column| move || RepositoryError::Form(column);
    let subject = match text(row, "kind")?.as_str() {
        "token" => TokenSubject::Program {
            role: optional_text(row, "role")?
                .and_then(|word| word.parse().ok())
                .ok_or_else(form("role"))?,
            scope: match text(row, "scope")?.as_str() {
                "" => None,
                scope => Some(scope.parse().map_err(|_| RepositoryError::Form("scope"))?),
            },
        },
        "session" => {
            let name = text(row, "subject")?;
            let of = serde_json::from_str(&text(row, "groups")?).map_err(|_| form("groups")())?;
            match text(row, "subject_kind")?.as_str() {
                "user" => TokenSubject::Person { name, groups: of },
                "workload" => TokenSubject::Workload { name, rules: of },
                _ => return Err(RepositoryError::Form("subject_kind")),
            }
        }
        _ => return Err(RepositoryError::Form("kind")),
    };
    Ok(TokenRow {
        id: count(row, "id")?,
        name: text(row, "name")?,
        subject,
        created_at: time(row, "created_at")?,
        created_by: text(row, "created_by")?,
        expires_at: optional_time(row, "expires_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
    })
}
