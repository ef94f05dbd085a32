//! What a delete leaves, and for how long.

use std::time::Duration;

use super::*;

/// Longer than the retention of a fixture and the lag of the stored lived time.
const PAST_RETENTION: Duration = Duration::from_secs(2 * 60 * 60);

const A_YEAR_MILLIS: i64 = 365 * 24 * 60 * 60 * 1000;

impl SecretsFixture {
    /// Runs the retention job once, after this time.
    async fn sweep(&self, lived: Duration) {
        let ttl = Duration::from_secs(600);
        let fence = self.secrets.repository.take_lease("sweep", "me", ttl).await.unwrap().unwrap();
        self.secrets.enforce_retention_once(&fence, lived).await.unwrap();
    }

    async fn delete(&self) -> Result<change::DeletedSecret, SecretsError> {
        self.secrets.delete(&caller(), &scope(), &name(), &WriteOptions::default()).await
    }

    async fn undelete(&self) -> Result<Written, SecretsError> {
        self.secrets.undelete(&caller(), &scope(), &name(), &WriteOptions::default()).await
    }

    async fn rollback(&self, to: u64) -> Result<Written, SecretsError> {
        let options = WriteOptions::default();
        self.secrets.rollback(&caller(), &scope(), &name(), Version(to), &options).await
    }

