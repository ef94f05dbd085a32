//! Tokens of the API and sessions, as hashes.

use contract::Scope;
use contract::api::{Role, TokenKind};
use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::super::RepositoryError;
use super::Repository;
use super::rows::{count, database, optional_text, optional_time, signed, text, time};
use crate::audit::Event;

/// How exact `last_used_at` is: a token that is used all the time costs one write a minute.
const USE_SECONDS: i64 = 60;

/// How long a session's row stays after its end, in milliseconds: a week.
const SESSIONS_KEPT: i64 = 7 * 24 * 60 * 60 * 1000;

/// A token that is valid now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whose it is, and what it may do.
    pub holder: Holder,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A program's, with a role of its own.
    Program {
        /// What it may do.
        role: Role,
        /// Where; everywhere where it is absent.
        scope: Option<Scope>,
    },
    /// The session of a person.
    Person {
        /// The name by which the identity provider knows the person.
        name: String,
        /// The person's groups.
        groups: Vec<String>,
    },
}

impl Holder {
    /// The word for it.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        match self {
            Self::Program { .. } => TokenKind::Token,
            Self::Person { .. } => TokenKind::Session,
        }
    }
}

/// A token to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub holder: Holder,
    /// The hash of its text.
    pub hash: Vec<u8>,
    /// When it ends, if it does.
    pub expires_at: Option<Timestamp>,
    /// Who makes it.
    pub by: String,
}

impl Repository {
    /// The token with this hash, if it is neither revoked nor past its time.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn token(&self, hash: &[u8]) -> Result<Option<TokenRow>, RepositoryError> {
        let found =
            sqlx::query("SELECT * FROM api_tokens WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)")
                .bind(hash.to_owned())
                .bind(Timestamp::now().as_millisecond())
                .fetch_optional(self.database.reader())
                .await
                .map_err(database("find token"))?;
        found.as_ref().map(row).transpose()
    }

    /// The tokens that are valid now, in the order of their numbers, after the one of number
    /// `after`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn tokens(&self, after: u64, limit: u32) -> Result<Vec<TokenRow>, RepositoryError> {
        let rows = sqlx::query(
            "SELECT * FROM api_tokens WHERE id > $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
             ORDER BY id LIMIT $3",
        )
        .bind(signed(after))
        .bind(Timestamp::now().as_millisecond())
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list tokens"))?;
        rows.iter().map(row).collect()
    }

    /// The valid token of this name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn token_named(&self, name: &str) -> Result<Option<TokenRow>, RepositoryError> {
        let found =
            sqlx::query("SELECT * FROM api_tokens WHERE name = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)")
                .bind(name.to_owned())
                .bind(Timestamp::now().as_millisecond())
                .fetch_optional(self.database.reader())
                .await
                .map_err(database("find token by name"))?;
        found.as_ref().map(row).transpose()
    }

    /// Whether there ever was a token of this name, or with this hash, valid or not.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn knew_token(
        &self,
        name: &str,
        hash: Option<&[u8]>,
    ) -> Result<bool, RepositoryError> {
        let sql = match hash {
            None => "SELECT 1 FROM api_tokens WHERE name = $1 LIMIT 1",
            Some(_) => "SELECT 1 FROM api_tokens WHERE name = $1 AND hash = $2 LIMIT 1",
        };
        let mut query = sqlx::query(sql).bind(name.to_owned());
        if let Some(hash) = hash {
            query = query.bind(hash.to_owned());
        }
        let found = query
            .fetch_optional(self.database.reader())
            .await
            .map_err(database("find token by name"))?;
        Ok(found.is_some())
    }

    /// Adds a token, and writes down that it was. `false` where a valid one has the name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn add_token(
        &self,
        new: &NewToken,
        event: Option<&Event>,
    ) -> Result<bool, RepositoryError> {
        let now = Timestamp::now();
        let mut open = self.begin().await?;
        // What is past its time gives its name back.
        sqlx::query("UPDATE api_tokens SET revoked_at = expires_at WHERE name = $1 AND revoked_at IS NULL AND expires_at <= $2")
            .bind(new.name.clone())
            .bind(now.as_millisecond())
            .execute(open.run())
            .await
            .map_err(database("release name of token"))?;
        // The trail remembers sessions; these rows are for as long as somebody may ask what they
        // were.
        sqlx::query("DELETE FROM api_tokens WHERE kind = 'session' AND expires_at < $1")
            .bind(now.as_millisecond() - SESSIONS_KEPT)
            .execute(open.run())
            .await
            .map_err(database("delete old sessions"))?;
        let (role, scope, subject_kind, subject, groups) = match &new.holder {
            Holder::Program { role, scope } => {
                (Some(role.as_str()), scope.as_ref(), "token", &new.name, "[]".to_owned())
            }
            // Texts always become JSON.
            Holder::Person { name, groups } => {
                (None, None, "user", name, serde_json::to_string(groups).unwrap_or_default())
            }
        };
        let added = sqlx::query(
            "INSERT INTO api_tokens (name, kind, subject_kind, subject, groups, role, scope, hash, created_at, created_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        )
        .bind(new.name.clone())
        .bind(new.holder.kind().as_str())
        .bind(subject_kind)
        .bind(subject.clone())
        .bind(groups)
        .bind(role)
        .bind(scope.map_or_else(String::new, ToString::to_string))
        .bind(new.hash.clone())
        .bind(now.as_millisecond())
        .bind(new.by.clone())
        .bind(new.expires_at.map(Timestamp::as_millisecond))
        .execute(open.run())
        .await
        .map_err(database("insert token"))?
        .rows_affected();
        if added == 0 {
            return Ok(false);
        }
        if let Some(event) = event {
            super::audit::insert(&mut open, now, event).await?;
        }
        open.commit().await?;
        Ok(true)
    }

    /// Revokes a token, and writes that down. `false` where it was not valid any more.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn revoke_token(&self, id: u64, event: &Event) -> Result<bool, RepositoryError> {
        let now = Timestamp::now();
        let mut open = self.begin().await?;
        let revoked = sqlx::query(
            "UPDATE api_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
        )
        .bind(now.as_millisecond())
        .bind(signed(id))
        .execute(open.run())
        .await
        .map_err(database("revoke token"))?
        .rows_affected();
        if revoked == 0 {
            return Ok(false);
        }
        super::audit::insert(&mut open, now, event).await?;
        open.commit().await?;
        Ok(true)
    }

    /// Notes that a token was used, unless that was noted within the last minute.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn note_use(&self, token: &TokenRow, now: Timestamp) -> Result<(), RepositoryError> {
        sqlx::query("UPDATE api_tokens SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $3)")
            .bind(now.as_millisecond())
            .bind(signed(token.id))
            .bind(now.as_millisecond() - 1000 * USE_SECONDS)
            .execute(self.database.writer())
            .await
            .map_err(database("note use of token"))?;
        Ok(())
    }
}

