//! Queries over the secrets of many scopes, in the order of their scopes and names.

use contract::Scope;
use contract::metadata::Tag;
use jiff::Timestamp;
use lockbox::database::{Row, query, query_built};

use super::super::{RepositoryError, ScopedSecret, SearchQuery};
use super::Repository;
use super::last_reads::unused_since;
use super::rows::{columns, count, database, scope};
use super::secrets::{LISTED_COLUMNS, LISTED_TABLES, secret};

impl Repository {
    /// A page of the secrets that a search finds.
    ///
    /// # Errors
    /// The database failed.
    pub async fn search(&self, search: &SearchQuery) -> Result<Vec<ScopedSecret>, RepositoryError> {
        let [project, environment, service] =
            search.within.as_ref().map(columns).unwrap_or_default();
        let (after_scope, after_name) = match &search.after {
            Some((scope, name)) => (columns(scope), name.as_str().to_owned()),
            None => Default::default(),
        };
        let [after_project, after_environment, after_service] = after_scope;
        let tag = |at: usize| search.tags.get(at).map(tag_pattern).unwrap_or_default();
        let rows = query_built(format!(
            r"SELECT s.project, s.environment, s.service, {LISTED_COLUMNS}
             FROM {LISTED_TABLES}
             WHERE s.deleted_at IS NULL
               AND ($1 = '' OR s.project = $1) AND ($2 = '' OR s.environment = $2)
               AND ($3 = '' OR s.service = $3)
               AND (s.project, s.environment, s.service, s.name) > ($4, $5, $6, $7)
               AND ($8 = '' OR lower(s.name) LIKE $8 ESCAPE '\')
               AND ($9 = '' OR s.tags LIKE $9 ESCAPE '\')
               AND ($10 = '' OR s.tags LIKE $10 ESCAPE '\')
               AND ($11 = '' OR s.tags LIKE $11 ESCAPE '\')
               AND ($12 = '' OR s.tags LIKE $12 ESCAPE '\')
               AND ($13 = 0 OR v.expires_at < $14) AND {}
             ORDER BY s.project, s.environment, s.service, s.name LIMIT $15",
            unused_since(16, 17)
        ))
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(after_project)
        .bind(after_environment)
        .bind(after_service)
        .bind(after_name)
        .bind(name_pattern(&search.name))
        .bind(tag(0))
        .bind(tag(1))
        .bind(tag(2))
        .bind(tag(3))
        .bind(i64::from(search.expiring_before.is_some()))
        .bind(search.expiring_before.map_or(0, Timestamp::as_millisecond))
        .bind(i64::from(search.limit))
        .bind(i64::from(search.unused_since.is_some()))
        .bind(search.unused_since.map_or(0, Timestamp::as_millisecond))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("search secrets"))?;
        let found = |row: &Row| Ok(ScopedSecret { scope: scope(row)?, secret: secret(row)? });
        rows.iter().map(found).collect()
    }

    /// A page of the scopes that have secrets, and how many: of `within` and below, or all.
    ///
    /// # Errors
    /// The database failed.
    pub async fn scopes(
        &self,
        within: Option<&Scope>,
        after: Option<&Scope>,
        limit: u32,
    ) -> Result<Vec<(Scope, u64)>, RepositoryError> {
        let [project, environment, service] = within.map(columns).unwrap_or_default();
        let [after_project, after_environment, after_service] =
            after.map(columns).unwrap_or_default();
        let rows = query(
            "SELECT project, environment, service, count(*) AS held FROM secrets
             WHERE deleted_at IS NULL AND ($1 = '' OR project = $1)
               AND ($2 = '' OR environment = $2) AND ($3 = '' OR service = $3)
               AND (project, environment, service) > ($4, $5, $6)
             GROUP BY project, environment, service
             ORDER BY project, environment, service LIMIT $7",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(after_project)
        .bind(after_environment)
        .bind(after_service)
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("list scopes"))?;
        rows.iter().map(|row| Ok((scope(row)?, count(row, "held")?))).collect()
    }
}

/// What contains the text. `_` stands for any character in a pattern, and `%` is in no name.
fn pattern(text: &str) -> String {
    format!("%{}%", text.replace('_', r"\_"))
}

fn name_pattern(text: &str) -> String {
    if text.is_empty() { String::new() } else { pattern(&text.to_ascii_lowercase()) }
}

/// What the column `tags` has of a secret with this tag. SQLite compares without case, so whoever
/// asks compares again.
fn tag_pattern(Tag { key, value }: &Tag) -> String {
    match value {
        Some(value) => pattern(&format!("\"{key}\":\"{value}\"")),
        None => pattern(&format!("\"{key}\":")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_text_alone() {
        let tag = |text: &str| tag_pattern(&text.parse().unwrap());
        assert_eq!(name_pattern(""), "");
        assert_eq!(name_pattern("DB_url"), r"%db\_url%");
        assert_eq!(tag("team=a_b"), r#"%"team":"a\_b"%"#);
        assert_eq!((tag("pci").as_str(), tag("pci=").as_str()), (r#"%"pci":%"#, r#"%"pci":""%"#));
    }
}
