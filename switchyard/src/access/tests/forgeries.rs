//! Whoever writes the database makes, changes and brings back no right.

use contract::api::{Access as Given, SubjectKind};
use jiff::SignedDuration;
use lockbox::Database;
use lockbox::database::{DatabaseKind, query_built};

use super::{event, grant, new_grant, program, token};
use crate::repository::{Forgery, Repository, RepositoryError, open_signed};

async fn run(repository: &Repository, sql: &str) {
    let mut sql = sql.to_owned();
    // PostgreSQL counts ids itself, unless it is told that somebody knows better.
    if repository.database().kind() == DatabaseKind::Postgres && sql.starts_with("INSERT") {
        sql = sql.replacen(" SELECT ", " OVERRIDING SYSTEM VALUE SELECT ", 1);
    }
    repository.database().execute(query_built(sql)).await.unwrap();
}

/// What was found since the last time, without repetitions.
async fn found(from: &mut tokio::sync::mpsc::Receiver<Forgery>) -> Vec<String> {
    let mut found = Vec::new();
    while let Ok(forgery) = from.try_recv() {
        found.push(forgery.to_string());
    }
    found.sort();
    found.dedup();
    found
}

const GRANT_COLUMNS: &str = "subject_kind, subject, project, environment, service, secret, \
    access, created_at, created_by, expires_at, reach, mac";

pub(super) async fn on(database: Database) {
    let repository = open_signed(database).await;
    let mut forgeries = repository.take_forgeries().unwrap();
    grants(&repository, &mut forgeries).await;
    tokens(&repository, &mut forgeries).await;
}

/// What the service account may read, and what ada may.
async fn counted(repository: &Repository) -> Result<(usize, usize), RepositoryError> {
    let bundles = repository.bundle_grants("shop-prod", "web").await?.len();
    Ok((bundles, repository.grants_of("ada", &["devs".to_owned()]).await?.len()))
}

async fn grants(repository: &Repository, found_in: &mut tokio::sync::mpsc::Receiver<Forgery>) {
    let add = async |kind, name: &str, secret| {
        let new = new_grant(grant(kind, name, "shop.prod.api", secret, Given::Read));
        repository.add_grant(&new, &event()).await.unwrap().id
    };
    let one = add(SubjectKind::ServiceAccount, "shop-prod/web", Some("A")).await;
    let two = add(SubjectKind::User, "ada", Some("A")).await;
    assert_eq!(counted(repository).await.unwrap(), (1, 1));
    assert!(repository.check_rights().await.unwrap());

    // One that was inserted, with another one's MAC too.
    for mac in ["NULL".to_owned(), format!("(SELECT mac FROM grants WHERE id = {one})")] {
        let sql = format!(
            "INSERT INTO grants ({GRANT_COLUMNS}) SELECT subject_kind, subject, project, \
             environment, 'db', '', access, created_at, created_by, expires_at, 'project', {mac} \
             FROM grants WHERE id = {one}"
        );
        run(repository, &sql).await;
        assert_eq!(counted(repository).await.unwrap(), (1, 1), "{mac}");
        assert!(!repository.check_rights().await.unwrap());
        assert_eq!(repository.grants(0, 100).await.unwrap().len(), 2);
        let found = found(found_in).await;
        assert!(
            found.len() == 1 && found[0].contains("not one that switchyard wrote"),
            "{found:?}"
        );
        run(repository, "DELETE FROM grants WHERE service = 'db'").await;
        assert!(repository.check_rights().await.unwrap());
    }

    // One that reaches further, lasts longer, or is somebody else's.
    run(repository, "CREATE TABLE kept_grants AS SELECT * FROM grants").await;
    for change in [
        "service = 'db'",
        "environment = 'dev'",
        "secret = ''",
        "reach = 'project'",
        "subject = 'shop-prod/cron'",
        "expires_at = 9999999999999",
        "access = 'owner'",
    ] {
        run(repository, &format!("UPDATE grants SET {change} WHERE id = {one}")).await;
        assert_eq!(counted(repository).await.unwrap(), (0, 1), "{change}");
        let cron = repository.bundle_grants("shop-prod", "cron").await.unwrap();
        assert!(cron.is_empty() && !repository.check_rights().await.unwrap(), "{change}");
        let found = found(found_in).await;
        assert!(found.iter().any(|it| it.starts_with(&format!("grant {one}:"))), "{found:?}");
        let back = format!(
            "UPDATE grants SET ({GRANT_COLUMNS}) = (SELECT {GRANT_COLUMNS} FROM kept_grants k \
             WHERE k.id = {one}) WHERE id = {one}"
        );
        run(repository, &back).await;
        assert_eq!(counted(repository).await.unwrap(), (1, 1), "{change}");
    }

    // One that was revoked, and is put back byte for byte.
    assert!(repository.remove_grant(two, &event(), None).await.unwrap());
    assert_eq!(counted(repository).await.unwrap(), (1, 0));
    assert!(found(found_in).await.is_empty());
    let back = format!(
        "INSERT INTO grants (id, {GRANT_COLUMNS}) SELECT id, {GRANT_COLUMNS} FROM kept_grants \
         WHERE id = {two}"
    );
    run(repository, &back).await;
    assert_eq!(counted(repository).await.unwrap(), (1, 0));
    let reported = found(found_in).await;
    assert!(reported[0].contains("an older one that was put back"), "{reported:?}");
    assert!(!repository.check_rights().await.unwrap());
    // A process that did not see it before has nothing to go by, and gives nothing.
    assert_eq!(found(found_in).await.len(), 1);
    run(repository, &format!("DELETE FROM grants WHERE id = {two}")).await;

    // One that was removed: those that are left still count.
    run(repository, &format!("DELETE FROM grants WHERE id = {one}")).await;
    assert_eq!(counted(repository).await.unwrap(), (0, 0));
    assert!(!repository.check_rights().await.unwrap());
    let removed = "ledger grants: rows were removed from the table, changed, or put back";
    assert_eq!(found(found_in).await, [removed]);
    let back = back.replace(&format!("id = {two}"), &format!("id = {one}"));
    run(repository, &back).await;
    assert!(repository.check_rights().await.unwrap());
    assert_eq!(counted(repository).await.unwrap(), (1, 0));
}