impl TokenRow {
    /// Whether its use has to be noted at `now`.
    #[must_use]
    pub fn is_used_anew(&self, now: Timestamp) -> bool {
        self.last_used_at
            .is_none_or(|last| now.as_second().saturating_sub(last.as_second()) >= USE_SECONDS)
    }
}

fn row(row: &AnyRow) -> Result<TokenRow, RepositoryError> {
    let form = |column| move || RepositoryError::Form(column);
    let holder = match text(row, "kind")?.as_str() {
        "token" => Holder::Program {
            role: optional_text(row, "role")?
                .and_then(|word| word.parse().ok())
                .ok_or_else(form("role"))?,
            scope: match text(row, "scope")?.as_str() {
                "" => None,
                scope => Some(scope.parse().map_err(|_| RepositoryError::Form("scope"))?),
            },
        },
        "session" => Holder::Person {
            name: text(row, "subject")?,
            groups: serde_json::from_str(&text(row, "groups")?)
                .map_err(|_| RepositoryError::Form("groups"))?,
        },
        _ => return Err(RepositoryError::Form("kind")),
    };
    Ok(TokenRow {
        id: count(row, "id")?,
        name: text(row, "name")?,
        holder,
        created_at: time(row, "created_at")?,
        created_by: text(row, "created_by")?,
        expires_at: optional_time(row, "expires_at")?,
        last_used_at: optional_time(row, "last_used_at")?,
    })
}
