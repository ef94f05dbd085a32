use contract::api::{NewValue, SecretValue, VersionState, WriteRequest, Written};
use contract::metadata::MetadataChange;
use contract::{Generation, Redacted};
use lockbox::conformance::ConformanceStore as _;
use lockbox::{Database, Embedded, KeyFile, Put, Reference, StoredVersion};
use runtime::tasks::Tasks;

use super::*;
use crate::repository::NewVersion;
mod agents;
mod audit_batches;
mod composed_history;
mod forgeries;
mod full_bundles;
mod history;
mod last_reads;
mod listing;
mod metadata;
mod outside_store;
mod retention;
mod two_replicas;

/// Runs each test on SQLite, and all of them on one PostgreSQL server.
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $test() {
            super::$test(SecretsFixture::on_sqlite().await).await;
        })+

        #[tokio::test]
        #[ignore = "needs PostgreSQL: make test-stores"]
        async fn all_on_postgres() {
            let server = e2e::postgres::Postgres::start().unwrap();
            $(super::$test(SecretsFixture::on_postgres(&server, stringify!($test)).await).await;)+
        }
    };
}

use agents::*;
use audit_batches::*;
use composed_history::*;
use forgeries::*;
use full_bundles::*;
use history::*;
use last_reads::*;
use listing::*;
use metadata::*;
use retention::*;
use two_replicas::*;

mod references;

mod each {
    use super::SecretsFixture;
    on_each_database!(
        values_orphaned_by_a_crash_are_never_visible,
        values_rejected_by_the_ledger_are_removed_from_the_store,
        concurrent_writers_get_distinct_versions,
        preconditions_are_checked,
        a_rotation_that_meets_a_delete_finds_nothing,
        a_write_follows_the_newest_version_whoever_wrote_it,
        a_rollback_creates_a_new_generation,
        a_clock_that_jumps_forward_destroys_nothing,
        a_clock_that_jumps_forward_forgets_no_answer,
        a_delete_can_be_undone_until_its_retention_ends,
        a_rollback_to_a_deleted_version_restores_it,
        a_version_past_its_retention_is_not_read_before_the_job_ran,
        an_undelete_restores_what_its_own_delete_marked,
        what_was_deleted_is_destroyed_although_the_name_was_set_again,
        a_destroyed_version_is_unreadable_in_store_and_ledger,
        a_replayed_request_is_done_once,
        a_superseded_leader_writes_nothing,
        a_full_bundle_is_stuck_and_the_others_move,
        chosen_names_are_listed_without_the_others,
        a_new_version_has_its_own_message_and_expiry,
        a_repeated_annotation_is_done_once,
        a_search_and_the_scopes_are_in_the_order_of_a_tree,
        a_secret_set_after_a_delete_has_no_old_notes,
        expiring_secrets_are_counted_and_listed,
        a_superseded_leader_prunes_nothing,
        last_reads_are_those_that_the_log_has,
        old_generations_go_and_nothing_that_is_needed,
        old_versions_are_destroyed_only_if_the_operator_says_so,
        what_is_stable_or_held_stays_authentic,
        what_is_counted_is_counted_once_and_by_the_leader,
        unused_secrets_are_listed_since_they_were_first_written,
        tags_are_changed_one_by_one_and_bounded,
        a_bundle_that_somebody_changed_is_not_delivered,
        a_row_that_somebody_changed_is_not_read,
        what_a_value_is_composed_of_is_read_and_pruned_with_it,
        what_was_put_back_is_found,
        the_state_of_a_pod_outlives_its_replica,
        pods_are_paged_with_what_they_hold,
        batches_of_any_size_are_one_chain,
    );
}

struct SecretsFixture {
    secrets: Secrets,
    store: Arc<Embedded>,
    database: Database,
    _directory: tempfile::TempDir,
}

