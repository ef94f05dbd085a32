//! The first administrator's token: made once, and put where only an administrator can read it.

use std::io;
use std::path::PathBuf;

use contract::Redacted;
use contract::api::Role;

use super::token::{Hash, generate};
use crate::cluster::{Cluster, ClusterError};
use crate::files;
use crate::repository::{NewToken, Repository, RepositoryError, TokenSubject};

/// The token's name in the ledger and the audit trail.
const NAME: &str = "bootstrap";

/// The shortest token that is taken over from the place: shorter ones could be guessed.
const SHORTEST: usize = 32;

/// Where the token is put.
#[derive(Clone, Debug)]
pub enum Bootstrap {
    /// A file that its owner alone can read.
    File(PathBuf),
    /// The Secret `enclii-bootstrap`.
    Cluster(Cluster),
}

/// Why there is no bootstrap token.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The ledger.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The file.
    #[error("keep bootstrap token in {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The Secret.
    #[error("keep bootstrap token")]
    Cluster(#[from] ClusterError),
    /// The system has no random numbers.
    #[error("make bootstrap token")]
    Random,
    /// Somebody put a token there that could be guessed.
    #[error(
        "take bootstrap token: it is shorter than {SHORTEST} characters; remove it and start again to have one made"
    )]
    Short,
}

/// Makes the token on first start, with the role owner. It is made once: where it was revoked, it
/// stays so. The place comes first and the ledger second: where the process dies in between, the
/// next start takes over the token that it finds.
///
/// # Errors
/// Where the place or the ledger cannot be written.
pub async fn bootstrap(place: &Bootstrap, repository: &Repository) -> Result<(), BootstrapError> {
    if repository.token_named(NAME).await?.is_some() {
        return Ok(());
    }
    let token = match place.read().await? {
        Some(token) if token.len() < SHORTEST => return Err(BootstrapError::Short),
        // It was revoked. Another one that is put there by hand is taken: the way back in for
        // whoever may write there.
        Some(token)
            if repository.token_existed(NAME, Some(Hash::of(&token).as_bytes())).await? =>
        {
            return Ok(());
        }
        Some(token) => token,
        None if repository.token_existed(NAME, None).await? => return Ok(()),
        None => {
            let token = generate().ok_or(BootstrapError::Random)?;
            place.write(&token).await?;
            token
        }
    };
    let subject = TokenSubject::Program { role: Role::Owner, scope: None };
    let new = NewToken {
        name: NAME.to_owned(),
        subject,
        hash: Hash::of(&token).as_bytes().to_owned(),
        expires_at: None,
        by: "system:bootstrap".to_owned(),
    };
    // Where another replica was faster, its token is the one of the place, too.
    repository.add_token(&new, None).await?;
    tracing::info!(place = place.describe(), "bootstrap token made");
    Ok(())
}

impl Bootstrap {
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
        // A file that was made by hand ends in a newline.
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
