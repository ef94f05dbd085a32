//! Follows the CA that every agent is told to trust: switchyard's, or Vault's where that is the
//! source and the operator's configuration has no CA of its own.
//!
//! In a cluster it comes from a ConfigMap ([`config_map`]), which switchyard publishes or the
//! operator fills, without a cluster from a directory ([`directory`]). Invalid content is not
//! used, and the last good CA stays.

pub mod config_map;
pub mod directory;

use certs::certificate::{Certificate, CertificateError};

/// The key of the ConfigMap, and the name of the file in the directory.
const KEY: &str = "ca.crt";

/// Parses a PEM text and writes it again, so that nothing but certificates reaches a pod.
fn parse_trust(text: &str) -> Result<String, CertificateError> {
    let certificates = Certificate::from_pem(text.as_bytes())?;
    Ok(certificates.iter().map(Certificate::pem).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_are_accepted() {
        assert!(matches!(parse_trust(""), Err(CertificateError::NoPem)));
        let pem = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        let parsed = parse_trust(&format!("a note\n{pem}\nanother\n")).unwrap();
        assert!(parsed.starts_with("-----BEGIN CERTIFICATE-----"), "{parsed}");
        assert!(!parsed.contains("note"), "{parsed}");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(parse_trust(broken).is_err());
    }
}
