//! Who read a secret: its own read events, and those of bundles whose generation held it.

use contract::{Generation, Scope, SecretName, SecretRef, Version};
use jiff::Timestamp;
use lockbox::database::query;

use super::super::RepositoryError;
use super::Repository;
use super::audit_events;
use super::rows::{
    columns, count, database, integer, optional_count, scope as scope_of, secret_ref, signed,
};

/// In which generations a bundle held a secret, and in which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The bundle's service scope.
    pub bundle: Scope,
    /// The bundle's member that is or was the secret, or that its value is a part of.
    pub member: SecretRef,
    /// The first generation.
    pub first: Generation,
    /// The generation that no longer held it, if there is one.
    pub end: Option<Generation>,
    /// The version.
    pub version: Version,
}

impl Membership {
    /// Whether it is of this generation.
    #[must_use]
    pub fn holds_in(&self, generation: Generation) -> bool {
        self.first <= generation && self.end.is_none_or(|end| generation < end)
    }
}

/// Which read events to find, newest first.
#[derive(Clone, Debug)]
pub struct ReadQuery {
    /// The scope of the events' resource.
    pub scope: Scope,
    /// `secret` or `bundle`.
    pub resource_type: &'static str,
    /// The name of the resource.
    pub resource: String,
    /// Only events with a greater number.
    pub after: u64,
    /// Only events with a smaller number.
    pub before: u64,
    /// Only of this kind of actor.
    pub actor_type: Option<&'static str>,
    /// Only events from then on.
    pub since: Option<Timestamp>,
    /// Only events before.
    pub until: Option<Timestamp>,
    /// The maximum number of results.
    pub limit: u32,
}

/// The index `audit_events_of_a_resource` has the events of one resource and action in order.
const READS: &str = "SELECT * FROM audit_events WHERE scope = $1 AND resource_id = $2 \
    AND sequence > $3 AND sequence < $4 AND resource_type = $5 AND action = 'read' \
    AND outcome = 'allowed' AND ($6 = '' OR actor_type = $6) AND at >= $7 AND at < $8
    ORDER BY sequence DESC LIMIT $9";

impl Repository {
    /// The id of a secret, deleted or not.
    ///
    /// # Errors
    /// The database failed.
    pub async fn secret_id(
        &self,
        of: &Scope,
        name: &SecretName,
    ) -> Result<Option<i64>, RepositoryError> {
        let [project, environment, service] = columns(of);
        let row = query(
            "SELECT id FROM secrets WHERE project = $1 AND environment = $2 AND service = $3 \
                AND name = $4",
        )
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(name.as_str())
        .fetch_optional(self.database.reader())
        .await
        .map_err(database("find secret"))?;
        row.map(|row| integer(&row, "id")).transpose()
    }

    /// The bundles that held a secret, and when: all of them, or one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn memberships(
        &self,
        secret: i64,
        bundle: Option<&Scope>,
        limit: u32,
    ) -> Result<Vec<Membership>, RepositoryError> {
        let [project, environment, service] = bundle.map(columns).unwrap_or_default();
        let rows = query(
            "SELECT b.id, m.first_generation, m.end_generation, m.version, b.project, \
                 b.environment, b.service, s.project AS member_project, \
                 s.environment AS member_environment, s.service AS member_service, \
                 s.name AS member_name
             FROM bundle_members m JOIN bundles b ON b.id = m.bundle_id
             JOIN secrets s ON s.id = m.secret_id
             WHERE m.secret_id = $1
               AND ($2 = '' OR (b.project = $2 AND b.environment = $3 AND b.service = $4))
             UNION ALL
             SELECT b.id, m.first_generation, m.end_generation, t.version, b.project, \
                 b.environment, b.service, s.project, s.environment, s.service, s.name
             FROM member_targets t JOIN bundles b ON b.id = t.bundle_id
             JOIN bundle_members m ON m.bundle_id = t.bundle_id AND m.name = t.name
                 AND m.first_generation = t.first_generation
             JOIN secrets s ON s.id = m.secret_id
             WHERE t.secret_id = $1
               AND ($2 = '' OR (b.project = $2 AND b.environment = $3 AND b.service = $4))
             ORDER BY 1, 2 LIMIT $5",
        )
        .bind(secret)
        .bind(project)
        .bind(environment)
        .bind(service)
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await
        .map_err(database("find bundles of secret"))?;
        rows.iter()
            .map(|row| {
                Ok(Membership {
                    bundle: scope_of(row)?,
                    member: secret_ref(row, "member")?,
                    first: Generation(count(row, "first_generation")?),
                    end: optional_count(row, "end_generation")?.map(Generation),
                    version: Version(count(row, "version")?),
                })
            })
            .collect()
    }

    /// The newest read events of one resource.
    ///
    /// # Errors
    /// The database failed.
    pub async fn reads(&self, of: &ReadQuery) -> Result<Vec<audit::Record>, RepositoryError> {
        let time = |at: Option<Timestamp>, none| at.map_or(none, Timestamp::as_millisecond);
        let rows = query(READS)
            .bind(of.scope.to_string())
            .bind(of.resource.clone())
            .bind(signed(of.after))
            .bind(signed(of.before))
            .bind(of.resource_type)
            .bind(of.actor_type.unwrap_or_default())
            .bind(time(of.since, i64::MIN))
            .bind(time(of.until, i64::MAX))
            .bind(i64::from(of.limit))
            .fetch_all(self.database.reader())
            .await
            .map_err(database("find reads of secret"))?;
        rows.iter().map(audit_events::row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_reads_of_one_resource_are_found_by_an_index() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        let repository =
            Repository::open(lockbox::Database::open(&path).await.unwrap()).await.unwrap();
        drop(repository);
        let database = rusqlite::Connection::open(&path).unwrap();
        let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {READS}")).unwrap();
        let nothing: [Option<i64>; 9] = [None; 9];
        let steps: Vec<String> = plan
            .query_map(rusqlite::params_from_iter(nothing), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let steps = steps.join("; ");
        let index = "SEARCH audit_events USING INDEX audit_events_of_a_resource (scope=? AND \
            resource_id=? AND action=? AND sequence>? AND sequence<?)";
        assert_eq!(steps, index);
    }
}
