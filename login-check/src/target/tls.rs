//! The words for TLS that the protocols share.

use std::path::Path;

use super::{CertificateCheck, Encryption, Roots, Tls, UrlError};

/// How far TLS goes, as libpq's `sslmode` and MySQL's `ssl-mode` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl TlsMode {
    /// TLS in this mode.
    pub(super) fn with(self, roots: Roots) -> Tls {
        let attempts: &[Encryption] = match self {
            Self::Disable => &[Encryption::Plain],
            Self::Allow => &[Encryption::Plain, Encryption::Tls],
            Self::Prefer => &[Encryption::IfOffered, Encryption::Plain],
            Self::Require | Self::VerifyCa | Self::VerifyFull => &[Encryption::Tls],
        };
        let check = match self {
            Self::Disable | Self::Allow | Self::Prefer | Self::Require => CertificateCheck::None,
            Self::VerifyCa => CertificateCheck::Issuer,
            Self::VerifyFull => CertificateCheck::IssuerAndName,
        };
        Tls { attempts, check, roots }
    }
}

/// The CA file that a parameter names.
pub(super) fn roots(path: Option<&str>) -> Result<Roots, UrlError> {
    match path {
        None => Ok(Roots::Unnamed),
        Some("system") => Ok(Roots::Public),
        Some(path) if Path::new(path).is_absolute() => Ok(Roots::File(path.into())),
        Some(_) => Err(UrlError::Unsupported("it names a CA that is not the path of a file")),
    }
}
