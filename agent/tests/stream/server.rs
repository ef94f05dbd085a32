//! A switchyard that the test controls, byte for byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::stream::frame::Decoder;
use contract::stream::{
    AgentMessage, BundleGeneration, HeldBundle, HeldSecret, ServerMessage, Snapshot,
};
use contract::{Generation, Redacted, Version};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{advance, pause, resume, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// No step of these tests takes this long unless it failed.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a future, and panics if it takes longer than [`TEST_TIMEOUT`].
pub(crate) async fn with_timeout<T>(future: impl Future<Output = T>) -> T {
    timeout(TEST_TIMEOUT, future).await.unwrap()
}

/// A certificate authority.
pub(crate) struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl TestCa {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn acceptor(&self) -> TlsAcceptor {
        self.acceptor_in(None)
    }

    /// A server whose certificate is valid from and to these numbers of seconds from now.
    fn acceptor_in(&self, validity: Option<(i64, i64)>) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        if let Some((from, to)) = validity {
            let now = std::time::SystemTime::now();
            let at = |seconds: i64| match Duration::from_secs(seconds.unsigned_abs()) {
                ago if seconds < 0 => now - ago,
                ahead => now + ahead,
            };
            (params.not_before, params.not_after) = (at(from).into(), at(to).into());
        }
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
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
    /// A connection that [`Self::soon`] has waited for.
    waiting: Mutex<Option<TcpStream>>,
}

impl Server {
    pub(crate) async fn start(ca: &TestCa) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), ca).await
    }

    pub(crate) async fn at(address: SocketAddr, ca: &TestCa) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self { listener, acceptor: ca.acceptor(), waiting: Mutex::default() }
    }

    /// Goes on with a certificate that is valid from and to these numbers of seconds from now.
    pub(crate) fn certify(&mut self, ca: &TestCa, validity: Option<(i64, i64)>) {
        self.acceptor = ca.acceptor_in(validity);
    }

    /// Accepts the next connection, encrypted or not.
    pub(crate) async fn accept(&self) -> TcpStream {
        if let Some(tcp) = self.waiting.lock().unwrap().take() {
            return tcp;
        }
        with_timeout(self.listener.accept()).await.unwrap().0
    }

    /// Lets the time pass that the agent waits before its next attempt to connect.
    pub(crate) async fn soon(&self) {
        with_timeout(async {
            let tcp = loop {
                match timeout(Duration::from_millis(200), self.listener.accept()).await {
                    Ok(accepted) => break accepted.unwrap().0,
                    // No attempt is under way, so nothing of it comes to its time-out.
                    Err(_) => {
                        pause();
                        advance(Duration::from_secs(2)).await;
                        resume();
                    }
                }
            };
            *self.waiting.lock().unwrap() = Some(tcp);
        })
        .await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Accepts the next connection and reads the head of its request.
    pub(crate) async fn login(&self) -> Login {
        with_timeout(async {
            let tcp = self.accept().await;
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

    /// Accepts the next connection, whose TLS handshake must fail.
    pub(crate) async fn rejected_login(&self) {
        let tcp = self.accept().await;
        assert!(with_timeout(self.acceptor.accept(tcp)).await.is_err());
    }

    /// Accepts a login and returns its stream with the generations of the first message.
    pub(crate) async fn session(&self) -> (Session, Vec<u64>) {
        let mut session = self.login().await.open().await;
        let AgentMessage::Hello { agent, holds, .. } = session.receive().await else {
            panic!("no hello")
        };
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
    pub(crate) fn has_header(&self, line: &str) -> bool {
        self.head.split("\r\n").any(|found| found.eq_ignore_ascii_case(line))
    }

    pub(crate) async fn refuse(mut self, status: &str, body: &str) {
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        with_timeout(self.tls.write_all(answer.as_bytes())).await.unwrap();
        with_timeout(self.tls.shutdown()).await.unwrap();
    }

    /// The connection, for an answer of any bytes.
    pub(crate) fn into_connection(self) -> TlsStream<TcpStream> {
        self.tls
    }

    pub(crate) async fn open(self) -> Session {
        self.open_with(&[]).await
    }

    /// Opens the stream and sends its first bytes in the same write.
    pub(crate) async fn open_with(mut self, bytes: &[u8]) -> Session {
        let mut answer = concat!(
            "HTTP/1.1 101 Switching Protocols\r\n",
            "connection: upgrade\r\nupgrade: enclii-stream/1\r\n\r\n",
        )
        .as_bytes()
        .to_vec();
        answer.extend_from_slice(bytes);
        with_timeout(self.tls.write_all(&answer)).await.unwrap();
        Session { tls: self.tls, decoder: Decoder::default() }
    }
}

/// An open stream. Dropping it cuts the connection.
pub(crate) struct Session {
    tls: TlsStream<TcpStream>,
    decoder: Decoder,
}

impl Session {
    pub(crate) async fn send(&mut self, message: &ServerMessage) {
        self.write(message.encode().unwrap().expose()).await;
    }

    /// `None` if the agent has closed the stream.
    pub(crate) async fn try_send(&mut self, message: &ServerMessage) -> Option<()> {
        with_timeout(self.tls.write_all(message.encode().unwrap().expose())).await.ok()
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        with_timeout(self.tls.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> AgentMessage {
        let message = with_timeout(self.try_receive()).await;
        message.unwrap_or_else(|| panic!("the agent closed the stream"))
    }

    /// The next message, or `None` if the agent has closed the stream.
    pub(crate) async fn try_receive(&mut self) -> Option<AgentMessage> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(AgentMessage::decode(&frame).unwrap());
            }
            let mut buffer = [0; 1024];
            match self.tls.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.push(&buffer[..count]),
            }
        }
    }

    /// The stream after the agent's first message, or `None` if it has ended before that.
    pub(crate) async fn with_hello(mut self) -> Option<(Self, Vec<BundleGeneration>)> {
        match self.try_receive().await? {
            AgentMessage::Hello { holds, .. } => Some((self, holds)),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the agent has closed the stream.
    pub(crate) async fn wait_closed(mut self) {
        let mut buffer = [0; 1024];
        while !matches!(with_timeout(self.tls.read(&mut buffer)).await, Ok(0) | Err(_)) {}
    }
}

/// A snapshot of `api-prod` at this generation.
pub(crate) fn snapshot(generation: u64, secrets: &[(&str, &[u8])]) -> ServerMessage {
    snapshot_of("api-prod", generation, secrets)
}

pub(crate) fn snapshot_of(
    bundle: &str,
    generation: u64,
    secrets: &[(&str, &[u8])],
) -> ServerMessage {
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
            tag: None,
            secrets,
        }],
    })
}
