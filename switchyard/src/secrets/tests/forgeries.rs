//! Whoever writes the database gets no value of one secret as that of another.

use contract::stream::HeldBundle;
use lockbox::database::query_built;

use super::*;
use crate::policy::MemberFilter;
use crate::repository::{Forgery, RepositoryError};

impl SecretsFixture {
    async fn run(&self, sql: &str) {
        self.database.execute(query_built(sql.to_owned())).await.unwrap();
    }

    async fn set(&self, scope: &str, name: &str, value: &str) -> Result<Written, SecretsError> {
        let (scope, mut request) = (scope.parse().unwrap(), WriteRequest::default());
        let value = NewValue::new(Redacted::from(value.to_owned()));
        request.secrets.insert(name.parse().unwrap(), value);
        let options = WriteOptions::default();
        self.secrets.write(&caller(), &scope, &request, |_| Condition::None, &options).await
    }

    async fn get(&self, scope: &str, name: &str) -> Result<String, SecretsError> {
        let (scope, name) = (scope.parse().unwrap(), name.parse().unwrap());
        let read = self.secrets.read(&caller(), (&scope, &name), ReadForm::Resolved, None).await?;
        Ok(String::from_utf8(read.value.value.expose().to_vec()).unwrap())
    }

    /// What a pod of the service gets.
    async fn deliver(&self, scope: &str) -> Result<HeldBundle, SecretsError> {
        let scope = scope.parse().unwrap();
        let bundle = self.secrets.repository.bundle(&scope).await?.unwrap();
        self.secrets.open(&bundle, bundle.rollout.stable, &MemberFilter::everything()).await
    }

    async fn is_right(&self) -> bool {
        self.secrets.repository.check_ledger().await.unwrap()
    }
}

fn forged<T: std::fmt::Debug>(result: Result<T, SecretsError>) -> Forgery {
    match result {
        Err(
            SecretsError::Repository(RepositoryError::Forged(forgery))
            | SecretsError::Change(ChangeError::Repository(RepositoryError::Forged(forgery))),
        ) => forgery,
        other => panic!("{other:?}"),
    }
}

const WEB: &str = "shop.prod.web";
const API: &str = "shop.prod.api";

