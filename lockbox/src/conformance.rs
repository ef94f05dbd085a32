//! What every backend must do alike, as a suite that runs against any of them.
//!
//! A backend without a capability is not asked for it. The suite writes below a project of its own,
//! so that it can run against a store that is in use.

pub mod disturbed;

use contract::{Label, Redacted, Scope, SecretName, Version};
use futures_util::future::BoxFuture;

use crate::store::{Known, Put, Reference, Store, StoreError, Stored};

/// What a backend did wrong.
#[derive(Debug, thiserror::Error)]
#[error("check {check}: {complaint}")]
pub struct Failure {
    /// The check.
    pub check: &'static str,
    /// What was wrong.
    pub complaint: String,
}

type Outcome = Result<(), String>;
type Check = for<'a> fn(&'a dyn Store, &'a Scope) -> BoxFuture<'a, Outcome>;

const CHECKS: &[(&str, Check)] = &[
    ("it is healthy", |store, _| Box::pin(healthy(store))),
    ("bytes come out as they went in", |store, scope| Box::pin(any_bytes(store, scope))),
    ("names and scopes are apart", |store, scope| Box::pin(apart(store, scope))),
    ("older versions stay readable", |store, scope| Box::pin(older_versions(store, scope))),
    ("versions are listed, newest first", |store, scope| Box::pin(listed(store, scope))),
    ("what is not there is not found", |store, scope| Box::pin(not_found(store, scope))),
    ("a name is written once in one call", |store, scope| Box::pin(twice(store, scope))),
    ("a value is read in its own place alone", |store, scope| Box::pin(own_place(store, scope))),
    ("a rotation on a stale value is refused", |store, scope| {
        Box::pin(stale_rotation(store, scope))
    }),
    ("a destroyed version is gone, the others stay", |store, scope| {
        Box::pin(destroyed(store, scope))
    }),
    ("a deleted secret is gone, with all versions", |store, scope| Box::pin(deleted(store, scope))),
    ("a deleted secret can be written anew", |store, scope| Box::pin(written_anew(store, scope))),
    ("what it was told to keep is no change by others", |store, scope| {
        Box::pin(quiet(store, scope))
    }),
    ("writers at the same time all succeed", |store, scope| {
        Box::pin(at_the_same_time(store, scope))
    }),
];