    /// The value of a version, or `None` if it was destroyed.
    async fn version(&self, version: u64) -> Option<Vec<u8>> {
        let read = self
            .secrets
            .read_version(
                &caller(),
                (&scope(), &name()),
                Version(version),
                ReadForm::Resolved,
                None,
            )
            .await;
        match read {
            Ok(read) => Some(read.value.value.expose().to_vec()),
            Err(SecretsError::Gone { .. }) => None,
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn execute(&self, sql: &'static str, bound: i64) {
        self.database.execute(lockbox::database::query(sql).bind(bound)).await.unwrap();
    }
}

pub(super) async fn a_delete_can_be_undone_until_its_retention_ends(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    let removed = fixture.delete().await.unwrap();
    assert_eq!(removed.bundles[0].generation, Generation(2));
    assert!(removed.recoverable_until > Timestamp::now());
    assert!(matches!(fixture.delete().await, Err(SecretsError::Change(ChangeError::NotFound(_)))));
    fixture.sweep(Duration::from_secs(60)).await;
    let back = fixture.undelete().await.unwrap();
    assert_eq!((back.versions[&name()], back.bundles[0].generation), (Version(1), Generation(3)));
    assert!(matches!(
        fixture.undelete().await,
        Err(SecretsError::Change(ChangeError::NotDeleted(_)))
    ));
    fixture.delete().await.unwrap();
    fixture.sweep(PAST_RETENTION).await;
    assert!(matches!(
        fixture.undelete().await,
        Err(SecretsError::Change(ChangeError::Destroyed { .. }))
    ));
    assert_eq!(fixture.store.list_versions(&scope(), &name()).await.unwrap(), []);
    // A new secret with that name continues the numbering.
    assert_eq!(fixture.write("two").await.unwrap().versions[&name()], Version(2));
}

pub(super) async fn what_was_deleted_is_destroyed_although_the_name_was_set_again(
    fixture: SecretsFixture,
) {
    fixture.write("one").await.unwrap();
    fixture.write("two").await.unwrap();
    fixture.delete().await.unwrap();
    fixture.write("three").await.unwrap();
    fixture.sweep(Duration::from_secs(60)).await;
    assert_eq!(fixture.version(1).await.as_deref(), Some(b"one".as_slice()));
    fixture.sweep(PAST_RETENTION).await;
    assert_eq!((fixture.version(1).await, fixture.version(2).await), (None, None));
    let stored = fixture.store.list_versions(&scope(), &name()).await.unwrap();
    assert_eq!(stored.iter().map(|it| it.version).collect::<Vec<_>>(), [Version(3)]);
    assert_eq!(fixture.read().await.value.expose(), b"three");
    let rollback = fixture.rollback(1).await;
    assert!(
        matches!(rollback, Err(SecretsError::Change(ChangeError::Destroyed { .. }))),
        "{rollback:?}"
    );
    // What no delete marked stays, however long ago it was replaced.
    fixture.write("four").await.unwrap();
    fixture.sweep(PAST_RETENTION).await;
    assert_eq!(fixture.version(3).await.as_deref(), Some(b"three".as_slice()));
}

pub(super) async fn an_undelete_restores_what_its_own_delete_marked(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    fixture.delete().await.unwrap();
    fixture.write("two").await.unwrap();
    fixture.write("three").await.unwrap();
    // A later millisecond, so that the two deletes are two times.
    fixture
        .execute("UPDATE secret_versions SET deleted_at = deleted_at - $1 WHERE version = 1", 1)
        .await;
    fixture.delete().await.unwrap();
    fixture.undelete().await.unwrap();
    fixture.sweep(PAST_RETENTION).await;
    assert_eq!(fixture.version(1).await, None);
    assert_eq!(fixture.version(2).await.as_deref(), Some(b"two".as_slice()));
    assert_eq!(fixture.version(3).await.as_deref(), Some(b"three".as_slice()));
}

pub(super) async fn a_rollback_to_a_deleted_version_restores_it(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    fixture.delete().await.unwrap();
    fixture.write("two").await.unwrap();
    fixture.rollback(1).await.unwrap();
    fixture.write("three").await.unwrap();
    fixture.sweep(PAST_RETENTION).await;
    assert_eq!(fixture.version(1).await.as_deref(), Some(b"one".as_slice()));
    assert_eq!(fixture.read().await.value.expose(), b"three");
}

pub(super) async fn a_version_past_its_retention_is_not_read_before_the_job_ran(
    fixture: SecretsFixture,
) {
    fixture.write("one").await.unwrap();
    fixture.delete().await.unwrap();
    fixture.write("two").await.unwrap();
    let past = i64::try_from(PAST_RETENTION.as_millis()).unwrap();
    fixture.execute("UPDATE lived_time SET milliseconds = milliseconds + $1", past).await;
    assert_eq!(fixture.version(1).await, None);
    let rollback = fixture.rollback(1).await;
    assert!(
        matches!(rollback, Err(SecretsError::Change(ChangeError::Destroyed { .. }))),
        "{rollback:?}"
    );
}

/// A clock that jumps forward by a year looks like a delete a year ago.
pub(super) async fn a_clock_that_jumps_forward_destroys_nothing(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    fixture.delete().await.unwrap();
    for sql in [
        "UPDATE secrets SET deleted_at = deleted_at - $1",
        "UPDATE secret_versions SET deleted_at = deleted_at - $1",
    ] {
        fixture.execute(sql, A_YEAR_MILLIS).await;
    }
    fixture.sweep(Duration::from_secs(60)).await;
    fixture.undelete().await.unwrap();
    assert_eq!(fixture.read().await.value.expose(), b"one");
}

pub(super) async fn a_clock_that_jumps_forward_forgets_no_answer(fixture: SecretsFixture) {
    let write = async || {
        let mut request = WriteRequest::default();
        request.secrets.insert(name(), NewValue::new(Redacted::from("x".to_owned())));
        let idempotency = Idempotency {
            principal: "token:test".into(),
            key_hash: vec![1; 32],
            fingerprint: vec![1; 32],
        };
        let options = WriteOptions { idempotency: Some(idempotency), ..WriteOptions::default() };
        fixture.secrets.write(&caller(), &scope(), &request, |_| Condition::None, &options).await
    };
    write().await.unwrap();
    fixture.execute("UPDATE idempotency SET created_at = created_at - $1", A_YEAR_MILLIS).await;
    fixture.sweep(Duration::from_secs(60)).await;
    let again = write().await;
    assert!(matches!(again, Err(SecretsError::Change(ChangeError::Replayed(_)))), "{again:?}");
    // After a day that was lived through, it is a new request.
    fixture.sweep(Duration::from_secs(25 * 60 * 60)).await;
    assert_eq!(write().await.unwrap().versions[&name()], Version(2));
}
