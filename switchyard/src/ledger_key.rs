//! The key that authenticates the ledger's rows. The store keeps it, as it keeps values, so that
//! whoever has the database alone does not have it; the database names it.
//!
//! It is made once, in the start that signs the rows that are there. After that a ledger without
//! its key is not opened, unless an operator accepts its rows as they are.

use std::sync::Arc;

use contract::{Redacted, Scope, SecretName, Version};
use lockbox::database::Query;
use lockbox::{Put, StagedWrite, Store, StoreError, StoredVersion};
use runtime::backoff::Backoff;
use runtime::logs::ErrorChain;
use uuid::Uuid;

use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind};
use crate::repository::{AcceptedRows, LedgerKey, LedgerKeyRef, Repository, RepositoryError};

/// The project that the key is kept in. No secret is written there.
const PROJECT: &str = "enclii-ledger";

/// The flag by which an operator accepts the rows as they are.
const ACCEPT_FLAG: &str = "--accept-ledger";

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LedgerKeyError {
    /// The ledger failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A new key cannot be stored.
    #[error("store ledger key")]
    Store(#[source] StoreError),
    /// The store does not have the key.
    #[error(
        "open ledger: its key {name} cannot be read; start with the store, and the key of the \
         store, that this database was written with. If they are lost for good, check the grants \
         and tokens and start once with {ACCEPT_FLAG}, which takes all rows over as they are"
    )]
    Missing {
        /// The key's name in the store.
        name: SecretName,
        /// The store's error.
        source: StoreError,
    },
    /// The database does not name a key any more.
    #[error(
        "open ledger: it had a key and has none now; the database is from before the upgrade that \
         made the key, or somebody removed it. Check its grants, tokens and bundles, and start \
         once with {ACCEPT_FLAG}, which takes all rows over as they are"
    )]
    Gone,
    /// The tables' digests are not under the key.
    #[error(
        "open ledger: its rows are not those that switchyard wrote; put the database back as it \
         was, or check its grants, tokens and bundles and start once with {ACCEPT_FLAG}, which \
         takes all rows over as they are"
    )]
    Forged,
    /// The store has something else under the key's name.
    #[error("open ledger: {0} in the store is not a key")]
    Malformed(SecretName),
    /// The system has no source of randomness.
    #[error("make ledger key: no random numbers")]
    Random,
}

/// Whether the ledger keeps its own key in the scope, and nobody may write there.
pub(crate) fn is_reserved(scope: &Scope) -> bool {
    scope.project().as_str() == PROJECT
}

/// Opens the ledger with its key, or makes one. `is_known` says that it had one before, and
/// `accept` that an operator takes its rows over as they are, if they are not right. Waits for a
/// store that cannot be reached. Returns whether they were taken over by the operator's word.
///
/// # Errors
/// The key is gone, the rows are not under it, or the database failed.
pub(crate) async fn open(
    repository: &Repository,
    store: &Arc<dyn Store>,
    is_known: bool,
    accept: bool,
) -> Result<bool, LedgerKeyError> {
    loop {
        let current = repository.ledger_key().await?;
        match try_open(repository, store, current.as_ref(), is_known).await {
            Ok(true) if accept => {
                if repository.check_rights().await? && repository.check_ledger().await? {
                    tracing::warn!("the ledger is as switchyard wrote it; remove {ACCEPT_FLAG}");
                    return Ok(false);
                }
            }
            Ok(true) => return Ok(false),
            Ok(false) => {}
            Err(error @ (LedgerKeyError::Repository(_) | LedgerKeyError::Random)) => {
                return Err(error);
            }
            Err(error) if accept => {
                tracing::error!(error = %ErrorChain(&error), "rows are accepted as they are");
            }
            Err(error) => return Err(error),
        }
        if create(repository, store, current.as_ref()).await? {
            return Ok(accept);
        }
        // Another replica was faster, and this one goes on with its key.
    }
}

