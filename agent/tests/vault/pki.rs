//! Certificates that roll.

use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::harness::Cluster;

const POLICY: &str = r#"path "pki/issue/web" { capabilities = ["update"] }"#;

#[test]
fn a_certificate_is_issued_anew_before_it_ends_and_not_at_each_poll() {
    let cluster = Cluster::start(POLICY, ("1h", "1h"));
    cluster.post("sys/mounts/pki", json!({"type": "pki"}));
    let root = json!({"common_name": "the CA of a test", "ttl": "24h", "key_type": "ec"});
    cluster.post("pki/root/generate/internal", root);
    let role = json!({"allowed_domains": ["shop.example"], "allow_subdomains": true,
        "key_type": "ec", "key_bits": 256, "ttl": "6s", "max_ttl": "1h"});
    cluster.post("pki/roles/web", role);
    let issued = || cluster.list("pki/certs").len();
    let before = issued();
    let secret = |field: &str| {
        json!({"type": "pki", "path": "pki/issue/web", "field": field,
            "parameters": {"common_name": "api.shop.example"}})
    };
    let mut pod = cluster.pod(json!({
        "tls.crt": secret("certificate"),
        "tls.key": secret("private_key"),
        "ca.crt": secret("ca_chain"),
    }));
    pod.start();
    pod.until("a certificate", |pod| pod.file("ca.crt").is_some());
    let mut certificates = Vec::new();
    for _ in 0..140 {
        certificates.push(check_pair(&pod.volume()));
        std::thread::sleep(Duration::from_millis(100));
    }
    certificates.dedup();
    // Every 3.4 to 4 s, in 14 s of polls a second apart.
    let made = issued() - before;
    assert!((3..=6).contains(&certificates.len()), "{} certificates", certificates.len());
    assert!((certificates.len()..=certificates.len() + 1).contains(&made), "{made} issued");
}

/// Checks that both files of a generation fit together. Returns the certificate.
fn check_pair(volume: &std::path::Path) -> Vec<u8> {
    let generation = volume.join(std::fs::read_link(volume.join("..data")).unwrap());
    let read = |name: &str| std::fs::read(generation.join(name)).unwrap();
    let certificate = CertificateDer::from_pem_slice(&read("tls.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("tls.key")).unwrap();
    let chain = CertificateDer::pem_slice_iter(&read("ca.crt")).count();
    assert_eq!(chain, 1);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    // It refuses a key that is not that of the certificate.
    rustls::sign::CertifiedKey::from_der(vec![certificate.clone()], key, &provider).unwrap();
    certificate.to_vec()
}
