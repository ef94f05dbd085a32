//! The suite of checks that every backend must pass.
//!
//! It needs more of a backend than production does, so it runs on a [`ConformanceStore`]. Checks of
//! a capability are skipped for a backend that lacks it. The suite writes below a project of its
//! own, so that it can run against a store that is in use.

pub mod fault_injection;
mod together;

use contract::{Label, Redacted, Scope, SecretName, Version};
use futures_util::future::BoxFuture;

use crate::store::{ActiveSecret, Store, StoreError};
use crate::value::{Put, Reference, StoredVersion};

/// What the suite needs of a backend beyond [`Store`].
pub trait ConformanceStore: Store {
    /// Reads the newest version of a secret.
    fn read_newest<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(StoredVersion, Redacted), StoreError>>;

    /// Lists the versions of a secret that can be read, newest first.
    fn list_versions<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<Vec<StoredVersion>, StoreError>>;

    /// Stores a new version on top of the newest one that the caller knows. A backend that can
    /// compare and set refuses if its newest is another. That may be a value whose writer died
    /// before it was acknowledged; [`Store::destroy`] removes it.
    fn rotate<'a>(
        &'a self,
        scope: &'a Scope,
        put: Put<'a>,
        on: &'a Reference,
    ) -> BoxFuture<'a, Result<Reference, StoreError>>;

    /// Removes a secret with all its versions for good.
    fn delete<'a>(
        &'a self,
        scope: &'a Scope,
        name: &'a SecretName,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// A check that a backend failed.
#[derive(Debug, thiserror::Error)]
#[error("check {check}: {complaint}")]
pub struct Failure {
    /// The check.
    pub check: &'static str,
    /// What went wrong.
    pub complaint: String,
}

type CheckResult = Result<(), String>;
type Check = for<'a> fn(&'a dyn ConformanceStore, &'a Scope) -> BoxFuture<'a, CheckResult>;

const CHECKS: &[(&str, Check)] = &[
    ("it is healthy", |store, _| Box::pin(healthy(store))),
    ("bytes come out as they went in", |store, scope| Box::pin(round_trip(store, scope))),
    ("names and scopes do not mix", |store, scope| Box::pin(distinct_names(store, scope))),
    ("older versions stay readable", |store, scope| Box::pin(older_versions(store, scope))),
    ("versions are listed, newest first", |store, scope| Box::pin(listed(store, scope))),
    ("an absent secret is not found", |store, scope| Box::pin(not_found(store, scope))),
    ("a name appears once in one write", |store, scope| Box::pin(duplicate_name(store, scope))),
    ("a value is read only under its own id", |store, scope| Box::pin(own_id(store, scope))),
    ("values are read together as one by one", |store, scope| {
        Box::pin(together::together(store, scope))
    }),
    ("a rotation on a stale value is refused", |store, scope| {
        Box::pin(stale_rotation(store, scope))
    }),
    ("a destroyed version is gone, the others stay", |store, scope| {
        Box::pin(destroyed(store, scope))
    }),
    ("a deleted secret is gone, with all versions", |store, scope| Box::pin(deleted(store, scope))),
    ("a deleted secret can be written again", |store, scope| Box::pin(rewritten(store, scope))),
    ("its own writes are not reported as external changes", |store, scope| {
        Box::pin(own_writes(store, scope))
    }),
    ("concurrent writers all succeed", |store, scope| Box::pin(concurrent_writers(store, scope))),
];

/// Runs every check against `store`, each in a scope of its own below `project`. Returns how many
/// there were.
///
/// # Errors
/// The first check that failed.
pub async fn run(store: &dyn ConformanceStore, project: &Label) -> Result<usize, Failure> {
    for (at, (check, run)) in CHECKS.iter().enumerate() {
        let failed = |complaint| Failure { check, complaint };
        let scope: Scope = format!("{project}.conformance.check-{at}")
            .parse()
            .map_err(|error| failed(format!("{error}")))?;
        run(store, &scope).await.map_err(failed)?;
    }
    Ok(CHECKS.len())
}