impl SecretsFixture {
    async fn on_sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("x.db")).await.unwrap();
        Self::with_database(database, directory).await
    }

    async fn on_postgres(server: &e2e::postgres::Postgres, name: &str) -> Self {
        let url = Redacted::from(server.create_database(name).unwrap());
        Self::with_database(Database::connect(&url).await.unwrap(), tempfile::tempdir().unwrap())
            .await
    }

    async fn with_database(database: Database, directory: tempfile::TempDir) -> Self {
        let repository = crate::repository::open_signed(database.clone()).await;
        let store = Arc::new(
            Embedded::open(database.clone(), &KeyFile::new(directory.path().join("key")))
                .await
                .unwrap(),
        );
        let (audit, writer) = AuditLog::new(repository.clone());
        Tasks::new().spawn("writer", writer.run());
        let secrets = Secrets::new(
            repository,
            store.clone(),
            audit,
            BundleUpdates::default(),
            SignedDuration::from_hours(1),
        );
        Self { secrets, store, database, _directory: directory }
    }

    async fn write(&self, value: &str) -> Result<Written, SecretsError> {
        let mut request = WriteRequest::default();
        request.secrets.insert(name(), NewValue::new(Redacted::from(value.to_owned())));
        self.secrets
            .write(&caller(), &scope(), &request, |_| Condition::None, &WriteOptions::default())
            .await
    }

    async fn read(&self) -> SecretValue {
        let (of, form) = ((&scope(), &name()), ReadForm::Resolved);
        self.secrets.read(&caller(), of, form, None).await.unwrap().value
    }
}

fn scope() -> Scope {
    "shop.prod.api".parse().unwrap()
}

fn name() -> SecretName {
    "A".parse().unwrap()
}

fn caller() -> Caller {
    Caller { actor: Actor::Token { name: "test".into() }, origin: Origin::default() }
}

async fn values_orphaned_by_a_crash_are_never_visible(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    // As left by a process that dies between the store's write and the ledger's.
    let orphan = Redacted::from("orphan".to_owned());
    fixture
        .store
        .write(&scope(), &[Put { name: &name(), version: Version(2), value: &orphan }])
        .await
        .unwrap();
    assert_eq!(fixture.read().await.value.expose(), b"one");
    let written = fixture.write("two").await.unwrap();
    assert_eq!(written.versions[&name()], Version(2));
    let bundle = fixture.secrets.repository.bundle(&scope()).await.unwrap().unwrap();
    for generation in [1, 2] {
        let held = fixture
            .secrets
            .open(&bundle, Generation(generation), &crate::policy::MemberFilter::everything())
            .await
            .unwrap();
        let expected = if generation == 1 { b"one" } else { b"two" };
        assert_eq!(held.secrets[&name()].value.expose(), expected);
    }
    assert_eq!(fixture.read().await.value.expose(), b"two");
}

async fn values_rejected_by_the_ledger_are_removed_from_the_store(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    let mut request = WriteRequest::default();
    for at in 0..9 {
        request
            .secrets
            .insert(format!("BIG_{at}").parse().unwrap(), NewValue::new(vec![0; 1 << 20].into()));
    }
    let error = fixture
        .secrets
        .write(&caller(), &scope(), &request, |_| Condition::None, &WriteOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, SecretsError::Change(ChangeError::TooLarge { .. })), "{error}");
    for name in request.secrets.keys() {
        assert_eq!(fixture.store.list_versions(&scope(), name).await.unwrap(), []);
    }
}

async fn concurrent_writers_get_distinct_versions(fixture: SecretsFixture) {
    let values: Vec<String> = (0..20).map(|at| at.to_string()).collect();
    let written =
        futures_util::future::join_all(values.iter().map(|value| fixture.write(value))).await;
    let mut versions: Vec<_> =
        written.into_iter().map(|written| written.unwrap().versions[&name()].0).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
}

