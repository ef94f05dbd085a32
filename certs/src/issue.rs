//! Issues certificates: a CA, and the serving certificate it signs. The time is an argument.
//!
//! All keys are ECDSA P-256: every TLS client accepts it, and generating one takes well under a
//! millisecond.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroize;

use crate::alt_names::SubjectAltNames;
use crate::cert_key_pair::{CertKeyPair, CertKeyPairError, PrivateKey};
use crate::certificate::{Certificate, CertificateError};

/// Certificates are valid from this long before their issue, because clocks in a cluster differ: by
/// ten minutes, if nobody looks after them.
pub const BACKDATE: Duration = Duration::from_secs(15 * 60);

/// Why a certificate could not be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The key could not be generated.
    #[error("make private key")]
    Key(#[source] rcgen::Error),
    /// The signing key of the CA cannot be used.
    #[error("read signing key of the certificate authority")]
    Authority(#[source] rcgen::Error),
    /// The certificate could not be signed.
    #[error("sign certificate")]
    Sign(#[source] rcgen::Error),
    /// A name cannot be written into a certificate.
    #[error("write certificate name {name:?}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: rcgen::Error,
    },
    /// The new certificate cannot be parsed.
    #[error("read new certificate")]
    Read(#[from] CertificateError),
    /// The new certificate and its key do not match.
    #[error("read new pair")]
    KeyPair(#[from] CertKeyPairError),
}

/// Creates a CA that is valid for `life` from `now` and signs serving certificates only.
///
/// `name` is its subject, followed by the time, so that two CAs with one name can be told apart in
/// a bundle.
///
/// # Errors
/// When the key or the certificate cannot be created.
pub fn create_ca(name: &str, now: SystemTime, life: Duration) -> Result<CertKeyPair, IssueError> {
    let mut params = dated(now, after(now, life));
    let made = params.not_before + BACKDATE;
    let short: String = name.chars().take(MAX_COMMON_NAME_LEN - 30).collect();
    let subject = format!("{short} {} {}", made.date(), made.time());
    let subject = DnValue::Utf8String(subject);
    params.distinguished_name.push(DnType::CommonName, subject);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    with_key(|key| params.self_signed(key).map_err(IssueError::Sign))
}

/// Issues a serving certificate for `names`, signed by `authority`, that is valid for `life` from
/// `now` and never longer than its CA.
///
/// # Errors
/// When the CA's key cannot be used or the certificate cannot be created.
pub fn issue_leaf(
    authority: &CertKeyPair,
    names: &SubjectAltNames,
    now: SystemTime,
    life: Duration,
) -> Result<CertKeyPair, IssueError> {
    let not_after = after(now, life).min(authority.certificate().validity().not_after);
    let mut params = dated(now, not_after);
    if let Some(first) = names.iter().find(|name| name.len() <= MAX_COMMON_NAME_LEN) {
        params.distinguished_name.push(DnType::CommonName, first);
    }
    params.subject_alt_names = names.iter().map(subject_name).collect::<Result<_, _>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let mut signer = KeyPair::try_from(authority.key().der()).map_err(IssueError::Authority)?;
    let made = Issuer::from_ca_cert_der(authority.certificate().der(), &signer)
        .map_err(IssueError::Authority)
        .and_then(|issuer| {
            with_key(|key| params.signed_by(key, &issuer).map_err(IssueError::Sign))
        });
    signer.zeroize();
    made
}

/// The longest lifetime, whatever the policy says: 50 years.
const MAX_LIFETIME: Duration = Duration::from_secs(50 * 365 * 24 * 3600);

/// The upper bound of X.520; a longer name is only a subject alternative name.
const MAX_COMMON_NAME_LEN: usize = 64;

fn dated(now: SystemTime, not_after: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = now.checked_sub(BACKDATE).unwrap_or(now).into();
    params.not_after = not_after.into();
    params
}

fn after(now: SystemTime, life: Duration) -> SystemTime {
    now.checked_add(life.min(MAX_LIFETIME)).unwrap_or(now)
}

fn subject_name(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let text =
        name.try_into().map_err(|source| IssueError::Name { name: name.to_owned(), source })?;
    Ok(SanType::DnsName(text))
}

fn with_key<S>(sign: S) -> Result<CertKeyPair, IssueError>
where
    S: FnOnce(&KeyPair) -> Result<rcgen::Certificate, IssueError>,
{
    let mut key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IssueError::Key)?;
    let signed = sign(&key);
    let der = PrivateKey::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())));
    key.zeroize();
    let certificate = Certificate::from_der(signed?.der().clone())?;
    Ok(CertKeyPair::new(certificate, der)?)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use rustls_pki_types::ServerName;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn a_leaf_is_trusted_for_its_names_while_it_is_valid() {
        let ca = create_ca("test", now(), 10 * HOUR).unwrap();
        let names = SubjectAltNames::parse(["webhook.svc", "10.0.0.1", "::1"]).unwrap();
        let leaf = issue_leaf(&ca, &names, now(), HOUR).unwrap();
        assert_eq!(leaf.certificate().names(), Some(&names));
        let trusted = |name: &'static str, moment| {
            let name = ServerName::try_from(name).unwrap();
            leaf.certificate().trusted_by([ca.certificate()], &name, moment)
        };
        for name in ["webhook.svc", "10.0.0.1", "::1"] {
            assert!(trusted(name, now()), "{name}");
        }
        assert!(!trusted("other.svc", now()));
        // By a clock that is ten minutes behind, too.
        assert!(trusted("webhook.svc", now() - Duration::from_secs(600)));
        assert!(!trusted("webhook.svc", now() - Duration::from_secs(901)));
        assert!(!trusted("webhook.svc", now() + HOUR + Duration::from_secs(1)));
    }

    #[test]
    fn a_leaf_does_not_outlive_its_authority() {
        let ca = create_ca("test", now(), HOUR).unwrap();
        let names = SubjectAltNames::parse(["a"]).unwrap();
        let leaf = issue_leaf(&ca, &names, now(), 2 * HOUR).unwrap();
        let (leaf, ca) = (leaf.certificate(), ca.certificate());
        assert_eq!(leaf.validity().not_after, ca.validity().not_after);
        assert_eq!(leaf.validity().not_before, now() - BACKDATE);
    }

    #[test]
    fn the_signer_is_recognized() {
        let (one, other) =
            (create_ca("test", now(), HOUR).unwrap(), create_ca("test", now(), HOUR).unwrap());
        let leaf = issue_leaf(&one, &SubjectAltNames::parse(["a"]).unwrap(), now(), HOUR).unwrap();
        assert!(leaf.certificate().signed_by(one.certificate()));
        assert!(!leaf.certificate().signed_by(other.certificate()));
    }

    #[test]
    fn a_long_name_is_not_the_common_name() {
        let ca = create_ca("test", now(), HOUR).unwrap();
        let long = format!("{}.{}", "a".repeat(60), "b".repeat(60));
        let names = SubjectAltNames::parse([&long]).unwrap();
        let leaf = issue_leaf(&ca, &names, now(), HOUR).unwrap();
        assert_eq!(leaf.certificate().names(), Some(&names));
    }
}
