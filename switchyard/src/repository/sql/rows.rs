//! Conversions between columns and validated types.

use contract::api::VersionState;
use contract::metadata::{Notes, SecretMetadata, Tags};
use contract::{Scope, SecretName, SecretRef, Version};
use jiff::Timestamp;
use lockbox::database::{DatabaseError, Row};
use lockbox::{Reference, StoredVersion};
use uuid::Uuid;

use super::super::RepositoryError;
use crate::references::ValueReferences;

pub(super) fn database(step: &'static str) -> impl Fn(DatabaseError) -> RepositoryError {
    move |source| RepositoryError::Database { step, source }
}

pub(super) fn text(row: &Row, column: &'static str) -> Result<String, RepositoryError> {
    row.try_get(column).map_err(database(column))
}

pub(super) fn optional_text(
    row: &Row,
    column: &'static str,
) -> Result<Option<String>, RepositoryError> {
    row.try_get(column).map_err(database(column))
}

pub(super) fn integer(row: &Row, column: &'static str) -> Result<i64, RepositoryError> {
    row.try_get(column).map_err(database(column))
}

pub(super) fn optional_integer(
    row: &Row,
    column: &'static str,
) -> Result<Option<i64>, RepositoryError> {
    row.try_get(column).map_err(database(column))
}

pub(super) fn bytes(row: &Row, column: &'static str) -> Result<Vec<u8>, RepositoryError> {
    row.try_get(column).map_err(database(column))
}

/// A non-negative integer column.
pub(super) fn count(row: &Row, column: &'static str) -> Result<u64, RepositoryError> {
    u64::try_from(integer(row, column)?).map_err(|_| RepositoryError::Form(column))
}

pub(super) fn optional_count(
    row: &Row,
    column: &'static str,
) -> Result<Option<u64>, RepositoryError> {
    let number: Option<i64> = row.try_get(column).map_err(database(column))?;
    number
        .map(|number| u64::try_from(number).map_err(|_| RepositoryError::Form(column)))
        .transpose()
}

pub(super) fn time(row: &Row, column: &'static str) -> Result<Timestamp, RepositoryError> {
    Timestamp::from_millisecond(integer(row, column)?).map_err(|_| RepositoryError::Form(column))
}

pub(super) fn optional_time(
    row: &Row,
    column: &'static str,
) -> Result<Option<Timestamp>, RepositoryError> {
    let number: Option<i64> = row.try_get(column).map_err(database(column))?;
    number
        .map(|number| {
            Timestamp::from_millisecond(number).map_err(|_| RepositoryError::Form(column))
        })
        .transpose()
}

pub(super) fn name(row: &Row) -> Result<SecretName, RepositoryError> {
    text(row, "name")?.parse().map_err(|_| RepositoryError::Form("name"))
}

/// The version and reference from the columns `version` and `vault_ref`.
pub(super) fn stored(row: &Row) -> Result<StoredVersion, RepositoryError> {
    Ok(StoredVersion {
        version: Version(count(row, "version")?),
        reference: Reference::new(text(row, "vault_ref")?),
    })
}

/// The scope from the columns `project`, `environment` and `service`.
pub(super) fn scope(row: &Row) -> Result<Scope, RepositoryError> {
    let label = |text: String| match text.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| RepositoryError::Form("scope")),
    };
    let project = label(text(row, "project")?)?.ok_or(RepositoryError::Form("project"))?;
    Scope::new(project, label(text(row, "environment")?)?, label(text(row, "service")?)?)
        .ok_or(RepositoryError::Form("scope"))
}

/// What tells a new row apart from every other one that has, had or will have its number.
pub(super) fn random_tag() -> String {
    let mut tag = Uuid::new_v4().simple().to_string();
    // The end of the text is random, and half of it is enough.
    tag.split_off(16)
}

/// Converts for storage. No counter here comes near the sign bit.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns of a scope. Absent parts are ''.
pub(super) fn columns(scope: &Scope) -> [String; 3] {
    let part = |label: Option<&contract::Label>| {
        label.map_or_else(String::new, |label| label.as_str().to_owned())
    };
    [scope.project().as_str().to_owned(), part(scope.environment()), part(scope.service())]
}

/// The column `tags`.
pub(super) fn tags(row: &Row) -> Result<Tags, RepositoryError> {
    match text(row, "tags")?.as_str() {
        "{}" => Ok(Tags::new()),
        tags => serde_json::from_str(tags).map_err(|_| RepositoryError::Form("tags")),
    }
}

/// The columns `message`, `expires_at`, `tags` and `notes`.
pub(super) fn metadata(row: &Row) -> Result<SecretMetadata, RepositoryError> {
    let message = optional_text(row, "message")?.map(|text| text.parse());
    let notes = optional_text(row, "notes")?.map(|text| text.parse::<Notes>());
    Ok(SecretMetadata {
        message: message.transpose().map_err(|_| RepositoryError::Form("message"))?,
        expires_at: optional_time(row, "expires_at")?,
        tags: tags(row)?,
        notes: notes.transpose().map_err(|_| RepositoryError::Form("notes"))?,
    })
}

/// The column `refs`.
pub(super) fn references(row: &Row) -> Result<Option<ValueReferences>, RepositoryError> {
    let text = optional_text(row, "refs")?;
    text.map(|text| text.parse().map_err(|()| RepositoryError::Form("refs"))).transpose()
}

/// The secret that the columns with this prefix name.
pub(super) fn secret_ref(row: &Row, prefix: &str) -> Result<SecretRef, RepositoryError> {
    optional_secret_ref(row, prefix)?.ok_or(RepositoryError::Form("secret"))
}

/// The secret that the columns with this prefix name, if they do.
pub(super) fn optional_secret_ref(
    row: &Row,
    prefix: &str,
) -> Result<Option<SecretRef>, RepositoryError> {
    let column = |column: &str| -> Result<Option<String>, RepositoryError> {
        row.try_get(&format!("{prefix}_{column}")).map_err(database("secret"))
    };
    let scope = [column("project")?, column("environment")?, column("service")?];
    let scope: Vec<String> = scope.into_iter().flatten().filter(|it| !it.is_empty()).collect();
    let text = column("name")?.map(|name| format!("{}/{name}", scope.join(".")));
    text.map(|text| text.parse().map_err(|_| RepositoryError::Form("secret"))).transpose()
}

/// Parses the column `rotation_status`.
pub(super) fn state(word: &str) -> Result<VersionState, RepositoryError> {
    match word {
        "pending" => Ok(VersionState::Pending),
        "active" => Ok(VersionState::Active),
        "archived" => Ok(VersionState::Archived),
        "destroyed" => Ok(VersionState::Destroyed),
        _ => Err(RepositoryError::Form("rotation_status")),
    }
}