/// Runs every check against `store`, each in a scope of its own below `project`, and says how many
/// there were.
///
/// # Errors
/// The first check that failed.
pub async fn run(store: &dyn Store, project: &Label) -> Result<usize, Failure> {
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

/// A store's error with its causes, which a check's complaint has on one line.
fn said(error: StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    text
}

fn check(holds: bool, complaint: &str) -> Outcome {
    if holds { Ok(()) } else { Err(complaint.to_owned()) }
}

async fn put(
    store: &dyn Store,
    scope: &Scope,
    secret: &SecretName,
    version: u64,
    value: &[u8],
) -> Result<Stored, String> {
    let (version, value) = (Version(version), Redacted::from(value));
    let references =
        store.write(scope, &[Put { name: secret, version, value: &value }]).await.map_err(said)?;
    match <[Reference; 1]>::try_from(references) {
        Ok([reference]) => Ok(Stored { version, reference }),
        Err(other) => {
            Err(format!("one value was written, and {} references came back", other.len()))
        }
    }
}

async fn holds(
    store: &dyn Store,
    scope: &Scope,
    secret: &SecretName,
    stored: &Stored,
    value: &[u8],
) -> Outcome {
    let found = store.read_version(scope, secret, stored).await.map_err(said)?;
    check(
        found.expose() == value,
        &format!("version {} of {scope}/{secret} came out different", stored.version),
    )
}

fn is_gone<T>(answer: Result<T, StoreError>) -> Outcome {
    match answer {
        Err(StoreError::NotFound(_) | StoreError::Destroyed(_)) => Ok(()),
        Err(other) => Err(format!("it was not said to be missing, but: {}", said(other))),
        Ok(_) => Err("it was there".to_owned()),
    }
}

async fn healthy(store: &dyn Store) -> Outcome {
    store.health().await.map_err(said)
}

async fn any_bytes(store: &dyn Store, scope: &Scope) -> Outcome {
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
    let references = store.write(scope, &puts).await.map_err(said)?;
    check(references.len() == values.len(), "there are more or fewer references than values")?;
    for ((secret, value), reference) in names.iter().zip(values).zip(references) {
        holds(store, scope, secret, &Stored { version: Version(1), reference }, value).await?;
        if store.capabilities().read_your_writes {
            let (_, newest) = store.read(scope, secret).await.map_err(said)?;
            check(
                newest.expose() == *value,
                &format!("the newest value of {secret} came out different"),
            )?;
        }
    }
    Ok(())
}

async fn apart(store: &dyn Store, scope: &Scope) -> Outcome {
    let wider = Scope::Project(scope.project().clone());
    let (upper, lower) = (name("NAME")?, name("name")?);
    let first = put(store, scope, &upper, 1, b"upper").await?;
    let second = put(store, scope, &lower, 1, b"lower").await?;
    let third = put(store, &wider, &upper, 1, b"wider").await?;
    holds(store, scope, &upper, &first, b"upper").await?;
    holds(store, scope, &lower, &second, b"lower").await?;
    holds(store, &wider, &upper, &third, b"wider").await
}

async fn older_versions(store: &dyn Store, scope: &Scope) -> Outcome {
    if !store.capabilities().versions {
        return Ok(());
    }
    let secret = name("ROTATED")?;
    let mut kept = Vec::new();
    // More than the ten that some backends keep unless they are told otherwise.
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

async fn listed(store: &dyn Store, scope: &Scope) -> Outcome {
    if !store.capabilities().versions {
        return Ok(());
    }
    let secret = name("LISTED")?;
    let mut expected = Vec::new();
    for version in 1..=3 {
        expected.insert(0, put(store, scope, &secret, version, b"x").await?);
    }
    let found = store.list_versions(scope, &secret).await.map_err(said)?;
    check(found == expected, &format!("{found:?} was listed, and {expected:?} was written"))
}

async fn not_found(store: &dyn Store, scope: &Scope) -> Outcome {
    let (secret, value) = (name("ABSENT")?, Redacted::default());
    let nowhere = Reference::new("0".repeat(32));
    let absent = Stored { version: Version(1), reference: nowhere.clone() };
    is_gone(store.read(scope, &secret).await)?;
    is_gone(store.read_version(scope, &secret, &absent).await)?;
    is_gone(store.destroy(scope, &secret, &absent).await)?;
    is_gone(store.delete(scope, &secret).await)?;
    is_gone(
        store
            .rotate(scope, Put { name: &secret, version: Version(2), value: &value }, &nowhere)
            .await,
    )?;
    let found = store.list_versions(scope, &secret).await.map_err(said)?;
    check(found.is_empty(), "a secret that was never written has versions")
}

async fn twice(store: &dyn Store, scope: &Scope) -> Outcome {
    let (other, secret, value) = (name("BYSTANDER")?, name("DOUBLE")?, Redacted::default());
    let one = |name, version| Put { name, version: Version(version), value: &value };
    let answer = store.write(scope, &[one(&other, 1), one(&secret, 1), one(&secret, 2)]).await;
    check(matches!(answer, Err(StoreError::Twice(_))), "one name was taken twice in one call")?;
    is_gone(store.read(scope, &other).await)?;
    is_gone(store.read(scope, &secret).await)
}

async fn own_place(store: &dyn Store, scope: &Scope) -> Outcome {
    let (secret, other) = (name("MINE")?, name("YOURS")?);
    let mine = put(store, scope, &secret, 1, b"mine").await?;
    put(store, scope, &other, 1, b"yours").await?;
    let refused =
        |answer: Result<Redacted, StoreError>, complaint| check(answer.is_err(), complaint);
    refused(store.read_version(scope, &other, &mine).await, "a value was read under another name")?;
    let wider = Scope::Project(scope.project().clone());
    refused(store.read_version(&wider, &secret, &mine).await, "a value was read in another scope")?;
    let later = Stored { version: Version(2), ..mine };
    refused(store.read_version(scope, &secret, &later).await, "a value was read as another version")
}

async fn stale_rotation(store: &dyn Store, scope: &Scope) -> Outcome {
    let (secret, value) = (name("CONTENDED")?, Redacted::from(b"new".as_slice()));
    let first = put(store, scope, &secret, 1, b"old").await?;
    let on = |version| Put { name: &secret, version: Version(version), value: &value };
    let second = store.rotate(scope, on(2), &first.reference).await.map_err(said)?;
    holds(
        store,
        scope,
        &secret,
        &Stored { version: Version(2), reference: second.clone() },
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
            Err(format!("a stale rotation was refused for another reason: {}", said(other)))
        }
        Ok(_) => Err("a stale rotation was taken".to_owned()),
    }
}

async fn destroyed(store: &dyn Store, scope: &Scope) -> Outcome {
    if !store.capabilities().versions {
        return Ok(());
    }
    let secret = name("SHREDDED")?;
    let first = put(store, scope, &secret, 1, b"one").await?;
    let second = put(store, scope, &secret, 2, b"two").await?;
    store.destroy(scope, &secret, &second).await.map_err(said)?;
    is_gone(store.read_version(scope, &secret, &second).await)?;
    holds(store, scope, &secret, &first, b"one").await?;
    let found = store.list_versions(scope, &secret).await.map_err(said)?;
    check(found == [first], "a destroyed version is still listed")
}

async fn deleted(store: &dyn Store, scope: &Scope) -> Outcome {
    let (secret, other) = (name("REMOVED")?, name("KEPT")?);
    let first = put(store, scope, &secret, 1, b"one").await?;
    let second = put(store, scope, &secret, 2, b"two").await?;
    let kept = put(store, scope, &other, 1, b"kept").await?;
    store.delete(scope, &secret).await.map_err(said)?;
    is_gone(store.read(scope, &secret).await)?;
    is_gone(store.read_version(scope, &secret, &first).await)?;
    is_gone(store.read_version(scope, &secret, &second).await)?;
    holds(store, scope, &other, &kept, b"kept").await
}

async fn written_anew(store: &dyn Store, scope: &Scope) -> Outcome {
    let secret = name("PHOENIX")?;
    let first = put(store, scope, &secret, 1, b"ashes").await?;
    store.delete(scope, &secret).await.map_err(said)?;
    let second = put(store, scope, &secret, 2, b"feathers").await?;
    holds(store, scope, &secret, &second, b"feathers").await?;
    is_gone(store.read_version(scope, &secret, &first).await)?;
    if !store.capabilities().versions {
        return Ok(());
    }
    let found = store.list_versions(scope, &secret).await.map_err(said)?;
    check(found == [second], "a version from before the delete is listed")
}

async fn quiet(store: &dyn Store, scope: &Scope) -> Outcome {
    let secret = name("QUIET")?;
    let first = put(store, scope, &secret, 1, b"one").await?;
    let second = put(store, scope, &secret, 2, b"two").await?;
    // In use, rolled back, and forward again.
    for stored in [&second, &second, &first, &second] {
        let known = [Known { scope: scope.clone(), name: secret.clone(), stored: stored.clone() }];
        let changes = store.changes(&known).await.map_err(said)?;
        check(
            changes.is_empty(),
            &format!("with version {} in use a change was seen that nobody made", stored.version),
        )?;
    }
    holds(store, scope, &secret, &first, b"one").await?;
    holds(store, scope, &secret, &second, b"two").await
}

async fn at_the_same_time(store: &dyn Store, scope: &Scope) -> Outcome {
    let names = (0..20).map(|at| name(&format!("BUSY_{at}"))).collect::<Result<Vec<_>, _>>()?;
    let writes =
        names.iter().map(|secret| put(store, scope, secret, 1, secret.as_str().as_bytes()));
    let written = futures_util::future::join_all(writes).await;
    for (secret, stored) in names.iter().zip(written) {
        holds(store, scope, secret, &stored?, secret.as_str().as_bytes()).await?;
    }
    Ok(())
}
