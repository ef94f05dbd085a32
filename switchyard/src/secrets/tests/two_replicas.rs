//! Two replicas on one ledger, each of which remembers what it wrote last.

use super::*;

pub(super) async fn a_write_follows_the_newest_version_whoever_wrote_it(fixture: SecretsFixture) {
    let mine = &fixture.secrets;
    // It shares nothing with the first one but the ledger and the store.
    let other = Secrets::new(
        mine.repository.clone(),
        fixture.store.clone(),
        mine.audit.clone(),
        BundleUpdates::default(),
        mine.retention,
    );
    let write = async |at: &Secrets, value: &str, condition| {
        let mut request = WriteRequest::default();
        request.secrets.insert(name(), NewValue::new(Redacted::from(value.to_owned())));
        let options = WriteOptions::default();
        let written = at.write(&caller(), &scope(), &request, |_| condition, &options).await?;
        Ok::<_, SecretsError>((written.versions[&name()].0, written.created))
    };
    let none = Condition::None;
    assert_eq!(write(mine, "one", none).await.unwrap(), (1, true));
    assert_eq!(write(mine, "two", none).await.unwrap(), (2, false));
    assert_eq!(write(&other, "three", none).await.unwrap(), (3, false));
    assert_eq!(write(&other, "four", none).await.unwrap(), (4, false));
    // It remembers 2.
    assert_eq!(write(mine, "five", none).await.unwrap(), (5, false));
    assert_eq!(fixture.read().await.value.expose(), b"five");
    // A precondition is about what is active, not about what was written here.
    assert_eq!(write(mine, "six", Condition::Active(Version(5))).await.unwrap(), (6, false));
    other.delete(&caller(), &scope(), &name(), &WriteOptions::default()).await.unwrap();
    let refused = write(mine, "x", Condition::Active(Version(6))).await;
    let unmet = |it: &SecretsError| {
        matches!(it, SecretsError::Change(ChangeError::Precondition { active: None, .. }))
    };
    assert!(refused.as_ref().is_err_and(unmet), "{refused:?}");
    assert_eq!(write(mine, "seven", Condition::Absent).await.unwrap(), (7, false));
    assert_eq!(write(&other, "eight", none).await.unwrap(), (8, false));
    assert_eq!(fixture.read().await.value.expose(), b"eight");
    // Refused writes left nothing in the store.
    assert_eq!(fixture.store.list_versions(&scope(), &name()).await.unwrap().len(), 8);
}
