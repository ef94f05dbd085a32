//! The one cryptography provider of the process: aws-lc-rs, installed before anything speaks TLS.

use std::sync::OnceLock;

/// Why the provider could not be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Another library installed its provider first. With two providers in one process it would be
    /// unclear which one made a connection, so the process must not start.
    #[error("install the aws-lc-rs cryptography provider: another one is installed already")]
    AnotherInstalled,
}

/// Installs aws-lc-rs as the provider of rustls for the whole process. A second call does nothing.
///
/// # Errors
/// When another provider was installed before the first call.
pub fn install() -> Result<(), ProviderError> {
    static OURS: OnceLock<bool> = OnceLock::new();
    let ours = OURS
        .get_or_init(|| rustls::crypto::aws_lc_rs::default_provider().install_default().is_ok());
    if *ours { Ok(()) } else { Err(ProviderError::AnotherInstalled) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_is_once() {
        assert_eq!(install(), Ok(()));
        assert_eq!(install(), Ok(()));
    }
}