pub(super) async fn a_bundle_that_somebody_changed_is_not_delivered(fixture: SecretsFixture) {
    fixture.set(API, "DATABASE_URL", "postgres://api").await.unwrap();
    fixture.set(WEB, "A", "one").await.unwrap();
    fixture.set(WEB, "A", "two").await.unwrap();
    fixture.set(WEB, "B", "b").await.unwrap();
    assert!(fixture.is_right().await);
    assert_eq!(fixture.deliver(WEB).await.unwrap().secrets.len(), 2);

    let web = "(SELECT id FROM bundles WHERE service = 'web')";
    let api_secret = "(SELECT id FROM secrets WHERE service = 'api')";
    let insert = format!(
        "INSERT INTO bundle_members (bundle_id, name, first_generation, secret_id, version) \
         VALUES ({web}, 'DATABASE_URL', 3, {api_secret}, 1)"
    );
    for (changes, undo) in [
        // Another bundle's secret, alone and with what counts them.
        (
            vec![insert.as_str()],
            vec![
                "DELETE FROM bundle_members WHERE name = 'DATABASE_URL' AND \
            first_generation = 3",
            ],
        ),
        (
            vec![
                insert.as_str(),
                "UPDATE bundles SET secrets = 3 WHERE service = 'web'",
                "UPDATE generations SET secrets = 3 WHERE number = 3",
            ],
            vec![
                "DELETE FROM bundle_members WHERE name = 'DATABASE_URL' AND first_generation = 3",
                "UPDATE bundles SET secrets = 2 WHERE service = 'web'",
                "UPDATE generations SET secrets = 2 WHERE number = 3",
            ],
        ),
        // An older version, one secret for another, and one less.
        (
            vec!["UPDATE bundle_members SET version = 1 WHERE name = 'A' AND first_generation = 2"],
            vec!["UPDATE bundle_members SET version = 2 WHERE name = 'A' AND first_generation = 2"],
        ),
        (
            vec![
                "UPDATE bundle_members SET end_generation = 3 WHERE name = 'A' AND \
                first_generation = 2",
            ],
            vec![
                "UPDATE bundle_members SET end_generation = NULL WHERE name = 'A' AND \
                first_generation = 2",
            ],
        ),
        // The members of another generation.
        (
            vec![
                "UPDATE bundles SET stable_generation = 1, revision = revision + 1 WHERE service \
                = 'web'",
            ],
            vec!["UPDATE bundles SET stable_generation = 3 WHERE service = 'web'"],
        ),
        (
            vec!["UPDATE generations SET mac = NULL WHERE number = 3"],
            // Nothing brings it back; see below.
            vec![],
        ),
    ] {
        for sql in &changes {
            fixture.run(sql).await;
        }
        let forgery = forged(fixture.deliver(WEB).await);
        assert_eq!(forgery.scope.as_deref(), Some(WEB), "{changes:?}");
        assert!(!fixture.is_right().await, "{changes:?}");
        // The others go on, and a secret of the project moves those that are right.
        assert_eq!(fixture.deliver(API).await.unwrap().secrets.len(), 1, "{changes:?}");
        for sql in &undo {
            fixture.run(sql).await;
        }
        if !undo.is_empty() {
            assert!(fixture.is_right().await, "{undo:?}");
            assert_eq!(fixture.deliver(WEB).await.unwrap().secrets.len(), 2, "{undo:?}");
        }
    }
    let written = fixture.set("shop", "SHARED", "x").await.unwrap();
    assert_eq!(written.bundles.len(), 2);
    let stuck = written.bundles.iter().find(|it| it.stuck.is_some()).unwrap();
    assert!(stuck.stuck.as_ref().unwrap().contains("members are not those"), "{stuck:?}");
    assert_eq!(fixture.deliver(API).await.unwrap().secrets.len(), 2);
    forged(fixture.set(WEB, "C", "c").await);
}

pub(super) async fn a_row_that_somebody_changed_is_not_read(fixture: SecretsFixture) {
    fixture.set(API, "A", "one").await.unwrap();
    fixture.set(API, "B", "b").await.unwrap();
    fixture.set(API, "A", "two").await.unwrap();
    fixture.run("CREATE TABLE kept_secrets AS SELECT * FROM secrets").await;
    fixture.run("CREATE TABLE kept_versions AS SELECT * FROM secret_versions").await;
    let id = |name| format!("(SELECT id FROM kept_secrets WHERE name = '{name}')");
    let (a, b) = (id("A"), id("B"));
    // All of it that decides, of another row or of the same one before.
    let swapped = |columns: &str, secret: &str, version: u8| {
        format!(
            "UPDATE secret_versions SET ({columns}) = (SELECT {columns} FROM kept_versions k \
             WHERE k.secret_id = {secret} AND k.version = {version}) WHERE secret_id = {a} AND \
             version = 2"
        )
    };
    for sql in [
        swapped("vault_ref, size", &b, 1),
        swapped("vault_ref, size, tag, mac", &b, 1),
        swapped("vault_ref, size, tag, mac", &a, 1),
        format!("UPDATE secret_versions SET mac = NULL WHERE secret_id = {a} AND version = 2"),
        format!("UPDATE secret_versions SET tag = 'x' WHERE secret_id = {a} AND version = 2"),
        format!("UPDATE secrets SET current_version = 1 WHERE id = {a}"),
        format!("UPDATE secrets SET latest_version = 7 WHERE id = {a}"),
        "UPDATE secrets SET name = 'C' WHERE name = 'A'".to_owned(),
        "UPDATE secrets SET environment = 'dev' WHERE name = 'A'".to_owned(),
    ] {
        fixture.run(&sql).await;
        let (scope, name) = if sql.contains("'dev'") {
            ("shop.dev.api", "A")
        } else if sql.contains("'C'") {
            (API, "C")
        } else {
            (API, "A")
        };
        assert_eq!(forged(fixture.get(scope, name).await).id, name, "{sql}");
        // Neither does a write go on from there. A new value replaces one that nobody can read.
        if sql.starts_with("UPDATE secrets") {
            assert_eq!(forged(fixture.set(scope, name, "x").await).id, name, "{sql}");
        }
        assert!(!fixture.is_right().await, "{sql}");
        assert_eq!(fixture.get(API, "B").await.unwrap(), "b", "{sql}");
        let columns = "project, environment, name, current_version, latest_version, mac";
        fixture
            .run(&format!(
                "UPDATE secrets SET ({columns}) = (SELECT {columns} FROM kept_secrets k WHERE k.id \
                 = secrets.id)"
            ))
            .await;
        fixture.run(&swapped("vault_ref, size, tag, mac", &a, 2)).await;
        assert_eq!(fixture.get(API, "A").await.unwrap(), "two", "{sql}");
        assert!(fixture.is_right().await, "{sql}");
    }
    // A secret that a bundle would take up with the next write of its name.
    fixture
        .run(
            "INSERT INTO secrets (project, environment, service, scope_kind, name, \
             current_version, latest_version, created_at, updated_at, mac) SELECT project, \
             environment, 'web', scope_kind, 'SHARED', 1, 1, 0, 0, mac FROM kept_secrets WHERE \
             name = 'A'",
        )
        .await;
    fixture.set(WEB, "OWN", "x").await.unwrap_err();
    fixture.set("shop", "SHARED", "x").await.unwrap();
    fixture.set(API, "SHARED", "x").await.unwrap();
    assert!(!fixture.is_right().await);
}

