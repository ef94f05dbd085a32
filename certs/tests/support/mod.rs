//! A server with a manager's certificate, a client with a bundle, and a clock for both.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use certs::alt_names::SubjectAltNames;
use certs::bundle::TrustBundle;
use certs::clock::Clock;
use certs::manager::Settings;
use certs::resolver::{CertResolver, server_config};
use runtime::tasks::Tasks;
use runtime::tls::{Limits, serve};

pub(crate) const NAME: &str = "webhook.enclii-system.svc";

/// A clock that only moves when a test advances it; seconds since 1970.
#[derive(Clone, Debug)]
pub(crate) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000)))
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.0.fetch_add(duration.as_secs(), Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn clock(&self) -> Clock {
        let hand = self.clone();
        Clock::new(move || hand.now())
    }
}

impl TimeProvider for ManualClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = Duration::from_secs(self.0.load(Ordering::SeqCst));
        Some(UnixTime::since_unix_epoch(since))
    }
}

pub(crate) fn settings(hand: &ManualClock) -> Settings {
    let names = SubjectAltNames::of_service("webhook", "enclii-system").unwrap();
    Settings { clock: hand.clock(), ..Settings::new("Enclii Secrets", names) }
}

/// Serves "hello" on a port of localhost.
pub(crate) async fn hello(resolver: Arc<CertResolver>, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Arc::new(server_config(resolver, &[b"http/1.1"]).unwrap());
    // A test may keep a connection open for a while before its first request.
    let long = Duration::from_secs(3600);
    let limits = Limits { first_request_timeout: long, idle_timeout: long, ..Limits::default() };
    let handler = |_: Request<hyper::body::Incoming>| async {
        Response::new(Full::new(Bytes::from_static(b"hello")))
    };
    tasks.spawn("server", serve(listener, tls, limits, handler, tasks.clone()));
    address
}

/// A full handshake by a client that trusts `bundle` and nothing else.
pub(crate) async fn connect(
    address: SocketAddr,
    bundle: &TrustBundle,
    hand: &ManualClock,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in bundle.certificates() {
        roots.add(certificate.der().clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(hand.clone()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// One request on an open connection.
pub(crate) async fn ask(stream: &mut TlsStream<TcpStream>) {
    let request = b"GET / HTTP/1.1\r\nhost: webhook\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

/// Waits until `condition` holds, at most ten seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within ten seconds: {what}");
}

/// The bundles that were published, with their times.
#[derive(Default)]
pub(crate) struct PublishedBundles(Mutex<Vec<(SystemTime, TrustBundle)>>);

impl PublishedBundles {
    pub(crate) fn note(&self, now: SystemTime, bundle: &TrustBundle) {
        let mut all = self.0.lock().unwrap();
        if all.last().is_none_or(|(_, last)| last != bundle) {
            all.push((now, bundle.clone()));
        }
    }

    pub(crate) fn at(&self, moment: SystemTime) -> Option<TrustBundle> {
        let all = self.0.lock().unwrap();
        let found = all.iter().rev().find(|(since, _)| *since <= moment);
        found.map(|(_, bundle)| bundle.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