fn name(text: &str) -> Result<SecretName, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// A store's error with its causes, on one line.
fn error_chain(error: StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

fn check(holds: bool, complaint: &str) -> CheckResult {
    if holds { Ok(()) } else { Err(complaint.to_owned()) }
}

async fn put(
    store: &dyn ConformanceStore,
    scope: &Scope,
    secret: &SecretName,
    version: u64,
    value: &[u8],
) -> Result<StoredVersion, String> {
    let (version, value) = (Version(version), Redacted::from(value));
    let references = store
        .write(scope, &[Put { name: secret, version, value: &value }])
        .await
        .map_err(error_chain)?;
    match <[Reference; 1]>::try_from(references) {
        Ok([reference]) => Ok(StoredVersion { version, reference }),
        Err(other) => {
            Err(format!("one value was written and {} references were returned", other.len()))
        }
    }
}

async fn holds(
    store: &dyn ConformanceStore,
    scope: &Scope,
    secret: &SecretName,
    stored: &StoredVersion,
    value: &[u8],
) -> CheckResult {
    let found = store.read_version(scope, secret, stored).await.map_err(error_chain)?;
    check(
        found.expose() == value,
        &format!("version {} of {scope}/{secret} came out different", stored.version),
    )
}

fn is_gone<T>(answer: Result<T, StoreError>) -> CheckResult {
    match answer {
        Err(StoreError::NotFound(_) | StoreError::Destroyed(_)) => Ok(()),
        Err(other) => Err(format!("it failed with another error: {}", error_chain(other))),
        Ok(_) => Err("it exists".to_owned()),
    }
}

async fn healthy(store: &dyn ConformanceStore) -> CheckResult {
    store.health().await.map_err(error_chain)
}

async fn round_trip(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let large = vec![0xa5; contract::layout::MAX_VALUE_BYTES];
    let values: &[&[u8]] = &[
        b"",
        b"plain",
        b"line\n",
        b"\n\n",
        b"a\0b\0",
        b"\xff\xfe\xfd",
        "gr\u{fc}n".as_bytes(),
        &large,
    ];
    let mut names = Vec::new();
    let redacted: Vec<Redacted> = values.iter().map(|value| Redacted::from(*value)).collect();
    for at in 0..values.len() {
        names.push(name(&format!("VALUE_{at}"))?);
    }
    let puts: Vec<Put<'_>> = names
        .iter()
        .zip(&redacted)
        .map(|(name, value)| Put { name, version: Version(1), value })
        .collect();
    let references = store.write(scope, &puts).await.map_err(error_chain)?;
    check(
        references.len() == values.len(),
        "the number of references is not the number of values",
    )?;
    for ((secret, value), reference) in names.iter().zip(values).zip(references) {
        holds(store, scope, secret, &StoredVersion { version: Version(1), reference }, value)
            .await?;
        if store.capabilities().read_your_writes {
            let (_, newest) = store.read_newest(scope, secret).await.map_err(error_chain)?;
            check(
                newest.expose() == *value,
                &format!("the newest value of {secret} came out different"),
            )?;
        }
    }
    Ok(())
}

async fn distinct_names(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let wider = Scope::Project(scope.project().clone());
    let (upper, lower) = (name("NAME")?, name("name")?);
    let first = put(store, scope, &upper, 1, b"upper").await?;
    let second = put(store, scope, &lower, 1, b"lower").await?;
    let third = put(store, &wider, &upper, 1, b"wider").await?;
    holds(store, scope, &upper, &first, b"upper").await?;
    holds(store, scope, &lower, &second, b"lower").await?;
    holds(store, &wider, &upper, &third, b"wider").await
}

async fn older_versions(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    if !store.capabilities().versions {
        return Ok(());
    }
    let secret = name("ROTATED")?;
    let mut kept = Vec::new();
    // More than the ten versions that some backends keep by default.
    for version in 1..=12 {
        kept.push(
            put(store, scope, &secret, version, format!("value {version}").as_bytes()).await?,
        );
    }
    for stored in &kept {
        holds(store, scope, &secret, stored, format!("value {}", stored.version).as_bytes())
            .await?;
    }
    Ok(())
}

async fn listed(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    if !store.capabilities().versions {
        return Ok(());
    }
    let secret = name("LISTED")?;
    let mut expected = Vec::new();
    for version in 1..=3 {
        expected.insert(0, put(store, scope, &secret, version, b"x").await?);
    }
    let found = store.list_versions(scope, &secret).await.map_err(error_chain)?;
    check(found == expected, &format!("{found:?} was listed, and {expected:?} was written"))
}

async fn not_found(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let (secret, value) = (name("ABSENT")?, Redacted::default());
    let nowhere = Reference::new("0".repeat(32));
    let absent = StoredVersion { version: Version(1), reference: nowhere.clone() };
    is_gone(store.read_newest(scope, &secret).await)?;
    is_gone(store.read_version(scope, &secret, &absent).await)?;
    is_gone(store.destroy(scope, &secret, &absent).await)?;
    is_gone(store.delete(scope, &secret).await)?;
    is_gone(
        store
            .rotate(scope, Put { name: &secret, version: Version(2), value: &value }, &nowhere)
            .await,
    )?;
    let found = store.list_versions(scope, &secret).await.map_err(error_chain)?;
    check(found.is_empty(), "a secret that was never written has versions")
}

async fn duplicate_name(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let (other, secret, value) = (name("BYSTANDER")?, name("DOUBLE")?, Redacted::default());
    let one = |name, version| Put { name, version: Version(version), value: &value };
    let answer = store.write(scope, &[one(&other, 1), one(&secret, 1), one(&secret, 2)]).await;
    check(
        matches!(answer, Err(StoreError::DuplicateName(_))),
        "a write with the same name twice was accepted",
    )?;
    is_gone(store.read_newest(scope, &other).await)?;
    is_gone(store.read_newest(scope, &secret).await)
}

async fn own_id(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let (secret, other) = (name("MINE")?, name("YOURS")?);
    let mine = put(store, scope, &secret, 1, b"mine").await?;
    put(store, scope, &other, 1, b"yours").await?;
    let refused =
        |answer: Result<Redacted, StoreError>, complaint| check(answer.is_err(), complaint);
    refused(store.read_version(scope, &other, &mine).await, "a value was read under another name")?;
    let wider = Scope::Project(scope.project().clone());
    refused(store.read_version(&wider, &secret, &mine).await, "a value was read in another scope")?;
    let later = StoredVersion { version: Version(2), ..mine };
    refused(store.read_version(scope, &secret, &later).await, "a value was read as another version")
}

async fn stale_rotation(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let (secret, value) = (name("CONTENDED")?, Redacted::from(b"new".as_slice()));
    let first = put(store, scope, &secret, 1, b"old").await?;
    let on = |version| Put { name: &secret, version: Version(version), value: &value };
    let second = store.rotate(scope, on(2), &first.reference).await.map_err(error_chain)?;
    holds(
        store,
        scope,
        &secret,
        &StoredVersion { version: Version(2), reference: second.clone() },
        b"new",
    )
    .await?;
    if !store.capabilities().compare_and_set {
        return Ok(());
    }
    match store.rotate(scope, on(3), &first.reference).await {
        Err(StoreError::Conflict { newest, .. }) => {
            check(newest == second, "a refused rotation names another value as the newest")
        }
        Err(other) => {
            Err(format!("a stale rotation was refused for another reason: {}", error_chain(other)))
        }
        Ok(_) => Err("a stale rotation was accepted".to_owned()),
    }
}

async fn destroyed(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    if !store.capabilities().versions {
        return Ok(());
    }
    let secret = name("SHREDDED")?;
    let first = put(store, scope, &secret, 1, b"one").await?;
    let second = put(store, scope, &secret, 2, b"two").await?;
    store.destroy(scope, &secret, &second).await.map_err(error_chain)?;
    is_gone(store.read_version(scope, &secret, &second).await)?;
    holds(store, scope, &secret, &first, b"one").await?;
    let found = store.list_versions(scope, &secret).await.map_err(error_chain)?;
    check(found == [first], "a destroyed version is still listed")
}

async fn deleted(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let (secret, other) = (name("REMOVED")?, name("KEPT")?);
    let first = put(store, scope, &secret, 1, b"one").await?;
    let second = put(store, scope, &secret, 2, b"two").await?;
    let kept = put(store, scope, &other, 1, b"kept").await?;
    store.delete(scope, &secret).await.map_err(error_chain)?;
    is_gone(store.read_newest(scope, &secret).await)?;
    is_gone(store.read_version(scope, &secret, &first).await)?;
    is_gone(store.read_version(scope, &secret, &second).await)?;
    holds(store, scope, &other, &kept, b"kept").await
}

async fn rewritten(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let secret = name("PHOENIX")?;
    let first = put(store, scope, &secret, 1, b"ashes").await?;
    store.delete(scope, &secret).await.map_err(error_chain)?;
    let second = put(store, scope, &secret, 2, b"feathers").await?;
    holds(store, scope, &secret, &second, b"feathers").await?;
    is_gone(store.read_version(scope, &secret, &first).await)?;
    if !store.capabilities().versions {
        return Ok(());
    }
    let found = store.list_versions(scope, &secret).await.map_err(error_chain)?;
    check(found == [second], "a version from before the delete is listed")
}

async fn own_writes(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let secret = name("QUIET")?;
    let first = put(store, scope, &secret, 1, b"one").await?;
    let second = put(store, scope, &secret, 2, b"two").await?;
    // Active, rolled back, and active again.
    for stored in [&second, &second, &first, &second] {
        let active =
            [ActiveSecret { scope: scope.clone(), name: secret.clone(), stored: stored.clone() }];
        let changes = store.poll_changes(&active).await.map_err(error_chain)?;
        check(
            changes.is_empty(),
            &format!(
                "with version {} active, a change that nobody made was reported",
                stored.version
            ),
        )?;
    }
    holds(store, scope, &secret, &first, b"one").await?;
    holds(store, scope, &secret, &second, b"two").await
}

async fn concurrent_writers(store: &dyn ConformanceStore, scope: &Scope) -> CheckResult {
    let names = (0..20).map(|at| name(&format!("BUSY_{at}"))).collect::<Result<Vec<_>, _>>()?;
    let writes =
        names.iter().map(|secret| put(store, scope, secret, 1, secret.as_str().as_bytes()));
    let written = futures_util::future::join_all(writes).await;
    for (secret, stored) in names.iter().zip(written) {
        holds(store, scope, secret, &stored?, secret.as_str().as_bytes()).await?;
    }
    Ok(())
}