pub(super) async fn what_was_put_back_is_found(fixture: SecretsFixture) {
    fixture.set(WEB, "A", "one").await.unwrap();
    let keep = ["secrets", "secret_versions", "bundles"];
    for table in keep {
        fixture.run(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    fixture.set(WEB, "A", "two").await.unwrap();
    assert!(fixture.is_right().await);

    // A secret at its older version, and a bundle at its older generation: each was so once.
    for (table, columns) in [
        ("secrets", "current_version, latest_version, mac"),
        ("bundles", "stable_generation, stable_tag, secrets, bytes, mac"),
    ] {
        fixture.run(&format!("CREATE TABLE now_{table} AS SELECT * FROM {table}")).await;
        let from = |kept: &str| {
            format!(
                "UPDATE {table} SET ({columns}) = (SELECT {columns} FROM {kept}_{table} k WHERE \
                 k.id = {table}.id)"
            )
        };
        fixture.run(&from("kept")).await;
        assert!(!fixture.is_right().await, "{table}");
        fixture.run(&from("now")).await;
        assert!(fixture.is_right().await, "{table}");
    }
    // A delete and a destroy that are taken back.
    let (scope, name) = (WEB.parse().unwrap(), "A".parse().unwrap());
    let options = WriteOptions::default();
    fixture.secrets.destroy(&caller(), &scope, &name, &[Version(1)], &options).await.unwrap();
    assert!(fixture.is_right().await);
    fixture.run("UPDATE secret_versions SET rotation_status = 'archived' WHERE version = 1").await;
    assert!(!fixture.is_right().await);
    fixture.run("UPDATE secret_versions SET rotation_status = 'destroyed' WHERE version = 1").await;
    fixture.secrets.delete(&caller(), &scope, &name, &options).await.unwrap();
    assert!(fixture.is_right().await);
    fixture.run("UPDATE secret_versions SET deleted_lived = 99999999999 WHERE version = 2").await;
    assert!(!fixture.is_right().await);
    fixture.run("UPDATE secret_versions SET deleted_lived = 0 WHERE version = 2").await;
    // A table that has one row less.
    fixture.run("DELETE FROM bundle_members").await;
    fixture.run("DELETE FROM secret_versions WHERE version = 1").await;
    assert!(!fixture.is_right().await);
}
