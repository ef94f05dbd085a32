//! Creates the first administrator's token once, and stores it where only an administrator can read
//! it.

use std::io;
use std::path::PathBuf;

use contract::Redacted;
use contract::api::Role;

use super::token::{TokenHash, generate_token};
use crate::cluster::{Cluster, ClusterError};
use crate::files;
use crate::repository::{NewToken, Repository, RepositoryError, TokenSubject};

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
    /// The ledger cannot be read or written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
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

/// Creates the token on the first start, with the role owner. A token that was revoked is not
/// created again. The token is stored before the ledger is written: if the process dies in between,
/// the next start adopts the stored token.
///
/// # Errors
/// If the token cannot be stored or the ledger cannot be written.
pub async fn ensure_bootstrap_token(
    store: &BootstrapTokenStore,
    repository: &Repository,
) -> Result<(), BootstrapError> {
    if let BootstrapTokenStore::File(path) = store {
        files::make_private(path);
    }
    if repository.token_named(TOKEN_NAME).await?.is_some() {
        return Ok(());
    }
    let token = match store.read().await? {
        Some(token) if token.len() < MIN_TOKEN_LENGTH => return Err(BootstrapError::Short),
        // It was revoked. A different token that is stored by hand is adopted: the way back in for
        // an operator who may write there.
        Some(token)
            if repository
                .token_existed(TOKEN_NAME, Some(TokenHash::of(&token).as_bytes()))
                .await? =>
        {
            return Ok(());
        }
        Some(token) => token,
        None if repository.token_existed(TOKEN_NAME, None).await? => return Ok(()),
        None => {
            let token = generate_token().ok_or(BootstrapError::Random)?;
            store.write(&token).await?;
            token
        }
    };
    let subject = TokenSubject::Program { role: Role::Owner, scope: None };
    let new = NewToken {
        name: TOKEN_NAME.to_owned(),
        subject,
        hash: TokenHash::of(&token).as_bytes().to_owned(),
        expires_at: None,
        by: "system:bootstrap".to_owned(),
    };
    // If another replica was faster, the stored token is the same.
    repository.add_token(&new, None).await?;
    tracing::info!(store = store.describe(), "bootstrap token created");
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
