//! A switchyard that does what the test says, byte for byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use contract::stream::frame::Decoder;
use contract::stream::{AgentMessage, HeldBundle, HeldSecret, ServerMessage, Snapshot};
use contract::{Generation, Redacted, Version};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Nothing in these tests takes this long; what does has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap()
}

/// A certification authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A listening server.
pub(crate) struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Server {
    pub(crate) async fn start(authority: &Authority) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), authority).await
    }

    pub(crate) async fn at(address: SocketAddr, authority: &Authority) -> Self {
        Self { listener: TcpListener::bind(address).await.unwrap(), acceptor: authority.acceptor() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection, up to the end of its request's head.
    pub(crate) async fn login(&self) -> Login {
        soon(async {
            let (tcp, _) = self.listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let mut tls = self.acceptor.accept(tcp).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tls.read_u8().await.unwrap());
            }
            Login { head: String::from_utf8(head).unwrap(), tls }
        })
        .await
    }

    /// The next connection, which must not get through the TLS handshake.
    pub(crate) async fn rejected_login(&self) {
        let (tcp, _) = soon(self.listener.accept()).await.unwrap();
        assert!(soon(self.acceptor.accept(tcp)).await.is_err());
    }

    /// A login that is taken, and its first message.
    pub(crate) async fn session(&self) -> (Session, Vec<u64>) {
        let mut session = self.login().await.open().await;
        let AgentMessage::Hello { agent, holds } = session.hear().await else { panic!("no hello") };
        assert_eq!(agent, env!("CARGO_PKG_VERSION"));
        (session, holds.into_iter().map(|held| held.generation.0).collect())
    }
}

/// A request for a stream.
pub(crate) struct Login {
    pub(crate) head: String,
    tls: TlsStream<TcpStream>,
}

impl Login {
    pub(crate) fn has(&self, line: &str) -> bool {
        self.head.split("\r\n").any(|found| found.eq_ignore_ascii_case(line))
    }

    pub(crate) async fn refuse(mut self, status: &str, body: &str) {
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        soon(self.tls.write_all(answer.as_bytes())).await.unwrap();
        soon(self.tls.shutdown()).await.unwrap();
    }

    pub(crate) async fn open(self) -> Session {
        self.open_with(&[]).await
    }

    /// Opens the stream and sends bytes of it in the same breath.
    pub(crate) async fn open_with(mut self, bytes: &[u8]) -> Session {
        let mut answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: enclii-stream/1\r\n\r\n".to_vec();
        answer.extend_from_slice(bytes);
        soon(self.tls.write_all(&answer)).await.unwrap();
        Session { tls: self.tls, decoder: Decoder::default() }
    }
}

/// An open stream. Dropped, it is cut.
pub(crate) struct Session {
    tls: TlsStream<TcpStream>,
    decoder: Decoder,
}

impl Session {
    pub(crate) async fn say(&mut self, message: &ServerMessage) {
        self.write(message.encode().unwrap().expose()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.tls.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn hear(&mut self) -> AgentMessage {
        soon(async {
            loop {
                if let Some(frame) = self.decoder.next_frame().unwrap() {
                    return AgentMessage::decode(&frame).unwrap();
                }
                let mut buffer = [0; 1024];
                let count = self.tls.read(&mut buffer).await.unwrap();
                assert_ne!(count, 0, "the agent closed the stream");
                self.decoder.push(&buffer[..count]);
            }
        })
        .await
    }

    /// Waits until the agent has closed the stream.
    pub(crate) async fn closed(mut self) {
        let mut buffer = [0; 1024];
        while !matches!(soon(self.tls.read(&mut buffer)).await, Ok(0) | Err(_)) {}
    }
}

/// `api-prod` at this generation.
pub(crate) fn hold(generation: u64, secrets: &[(&str, &[u8])]) -> ServerMessage {
    hold_of("api-prod", generation, secrets)
}

pub(crate) fn hold_of(bundle: &str, generation: u64, secrets: &[(&str, &[u8])]) -> ServerMessage {
    let secrets: BTreeMap<_, _> = secrets
        .iter()
        .map(|(name, value)| {
            (
                name.parse().unwrap(),
                HeldSecret { version: Version(generation), value: Redacted::from(*value) },
            )
        })
        .collect();
    ServerMessage::Hold(Snapshot {
        bundles: vec![HeldBundle {
            bundle: bundle.parse().unwrap(),
            generation: Generation(generation),
            secrets,
        }],
    })
}
