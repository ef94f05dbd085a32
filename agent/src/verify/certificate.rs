//! Certificates among the files: which one a check means, and whether it has a private key. Pure.

use contract::{FileName, Redacted, SecretName};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::plan::FileContents;

/// The certificate that a server has to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerCertificate {
    /// The file that has it.
    pub(super) file: FileName,
    /// The first certificate in that file.
    pub(super) leaf: CertificateDer<'static>,
}

/// Why the files do not say which certificate has to be served.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CertificateError {
    /// The secret that the check names is not there.
    #[error("there is no secret {0}")]
    NoSecret(FileName),
    /// It has no certificate.
    #[error("{0} has no certificate that can be read")]
    NoCertificate(FileName),
    /// No file has one with its key.
    #[error("no secret has a certificate whose private key is there too")]
    NoPair,
    /// Several files have one.
    #[error("the secrets {0} and {1} have certificates; name one: tls=PORT,certificate=SECRET")]
    Several(FileName, FileName),
    /// None of the private keys belongs to it.
    #[error("none of the private keys belongs to the certificate in {0}")]
    KeyMismatch(FileName),
}

/// What the files say of the private key of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyState {
    /// It is there.
    Present,
    /// There are private keys, and none of them is the certificate's.
    Mismatch,
    /// There is no private key, so the application has it from elsewhere.
    Absent,
}

/// The certificate that `named` has, or the only one among the files with its private key.
pub(super) fn find(
    files: &FileContents,
    named: Option<&SecretName>,
) -> Result<ServerCertificate, CertificateError> {
    if let Some(name) = named {
        let file = FileName::from(name);
        let Some(bytes) = files.get(&file) else { return Err(CertificateError::NoSecret(file)) };
        let leaf = leaf(bytes.expose());
        let leaf = leaf.ok_or_else(|| CertificateError::NoCertificate(file.clone()))?;
        return Ok(ServerCertificate { file, leaf });
    }
    let all = files.iter().filter_map(|(file, bytes)| {
        Some(ServerCertificate { file: file.clone(), leaf: leaf(bytes.expose())? })
    });
    let mut pairs = all.filter(|it| key_state(files, it) == KeyState::Present);
    let Some(first) = pairs.next() else { return Err(CertificateError::NoPair) };
    // The same certificate may be in a file of its own and in one with the key.
    match pairs.find(|other| other.leaf != first.leaf) {
        Some(other) => Err(CertificateError::Several(first.file, other.file)),
        None => Ok(first),
    }
}

/// Whether the files hold the private key of a certificate.
pub(super) fn key_state(files: &FileContents, certificate: &ServerCertificate) -> KeyState {
    let mut keys = private_keys(files).peekable();
    if keys.peek().is_none() {
        return KeyState::Absent;
    }
    match keys.any(|(_, key)| belongs(&certificate.leaf, &key)) {
        true => KeyState::Present,
        false => KeyState::Mismatch,
    }
}

/// The file with the private key of the first certificate in `pem`.
pub(super) fn private_key_of(pem: &Redacted, files: &FileContents) -> Option<FileName> {
    let leaf = leaf(pem.expose())?;
    let mut keys = private_keys(files);
    keys.find(|(_, key)| belongs(&leaf, key)).map(|(file, _)| file.clone())
}

/// What is certainly wrong with the first certificate in `pem` and its private key, which is there
/// too or in a file of its own.
pub(super) fn pair_fault(pem: &Redacted, files: &FileContents) -> Option<&'static str> {
    let Some(leaf) = leaf(pem.expose()) else {
        return Some("it has no certificate that can be read");
    };
    let is_known = |key: &PrivateKeyDer<'static>| any_supported_type(key).is_ok();
    match PrivateKeyDer::from_pem_slice(pem.expose()) {
        Ok(key) => {
            let pair = CertifiedKey::new(vec![leaf], any_supported_type(&key).ok()?);
            let mismatch = rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch);
            (pair.keys_match() == Err(mismatch)).then_some("its private key is not its own")
        }
        Err(_) if private_key_of(pem, files).is_some() => None,
        Err(_) => private_keys(files)
            .all(|(_, key)| is_known(&key))
            .then_some("none of the private keys among the secrets belongs to it"),
    }
}

fn private_keys(files: &FileContents) -> impl Iterator<Item = (&FileName, PrivateKeyDer<'static>)> {
    files
        .iter()
        .filter_map(|(file, it)| Some((file, PrivateKeyDer::from_pem_slice(it.expose()).ok()?)))
}

/// Whether a private key is that of a certificate, as far as the library can read both.
fn belongs(leaf: &CertificateDer<'static>, key: &PrivateKeyDer<'static>) -> bool {
    let key = any_supported_type(key).ok();
    key.is_some_and(|key| CertifiedKey::new(vec![leaf.clone()], key).keys_match().is_ok())
}

fn leaf(pem: &[u8]) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    use super::*;

    fn generated() -> Generated<rcgen::KeyPair> {
        generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    fn files(entries: &[(&str, String)]) -> FileContents {
        let file = |(name, text): &(&str, String)| {
            let name: SecretName = name.parse().unwrap();
            (FileName::from(&name), Redacted::from(text.clone()))
        };
        entries.iter().map(file).collect()
    }

    fn found(files: &FileContents, named: Option<&str>) -> Result<String, String> {
        let named = named.map(|name| name.parse().unwrap());
        let found = find(files, named.as_ref());
        found.map(|it| it.file.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_certificate_is_the_named_one_or_the_only_one_with_its_key() {
        let (one, two) = (generated(), generated());
        let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let mut entries = vec![
            ("tls.crt", cert.clone()),
            ("tls.key", key.clone()),
            ("ca.crt", two.cert.pem()),
            ("PASSWORD", "secret".to_owned()),
        ];
        let all = files(&entries);
        assert_eq!(found(&all, None), Ok("tls.crt".to_owned()));
        assert_eq!(found(&all, Some("ca.crt")), Ok("ca.crt".to_owned()));
        assert_eq!(
            found(&all, Some("PASSWORD")),
            Err("PASSWORD has no certificate that can be read".to_owned())
        );
        assert_eq!(found(&all, Some("x")), Err("there is no secret x".to_owned()));
        // The same in one file.
        entries.push(("pair.pem", format!("{cert}{key}")));
        assert_eq!(found(&files(&entries), None), Ok("pair.pem".to_owned()));
        entries.push(("other.key", two.signing_key.serialize_pem()));
        assert!(found(&files(&entries), None).unwrap_err().contains("name one"));
        let none = files(&[("tls.crt", cert), ("tls.key", two.signing_key.serialize_pem())]);
        assert!(found(&none, None).unwrap_err().contains("no secret has a certificate"));
    }

    #[test]
    fn a_key_belongs_to_its_certificate_alone() {
        let (one, two) = (generated(), generated());
        let cert = one.cert.pem();
        for (key, expected) in [
            (Some(one.signing_key.serialize_pem()), KeyState::Present),
            (Some(two.signing_key.serialize_pem()), KeyState::Mismatch),
            (None, KeyState::Absent),
            (
                Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_owned()),
                KeyState::Mismatch,
            ),
        ] {
            let mut entries = vec![("tls.crt", cert.clone())];
            entries.extend(key.map(|key| ("tls.key", key)));
            let files = files(&entries);
            let certificate = find(&files, Some(&"tls.crt".parse().unwrap())).unwrap();
            assert_eq!(key_state(&files, &certificate), expected);
        }
    }
}