/// Opens the ledger with its key. Returns `false` if it never had one.
async fn try_open(
    repository: &Repository,
    store: &Arc<dyn Store>,
    key: Option<&LedgerKeyRef>,
    is_known: bool,
) -> Result<bool, LedgerKeyError> {
    let Some(at) = key else {
        let had_one = is_known || repository.was_accepted().await?;
        return if had_one { Err(LedgerKeyError::Gone) } else { Ok(false) };
    };
    let secret = read(store, at).await?;
    let key = LedgerKey::new(&secret).ok_or_else(|| LedgerKeyError::Malformed(at.name.clone()))?;
    match repository.unlock(key).await {
        Err(RepositoryError::Forged(_)) => Err(LedgerKeyError::Forged),
        other => Ok(other.map(|()| true)?),
    }
}

/// Reads the key, however long the store cannot be reached.
async fn read(store: &Arc<dyn Store>, at: &LedgerKeyRef) -> Result<Redacted, LedgerKeyError> {
    let (scope, mut delays) = (scope()?, Backoff::NETWORK.delays());
    loop {
        match store.read_version(&scope, &at.name, &at.stored()).await {
            Ok(secret) => return Ok(secret),
            Err(error @ StoreError::Backend { .. }) => {
                tracing::warn!(error = %ErrorChain(&error), "read ledger key, will retry");
                tokio::time::sleep(delays.next_delay()).await;
            }
            Err(source) => return Err(LedgerKeyError::Missing { name: at.name.clone(), source }),
        }
    }
}

/// Makes a key and signs every row under it. Returns `false` if another replica did.
async fn create(
    repository: &Repository,
    store: &Arc<dyn Store>,
    before: Option<&LedgerKeyRef>,
) -> Result<bool, LedgerKeyError> {
    let secret = LedgerKey::draw().ok_or(LedgerKeyError::Random)?;
    let key = LedgerKey::new(&secret).ok_or(LedgerKeyError::Random)?;
    let (scope, name) = (scope()?, new_name()?);
    let put = Put { name: &name, version: Version(1), value: &secret };
    let (reference, statements) = stage(store, &scope, put).await?;
    let stored = StoredVersion { version: put.version, reference };
    let is_stored = statements.is_empty();
    let new = LedgerKeyRef::new(name.clone(), &stored);
    let done = repository.accept_rows((key, &new), before, statements, event).await?;
    if done {
        tracing::info!(key = %name, "the ledger has a new key, and its rows are signed");
    } else if is_stored && let Err(error) = store.destroy(&scope, &name, &stored).await {
        tracing::warn!(%name, error = %ErrorChain(&error), "unused ledger key not removed");
    }
    Ok(done)
}

/// Stores a key, however long the store cannot be reached.
async fn stage(
    store: &Arc<dyn Store>,
    scope: &Scope,
    put: Put<'_>,
) -> Result<(lockbox::Reference, Vec<Query>), LedgerKeyError> {
    let mut delays = Backoff::NETWORK.delays();
    loop {
        match store.stage(scope, &[put]).await {
            Ok(StagedWrite { mut references, statements }) => {
                let reference = references.pop().ok_or(LedgerKeyError::Random)?;
                return Ok((reference, statements));
            }
            Err(error @ StoreError::Backend { .. }) => {
                tracing::warn!(error = %ErrorChain(&error), "store ledger key, will retry");
                tokio::time::sleep(delays.next_delay()).await;
            }
            Err(source) => return Err(LedgerKeyError::Store(source)),
        }
    }
}

fn scope() -> Result<Scope, LedgerKeyError> {
    // The project is a DNS label.
    PROJECT.parse().map_err(|_| RepositoryError::Form("scope of ledger key").into())
}

fn new_name() -> Result<SecretName, LedgerKeyError> {
    let name = format!("ledger_key_{}", Uuid::new_v4().simple());
    name.parse().map_err(|_| RepositoryError::Form("name of ledger key").into())
}

fn event(accepted: AcceptedRows) -> Event {
    let AcceptedRows { secrets, versions, bundles, grants, tokens } = accepted;
    Event {
        actor: Actor::System { part: "ledger" },
        action: Action::Accept,
        resource: Resource { kind: ResourceKind::Ledger, id: "key".to_owned(), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: Some(format!(
            "signed as they are: {secrets} secrets, {versions} versions, {bundles} bundles, \
             {grants} grants, {tokens} tokens"
        )),
    }
}
