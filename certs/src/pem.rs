//! Encodes DER as PEM, in memory that is wiped. (`rustls-pki-types` decodes PEM.)

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const LINE: usize = 64;

/// One PEM section.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    // Sized beforehand: a string that grows leaves copies behind.
    let body = der.len().div_ceil(3) * 4;
    let mut base = Zeroizing::new(String::with_capacity(body));
    STANDARD.encode_string(der, &mut base);
    let mut text = Zeroizing::new(String::with_capacity(body + body / LINE + 2 * label.len() + 64));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = base.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::*;

    proptest! {
        #[test]
        fn encoded_pem_can_be_decoded(der in proptest::collection::vec(any::<u8>(), 1..300)) {
            let text = encode("CERTIFICATE", &der);
            prop_assert!(text.lines().all(|line| line.len() <= LINE));
            prop_assert!(text.capacity() >= text.len());
            let read = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            prop_assert_eq!(read.as_ref(), der.as_slice());
        }
    }
}
