//! Vault behind TLS, which a proxy ends.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Cluster, KV_POLICY};

/// A CA: its certificate as PEM, and what issues in its name.
pub(crate) fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

/// Starts a proxy to `vault` that speaks this version of TLS. Its thread ends with the process.
pub(crate) fn proxy(
    vault: u16,
    ca: &Issuer<'static, KeyPair>,
    version: &'static SupportedProtocolVersion,
) -> SocketAddr {
    let mut leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, ca).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(mut near) = acceptor.accept(stream).await else { return };
                    let mut far = TcpStream::connect(("127.0.0.1", vault)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    });
    address
}

#[test]
fn only_the_configured_ca_is_trusted() {
    let cluster = Cluster::start(KV_POLICY, ("1h", "1h"));
    cluster.put("shop/one", json!({"x": "1"}));
    let secret = json!({"X": {"type": "kv", "mount": "secret", "path": "shop/one", "field": "x"}});
    let (ca, issuer) = authority();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let address = proxy(cluster.vault.port(), &issuer, version);
        let mut pod = cluster.pod(secret.clone());
        pod.source().address = format!("https://{address}");
        pod.source().ca = ca.clone();
        pod.start();
        pod.until_file("X", "1");
        let mut other = cluster.pod(secret.clone());
        other.source().address = format!("https://{address}");
        other.source().ca = authority().0;
        other.start();
        other.until_logged("connect to Vault: invalid peer certificate");
        assert_eq!(other.file("X"), None);
    }
}
