//! Which file a certificate of HAProxy's is, and what HAProxy gets of it. Pure.

use std::collections::BTreeMap;

use contract::layout::DATA_LINK;
use contract::{FileName, FilePath, Redacted, SecretName};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::plan::FileContents;
use crate::verify::private_key_of;

/// The file of a certificate that HAProxy has loaded from `name`, if it is one of the agent's.
/// `paths` are the files that are at other paths too. Most images link `/var/run` to `/run`.
pub(super) fn file_of<'f>(
    name: &str,
    (directory, paths): (&str, &BTreeMap<FilePath, FileName>),
    files: &'f FileContents,
) -> Option<&'f FileName> {
    let below = |directory: &str| name.strip_prefix(directory)?.strip_prefix('/');
    let path = below(directory).or_else(|| below(&format!("/var{directory}")))?;
    let path = path.strip_prefix(DATA_LINK).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
    let file = match path.parse::<SecretName>() {
        Ok(name) => FileName::from(&name),
        Err(_) => paths.get(&path.parse().ok()?)?.clone(),
    };
    files.get_key_value(&file).map(|(file, _)| file)
}

/// What HAProxy gets: the blocks of the file, and the private key of its certificate if it has none
/// itself. Nothing else of the file, since an empty line would end the payload.
pub(super) fn of(file: &FileName, files: &FileContents) -> Redacted {
    let mut payload = Vec::new();
    if let Some(bytes) = files.get(file) {
        add_blocks(bytes.expose(), &mut payload);
        let has_key = PrivateKeyDer::from_pem_slice(bytes.expose()).is_ok();
        let other = if has_key { None } else { private_key_of(bytes, files) };
        if let Some(key) = other.and_then(|key| files.get(&key)) {
            add_blocks(key.expose(), &mut payload);
        }
    }
    Redacted::new(payload)
}

/// Adds the lines from each `BEGIN` to its `END`, without blank ones.
fn add_blocks(pem: &[u8], payload: &mut Vec<u8>) {
    let mut is_inside = false;
    for line in pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        is_inside |= line.starts_with(b"-----BEGIN ");
        if is_inside && !line.is_empty() {
            payload.extend_from_slice(line);
            payload.push(b'\n');
        }
        is_inside &= !line.starts_with(b"-----END ");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn files(entries: &[(&str, &str)]) -> FileContents {
        let entry = |(name, text): &(&str, &str)| {
            let name: SecretName = name.parse().unwrap();
            (FileName::from(&name), Redacted::from(text.as_bytes()))
        };
        entries.iter().map(entry).collect()
    }

    fn name(text: &str) -> FileName {
        FileName::from(&text.parse::<SecretName>().unwrap())
    }

    #[test]
    fn a_certificate_is_a_file_by_its_path() {
        let files = files(&[("tls.pem", ""), ("CA", "")]);
        let paths = [("haproxy/api.pem".parse().unwrap(), name("tls.pem"))].into();
        for (path, expected) in [
            ("/run/secrets/tls.pem", Some("tls.pem")),
            ("/var/run/secrets/tls.pem", Some("tls.pem")),
            ("/run/secrets/..data/CA", Some("CA")),
            ("/run/secrets/haproxy/api.pem", Some("tls.pem")),
            ("/run/secrets/..data/haproxy/api.pem", Some("tls.pem")),
            ("/run/secrets/other.pem", None),
            ("/run/secrets/../secrets/tls.pem", None),
            ("/run/secrets-of-mine/tls.pem", None),
            ("/run/secrets", None),
            ("/etc/haproxy/tls.pem", None),
            ("tls.pem", None),
            ("@crt-store/tls.pem", None),
        ] {
            let found = file_of(path, ("/run/secrets", &paths), &files);
            assert_eq!(found.map(FileName::as_str), expected, "{path}");
        }
    }

    #[test]
    fn a_certificate_comes_with_its_key() {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["a".to_owned()]).unwrap();
        let (certificate, key) = (cert.pem(), signing_key.serialize_pem());
        let other = generate_simple_self_signed(["a".to_owned()]).unwrap();
        let lines = |parts: &[&str]| -> String {
            parts.iter().flat_map(|part| part.lines()).map(|line| format!("{line}\n")).collect()
        };
        let pair = format!("# a comment\n\n{key}\r\n\r\n\n{certificate}trailing\n");
        let files = files(&[
            ("cert", &certificate),
            ("key", &key),
            ("other", &other.signing_key.serialize_pem()),
            ("pair", &pair),
            ("PASSWORD", "canary"),
        ]);
        let payload = |file: &str| String::from_utf8(of(&name(file), &files).expose().to_vec());
        assert_eq!(payload("cert").unwrap(), lines(&[&certificate, &key]));
        assert_eq!(payload("pair").unwrap(), lines(&[&key, &certificate]));
        assert_eq!(payload("PASSWORD").unwrap(), "");
    }

    proptest! {
        #[test]
        fn no_payload_has_an_empty_line(
            text in "(-----BEGIN A-----|-----END A-----|[ \\r\\t\\nA-Z])*"
        ) {
            let files = files(&[("a", &text)]);
            let payload = of(&name("a"), &files);
            let text = std::str::from_utf8(payload.expose()).unwrap();
            prop_assert!(text.lines().all(|line| !line.trim().is_empty()));
            prop_assert!(text.is_empty() || text.ends_with('\n'));
        }
    }
}