async fn preconditions_are_checked(fixture: SecretsFixture) {
    let on = |condition| WriteOptions { condition, ..WriteOptions::default() };
    let rotate = async |condition| {
        let value = Redacted::from("x".to_owned());
        let rotation = Rotation { value, condition, message: None, expires_at: None };
        let options = WriteOptions::default();
        fixture.secrets.rotate(&caller(), &scope(), &name(), &rotation, &options).await
    };
    let refused = |answer: Result<Written, SecretsError>, expected: Option<u64>| match answer {
        Err(SecretsError::Change(ChangeError::Precondition { active, .. })) => {
            assert_eq!(active, expected.map(Version))
        }
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        rotate(Condition::None).await,
        Err(SecretsError::Change(ChangeError::NotFound(_)))
    ));
    refused(rotate(Condition::Active(Version(1))).await, None);
    fixture.write("one").await.unwrap();
    refused(rotate(Condition::Absent).await, Some(1));
    refused(rotate(Condition::Active(Version(2))).await, Some(1));
    assert_eq!(rotate(Condition::Active(Version(1))).await.unwrap().versions[&name()], Version(2));
    refused(rotate(Condition::Active(Version(1))).await, Some(2));
    let stale = fixture
        .secrets
        .delete(&caller(), &scope(), &name(), &on(Condition::Active(Version(1))))
        .await;
    assert!(
        matches!(stale, Err(SecretsError::Change(ChangeError::Precondition { .. }))),
        "{stale:?}"
    );
    // Refused writes left nothing in the store.
    assert_eq!(fixture.store.list_versions(&scope(), &name()).await.unwrap().len(), 2);
}

/// Another replica deletes the secret between the read of its version and the change.
async fn a_rotation_that_meets_a_delete_finds_nothing(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    let options = WriteOptions::default();
    fixture.secrets.delete(&caller(), &scope(), &name(), &options).await.unwrap();
    let respond = written_response(&scope(), &BTreeMap::new(), false);
    let change = fixture.secrets.change(&caller(), &scope(), &options, vec![], respond);
    let write = async |condition| {
        let stored = StoredVersion { version: Version(2), reference: Reference::new("x".into()) };
        let new = NewVersion {
            name: name(),
            stored,
            size: 1,
            condition,
            message: None,
            expires_at: None,
            references: None,
            metadata: MetadataChange::default(),
        };
        fixture.secrets.repository.write(&change, &[new], Vec::new()).await.unwrap_err()
    };
    let found = write(Condition::Present).await;
    assert!(matches!(found, ChangeError::NotFound(_)), "{found:?}");
    // Whoever names a version learns that it is not the active one.
    for condition in [Condition::Active(Version(1)), Condition::Unmet] {
        let found = write(condition).await;
        assert!(matches!(found, ChangeError::Precondition { active: None, .. }), "{found:?}");
    }
}

async fn a_rollback_creates_a_new_generation(fixture: SecretsFixture) {
    for value in ["one", "two", "three"] {
        fixture.write(value).await.unwrap();
    }
    let back = fixture
        .secrets
        .rollback(&caller(), &scope(), &name(), Version(1), &WriteOptions::default())
        .await
        .unwrap();
    assert_eq!((back.versions[&name()], back.bundles[0].generation), (Version(1), Generation(4)));
    let read = fixture.read().await;
    assert_eq!((read.version, read.value.expose()), (Version(1), b"one".as_slice()));
    let states: Vec<_> =
        fixture.secrets.repository.versions(&scope(), &name(), None, 10).await.unwrap();
    let states: Vec<_> = states.into_iter().map(|row| (row.version.0, row.state)).collect();
    assert_eq!(
        states,
        [(3, VersionState::Archived), (2, VersionState::Archived), (1, VersionState::Active)]
    );
    // Numbering continues from the latest version, not from the active one.
    assert_eq!(fixture.write("four").await.unwrap().versions[&name()], Version(4));
    let error = fixture
        .secrets
        .rollback(&caller(), &scope(), &name(), Version(9), &WriteOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, SecretsError::Change(ChangeError::NoVersion { .. })), "{error}");
}

