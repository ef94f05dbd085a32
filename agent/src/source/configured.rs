//! The source that the configuration names.

use std::future::{Future, ready};
use std::path::Path;

use contract::BundleRef;
use contract::agent_config::Source;
use runtime::signals::Shutdown;

use super::SourceChannels;
use super::switchyard::{Switchyard, SwitchyardError};
use super::tls::TrustError;
use super::vault::{Vault, VaultSourceError};

/// A source of secrets.
pub enum ConfiguredSource {
    /// The control plane.
    Switchyard(Switchyard),
    /// Vault or OpenBao.
    Vault(Box<Vault>),
}

/// Why the configuration of the source is invalid.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// That of switchyard.
    #[error(transparent)]
    Switchyard(#[from] SwitchyardError),
    /// That of Vault.
    #[error(transparent)]
    Vault(#[from] VaultSourceError),
}

impl ConfiguredSource {
    /// The source of these bundles. `directory` is the volume with the pod's files.
    ///
    /// # Errors
    /// When its configuration is invalid.
    pub fn new(
        source: Source,
        bundles: &[BundleRef],
        directory: &Path,
    ) -> Result<Self, SourceError> {
        match source {
            Source::Switchyard { address, ca, token_file } => {
                let bundles = bundles.to_vec();
                let source = Switchyard::new(&address, &ca, token_file.into(), bundles)?;
                Ok(Self::Switchyard(source))
            }
            Source::Vault(source) => {
                Ok(Self::Vault(Box::new(Vault::new(source, bundles, directory)?)))
            }
        }
    }

    /// Trusts the CAs in `ca` (PEM), which the stream has brought. That of Vault brings none.
    ///
    /// # Errors
    /// When they are invalid; the previous ones stay.
    pub fn set_trust_bundle(&mut self, ca: &str) -> Result<(), TrustError> {
        match self {
            Self::Switchyard(source) => source.set_trust_bundle(ca),
            Self::Vault(_) => Ok(()),
        }
    }

    /// Runs until `stopping`, or until the supervisor does not listen any more.
    pub async fn run(
        self,
        mut channels: SourceChannels,
        stopping: impl Future<Output = ()>,
        shutdown: Shutdown,
    ) {
        // Boxed, so that the memory of the other source is not taken.
        match self {
            // Its stream is cut.
            Self::Switchyard(source) => {
                let running = Box::pin(source.run(channels));
                tokio::select! {
                    () = stopping => {}
                    () = running => {}
                }
            }
            Self::Vault(mut source) => {
                let running = Box::pin(source.run(&mut channels));
                tokio::select! {
                    () = stopping => {}
                    () = running => {}
                }
                source.close(is_requested(&shutdown).await).await;
            }
        }
    }
}

async fn is_requested(shutdown: &Shutdown) -> bool {
    tokio::select! {
        biased;
        () = shutdown.requested() => true,
        () = ready(()) => false,
    }
}
