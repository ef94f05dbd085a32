//! One X.509 certificate with the properties that the renewal needs: validity and names.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::{RootCertStore, crypto};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::alt_names::SubjectAltNames;
use crate::pem;

/// A parsed certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    validity: Validity,
    names: Option<SubjectAltNames>,
}

/// The period in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The moment from which it is expired.
    pub not_after: SystemTime,
}

/// Why a certificate was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// No PEM section of the right kind.
    #[error("read certificate: no certificate in pem form")]
    NoPem,
    /// PEM, but not of a certificate.
    #[error("read certificate: not x.509")]
    NotX509,
}

impl Validity {
    /// Whether the certificate is valid at `now`.
    pub fn contains(&self, now: SystemTime) -> bool {
        self.not_before <= now && now < self.not_after
    }
}

impl Certificate {
    /// Reads one certificate from DER.
    ///
    /// # Errors
    /// When it is not an X.509 certificate.
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, CertificateError> {
        let (validity, names) = {
            let (rest, read) =
                X509Certificate::from_der(&der).map_err(|_| CertificateError::NotX509)?;
            if !rest.is_empty() {
                return Err(CertificateError::NotX509);
            }
            let validity = Validity {
                not_before: moment(read.validity().not_before.timestamp()),
                not_after: moment(read.validity().not_after.timestamp()),
            };
            (validity, names_of(&read))
        };
        Ok(Self { der, validity, names })
    }

    /// Reads all certificates of a PEM text, in order; at least one.
    ///
    /// # Errors
    /// When there is none, or one of them cannot be read.
    pub fn from_pem(text: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let sections = CertificateDer::pem_slice_iter(text);
        let read = sections.map(|der| Self::from_der(der.map_err(|_| CertificateError::NoPem)?));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        if read.is_empty() {
            return Err(CertificateError::NoPem);
        }
        Ok(read)
    }

    /// The certificate in PEM form, one section.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der).to_string()
    }

    /// The certificate in DER form.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The validity period.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The common name of its subject, if it has one.
    pub fn common_name(&self) -> Option<String> {
        let (_, read) = X509Certificate::from_der(&self.der).ok()?;
        let mut names = read.subject().iter_common_name();
        names.next()?.as_str().ok().map(str::to_owned)
    }

    /// The DNS names and IP addresses it is valid for; `None` for a CA.
    pub fn names(&self) -> Option<&SubjectAltNames> {
        self.names.as_ref()
    }

    /// Whether a TLS client that trusts `roots` accepts this certificate for `name` at `now`.
    ///
    /// A root that is not valid at `now` does not count: some clients, such as Go's, check that.
    pub fn trusted_by<'a, I>(&self, roots: I, name: &ServerName<'_>, now: SystemTime) -> bool
    where
        I: IntoIterator<Item = &'a Self>,
    {
        let mut store = RootCertStore::empty();
        for root in roots {
            if root.validity.contains(now) && store.add(root.der.clone()).is_err() {
                return false;
            }
        }
        let Ok(since) = now.duration_since(UNIX_EPOCH) else {
            return false;
        };
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build();
        verifier.is_ok_and(|verifier| {
            let moment = UnixTime::since_unix_epoch(since);
            verifier.verify_server_cert(&self.der, &[], name, &[], moment).is_ok()
        })
    }

    /// Whether `authority` has signed this certificate, at any time.
    pub fn signed_by(&self, authority: &Self) -> bool {
        let Some(name) = self.names.as_ref().and_then(SubjectAltNames::first) else {
            return false;
        };
        let not_before = self.validity.not_before.max(authority.validity.not_before);
        self.trusted_by([authority], &name, not_before)
    }
}

/// Shows validity and names only: DER is unreadable in a log.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("validity", &self.validity)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// The provider of this crate, whatever the process has installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

fn moment(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let moment = if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    };
    moment.unwrap_or(UNIX_EPOCH)
}

fn names_of(read: &X509Certificate<'_>) -> Option<SubjectAltNames> {
    let names = read.subject_alternative_name().ok()??;
    let names = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    SubjectAltNames::parse(names).ok()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::IpAddr::from(four).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::IpAddr::from(sixteen).to_string())
}