async fn a_destroyed_version_is_unreadable_in_store_and_ledger(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    fixture.write("two").await.unwrap();
    let destroy = async |version| {
        fixture
            .secrets
            .destroy(&caller(), &scope(), &name(), &[Version(version)], &WriteOptions::default())
            .await
    };
    assert!(matches!(destroy(2).await, Err(SecretsError::Change(ChangeError::InUse { .. }))));
    assert!(matches!(destroy(3).await, Err(SecretsError::Change(ChangeError::NoVersion { .. }))));
    assert_eq!(destroy(1).await.unwrap().destroyed, [Version(1)]);
    let (of, form) = ((&scope(), &name()), ReadForm::Resolved);
    let read = fixture.secrets.read_version(&caller(), of, Version(1), form, None).await;
    assert!(matches!(read, Err(SecretsError::Gone { .. })), "{read:?}");
    let back = fixture
        .secrets
        .rollback(&caller(), &scope(), &name(), Version(1), &WriteOptions::default())
        .await;
    assert!(matches!(back, Err(SecretsError::Change(ChangeError::Destroyed { .. }))), "{back:?}");
    assert_eq!(fixture.store.list_versions(&scope(), &name()).await.unwrap().len(), 1);
}

async fn a_replayed_request_is_done_once(fixture: SecretsFixture) {
    let once = |fingerprint: u8| Idempotency {
        principal: "token:test".into(),
        key_hash: vec![1; 32],
        fingerprint: vec![fingerprint; 32],
    };
    let write = async |fingerprint| {
        let mut request = WriteRequest::default();
        request.secrets.insert(name(), NewValue::new(Redacted::from("x".to_owned())));
        let options =
            WriteOptions { idempotency: Some(once(fingerprint)), ..WriteOptions::default() };
        fixture.secrets.write(&caller(), &scope(), &request, |_| Condition::None, &options).await
    };
    // Concurrently too: one is done, and the other gets its response.
    let (first, second) = tokio::join!(write(1), write(1));
    let (done, repeated) = if first.is_ok() { (first, second) } else { (second, first) };
    match repeated {
        Err(SecretsError::Change(ChangeError::Replayed(response))) => {
            assert_eq!(serde_json::from_str::<Written>(&response).unwrap(), done.unwrap());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(write(2).await, Err(SecretsError::Change(ChangeError::KeyReused))));
    assert_eq!(fixture.read().await.version, Version(1));
}

async fn a_superseded_leader_writes_nothing(fixture: SecretsFixture) {
    fixture.write("one").await.unwrap();
    let (short, long) = (std::time::Duration::from_millis(50), std::time::Duration::from_secs(600));
    let take = async |holder, ttl| {
        fixture.secrets.repository.take_lease("sweep", holder, ttl).await.unwrap()
    };
    let old = take("old", long).await.unwrap();
    if fixture.database.kind() == lockbox::database::DatabaseKind::Postgres {
        assert_eq!(take("new", long).await, None, "the lease has a holder");
    }
    assert_eq!(take("old", short).await.unwrap(), old, "a renewal keeps the fence");
    // PostgreSQL decides when the lease has expired, so ask until it has.
    let taken = async {
        loop {
            if let Some(fence) = take("new", long).await {
                return fence;
            }
            tokio::time::sleep(short).await;
        }
    };
    let new = tokio::time::timeout(std::time::Duration::from_secs(60), taken).await.unwrap();
    assert!(new.number > old.number);
    let options =
        |fence: &Fence| WriteOptions { fence: Some(fence.clone()), ..WriteOptions::default() };
    let error =
        fixture.secrets.delete(&caller(), &scope(), &name(), &options(&old)).await.unwrap_err();
    assert!(matches!(error, SecretsError::Change(ChangeError::Fenced(_))), "{error}");
    assert_eq!(fixture.read().await.value.expose(), b"one");
    fixture.secrets.delete(&caller(), &scope(), &name(), &options(&new)).await.unwrap();
}