async fn tokens(repository: &Repository, found_in: &mut tokio::sync::mpsc::Receiver<Forgery>) {
    let hour = SignedDuration::from_hours(1);
    for (name, hash) in [("ci", 1), ("cd", 2)] {
        let new = token(name, hash, program(), hour);
        repository.add_token(&new, &event()).await.unwrap();
    }
    let valid = async |hash: u8| repository.token(&[hash; 32]).await.map(|it| it.is_some());
    assert!(valid(1).await.unwrap() && valid(2).await.unwrap());
    run(repository, "CREATE TABLE kept_tokens AS SELECT * FROM api_tokens").await;
    let columns = "name, kind, subject_kind, subject, groups, role, scope, hash, created_at, \
        created_by, expires_at, revoked_at, mac";
    let back = format!(
        "UPDATE api_tokens SET ({columns}) = (SELECT {columns} FROM kept_tokens k WHERE k.id = \
         api_tokens.id) WHERE name IN ('ci', 'x')"
    );

    for change in [
        "role = 'owner'",
        "scope = ''",
        "expires_at = NULL",
        "kind = 'session', subject = 'root', groups = '[\"admins\"]'",
        "name = 'x'",
        "mac = NULL",
    ] {
        run(repository, &format!("UPDATE api_tokens SET {change} WHERE name = 'ci'")).await;
        assert!(!valid(1).await.unwrap(), "{change}");
        assert!(valid(2).await.unwrap(), "{change}");
        assert!(!repository.check_rights().await.unwrap() && valid(2).await.unwrap(), "{change}");
        assert!(!found(found_in).await.is_empty(), "{change}");
        run(repository, &back).await;
        assert!(valid(1).await.unwrap() && repository.check_rights().await.unwrap(), "{change}");
    }
    // A hash that somebody knows the token of, in a row that is there and in a new one.
    let same = "(SELECT hash FROM kept_tokens WHERE name = 'ci')";
    run(repository, &format!("UPDATE api_tokens SET hash = {same}, name = 'y' WHERE name = 'ci'"))
        .await;
    assert!(!valid(1).await.unwrap());
    run(repository, "UPDATE api_tokens SET name = 'ci' WHERE name = 'y'").await;
    let inserted = "INSERT INTO api_tokens (name, kind, subject_kind, subject, groups, role, \
        scope, hash, created_at, created_by, mac) SELECT 'evil', kind, subject_kind, 'evil', \
        groups, \
        'owner', '', id_hash, created_at, created_by, mac FROM \
        (SELECT t.*, o.hash AS id_hash FROM kept_tokens t JOIN other o ON 1 = 1) k \
        WHERE k.name = 'ci'";
    run(repository, "CREATE TABLE other AS SELECT hash FROM api_tokens WHERE name = 'cd'").await;
    run(repository, "DELETE FROM api_tokens WHERE name = 'cd'").await;
    run(repository, inserted).await;
    assert!(!valid(2).await.unwrap());
    assert!(repository.token_named("evil").await.unwrap().is_none());
    run(repository, "DELETE FROM api_tokens WHERE name = 'evil'").await;
    let _ = found(found_in).await;
    assert!(!repository.check_rights().await.unwrap());
    assert!(found(found_in).await[0].starts_with("ledger api_tokens: rows were removed"));
    let restored = "INSERT INTO api_tokens SELECT * FROM kept_tokens WHERE name = 'cd'";
    run(repository, restored).await;
    assert!(repository.check_rights().await.unwrap() && valid(2).await.unwrap());

    // A revocation that is taken back, in the row alone and byte for byte.
    let row = repository.token_named("ci").await.unwrap().unwrap();
    assert!(repository.revoke_token(row.id, &event(), None).await.unwrap());
    assert!(!valid(1).await.unwrap() && found(found_in).await.is_empty());
    run(repository, "UPDATE api_tokens SET revoked_at = NULL WHERE name = 'ci'").await;
    assert!(!valid(1).await.unwrap());
    assert!(found(found_in).await[0].contains("token ci: its row is not one"));
    run(repository, &back).await;
    assert!(!valid(1).await.unwrap() && !found(found_in).await.is_empty());
    assert!(!repository.check_rights().await.unwrap() && !valid(1).await.unwrap());
    // The others go on until the table changes again; then nobody can tell which one was put back.
    assert!(valid(2).await.unwrap());
    let new = token("more", 3, program(), hour);
    repository.add_token(&new, &event()).await.unwrap();
    assert!(matches!(valid(2).await, Err(RepositoryError::Forged(_))));
    // What was not right is put right.
    run(repository, "DELETE FROM api_tokens WHERE name = 'ci'").await;
    assert!(!repository.check_rights().await.unwrap());
}
