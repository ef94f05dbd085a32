//! Creates the first administrator's token once, and stores it where only an administrator can read
//! it.

use std::io;
use std::path::PathBuf;

use contract::Redacted;
use contract::api::Role;

use super::token::{TokenHash, generate_token};
use crate::audit::{Action, Actor, Event, Origin, Outcome, Resource, ResourceKind, sanitize};
use crate::cluster::{Cluster, ClusterError};
use crate::files;
use crate::repository::{
    ChangeError, NewToken, Repository, RepositoryError, TokenAdded, TokenSubject,
};

/// The token's name in the ledger and the audit log.
const TOKEN_NAME: &str = "bootstrap";

/// The minimum length of a token that an operator stores by hand, against guessing.
const MIN_TOKEN_LENGTH: usize = 32;

/// Where the token is stored.
#[derive(Clone, Debug)]
pub enum BootstrapTokenStore {
    /// A file that only its owner can read.
    File(PathBuf),
    /// The Secret `enclii-bootstrap`.
    Cluster(Cluster),
}

/// Why the bootstrap token cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The file cannot be read or written.
    #[error("store bootstrap token in {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The Secret cannot be read or written.
    #[error("store bootstrap token")]
    Cluster(#[from] ClusterError),
    /// The system has no source of randomness.
    #[error("generate bootstrap token")]
    Random,
    /// The stored token is too short.
    #[error(
        "read bootstrap token: it is shorter than {MIN_TOKEN_LENGTH} characters; remove it and \
         restart to create one"
    )]
    Short,
}

/// The flag by which an operator says that a revoked token is replaced.
const RESTORE_FLAG: &str = "--restore-bootstrap-token";

/// Creates the token on the first start, with the role owner, and its audit event. The token is
/// stored before the ledger is written: if the process dies in between, the next start adopts the
/// stored token.
///
/// Once it was revoked, none is created or adopted, so that whoever may write the store does not
/// become an owner by that. `restore` is the operator's word that one is.
///
/// # Errors
/// If the token cannot be stored or the ledger cannot be written.
pub async fn ensure_bootstrap_token(
    store: &BootstrapTokenStore,
    repository: &Repository,
    restore: bool,
) -> Result<(), BootstrapError> {
    if let BootstrapTokenStore::File(path) = store {
        files::make_private(path);
    }
    if !repository.has_authentic_tokens().await? {
        // One that was revoked may be among those that were removed.
        tracing::error!("the tokens are not as switchyard wrote them: no bootstrap token is made");
        return Ok(());
    }
    if repository.token_named(TOKEN_NAME).await?.is_some() {
        if restore {
            tracing::warn!("the bootstrap token is valid; remove {RESTORE_FLAG}");
        }
        return Ok(());
    }
    let was_revoked = repository.token_existed(TOKEN_NAME, None).await?;
    let stored = store.read().await?;
    if was_revoked && !restore {
        warn_of_other(stored.as_ref(), repository).await?;
        return Ok(());
    }
    let (token, origin) = match stored {
        Some(token) if token.len() < MIN_TOKEN_LENGTH => return Err(BootstrapError::Short),
        Some(token) if was_adopted(&token, repository).await? => {
            tracing::error!(
                store = store.describe(),
                "the stored bootstrap token was revoked and stays so; remove it and restart to \
                 create one"
            );
            return Ok(());
        }
        Some(token) => (token, "found"),
        None => {
            let token = generate_token().ok_or(BootstrapError::Random)?;
            store.write(&token).await?;
            (token, "created")
        }
    };
    let by = if was_revoked { format!(" by {RESTORE_FLAG}") } else { String::new() };
    let new = NewToken {
        name: TOKEN_NAME.to_owned(),
        subject: TokenSubject::Program { role: Role::Owner, scope: None },
        hash: TokenHash::of(&token).as_bytes().to_owned(),
        expires_at: None,
        by: "system:bootstrap".to_owned(),
        id_token: None,
        kept: None,
    };
    let event = Event {
        actor: Actor::System { part: "bootstrap" },
        action: Action::Grant,
        resource: Resource { kind: ResourceKind::Token, id: new.name.clone(), scope: None },
        version: None,
        outcome: Outcome::Allowed,
        origin: Origin::default(),
        details: Some(sanitize(&format!(
            "role owner everywhere, without an end; {origin} in {}{by}",
            store.describe()
        ))),
    };
    // If another replica was faster, the stored token is the same.
    if repository.add_token(&new, &event).await? == TokenAdded::Added {
        tracing::info!(store = store.describe(), "bootstrap token {origin}{by}");
    }
    Ok(())
}

/// Whether the token was the bootstrap token before.
async fn was_adopted(token: &Redacted, repository: &Repository) -> Result<bool, RepositoryError> {
    repository.token_existed(TOKEN_NAME, Some(TokenHash::of(token).as_bytes())).await
}

/// Tells the operator that a token in the store is not accepted.
async fn warn_of_other(
    stored: Option<&Redacted>,
    repository: &Repository,
) -> Result<(), RepositoryError> {
    if let Some(token) = stored
        && !was_adopted(token, repository).await?
    {
        tracing::warn!(
            "another bootstrap token is stored and not accepted, because the first one was \
             revoked; to accept it, start with {RESTORE_FLAG}"
        );
    }
    Ok(())
}

impl BootstrapTokenStore {
    fn describe(&self) -> String {
        match self {
            Self::File(path) => format!("file {}", path.display()),
            Self::Cluster(cluster) => cluster.bootstrap_location(),
        }
    }

    async fn read(&self) -> Result<Option<Redacted>, BootstrapError> {
        let found = match self {
            Self::File(path) => match std::fs::read(path) {
                Ok(bytes) => Some(Redacted::new(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(BootstrapError::File { path: path.clone(), source }),
            },
            Self::Cluster(cluster) => cluster.bootstrap_token().await?,
        };
        // A file that was written by hand ends with a newline.
        Ok(found
            .map(|token| Redacted::from(token.expose().trim_ascii()))
            .filter(|token| !token.is_empty()))
    }

    async fn write(&self, token: &Redacted) -> Result<(), BootstrapError> {
        match self {
            Self::File(path) => {
                let written = files::write(path, token.expose(), files::Readers::Owner);
                written.map_err(|source| BootstrapError::File { path: path.clone(), source })
            }
            Self::Cluster(cluster) => Ok(cluster.put_bootstrap_token(token).await?),
        }
    }
}
