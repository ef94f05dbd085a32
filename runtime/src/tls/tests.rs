//! The listener as clients meet it.

mod leaving;
mod strangers;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::registry::Registry;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;

const GRACE: Duration = Duration::from_secs(10);

struct Server {
    address: SocketAddr,
    client: Arc<ClientConfig>,
    tasks: Tasks,
}

fn configs() -> (Arc<ServerConfig>, ClientConfig) {
    crate::provider::install().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let chain = vec![made.cert.der().clone()];
    let mut server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), client)
}

async fn start<H: Handler>(limits: Limits, handler: H) -> Server {
    let (server, client) = configs();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    tasks.spawn_vital("listener", serve(listener, server, limits, handler, tasks.clone()));
    Server { address, client: Arc::new(client), tasks }
}

type Stream = tokio_rustls::client::TlsStream<TcpStream>;

impl Server {
    async fn connect(&self, alpn: &[&[u8]]) -> Stream {
        let mut config = ClientConfig::clone(&self.client);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, tcp).await.unwrap()
    }
}

async fn hello(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let peer = request.extensions().get::<PeerAddr>().unwrap();
    assert!(peer.0.ip().is_loopback());
    let text = format!("{:?} {}", request.version(), request.uri().path());
    Response::new(Full::new(Bytes::from(text)))
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("https://localhost{path}");
    let request = Request::builder().uri(uri).header("host", "localhost");
    request.body(Empty::new()).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn alpn_chooses_the_protocol() {
    let server = start(Limits::default(), hello).await;

    let stream = server.connect(&[b"h2"]).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    server.tasks.spawn("client", async { connection.await.unwrap() });
    let answer = text(sender.send_request(get("/a")).await.unwrap()).await;
    assert_eq!(answer, "HTTP/2.0 /a");

    for alpn in [&[b"http/1.1".as_slice()][..], &[]] {
        let stream = server.connect(alpn).await;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        server.tasks.spawn("client", async { connection.await.unwrap() });
        for path in ["/b", "/c"] {
            let answer = text(sender.send_request(get(path)).await.unwrap()).await;
            assert_eq!(answer, format!("HTTP/1.1 {path}"));
        }
        drop(sender);
    }
    drop(sender);
    assert_eq!(server.tasks.drain(GRACE).await, Ok(()));
}

#[tokio::test]
async fn an_axum_router_is_a_handler() {
    let router = axum::Router::new().route(
        "/{name}",
        axum::routing::get(|axum::extract::Path(name): axum::extract::Path<String>| async { name }),
    );
    let server = start(Limits::default(), tower_handler(router)).await;
    let mut stream = server.connect(&[]).await;
    let request = b"GET /hi HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hi"), "{answer}");
}

#[tokio::test]
async fn a_connection_can_be_upgraded() {
    let handler = |request: Request<Incoming>| async move {
        let upgrade = hyper::upgrade::on(request);
        let tasks = Tasks::new();
        tasks.spawn("echo", async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut bytes = [0; 4];
            io.read_exact(&mut bytes).await.unwrap();
            io.write_all(&bytes).await.unwrap();
        });
        let response = Response::builder().status(101);
        let response = response.header("connection", "upgrade").header("upgrade", "echo");
        response.body(Empty::<Bytes>::new()).unwrap()
    };
    let server = start(Limits::default(), handler).await;
    let mut stream = server.connect(&[]).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
}

#[tokio::test]
async fn the_drain_answers_what_is_in_flight_and_closes_what_is_idle() {
    let slow = |_: Request<Incoming>| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Response::new(Full::new(Bytes::from_static(b"done")))
    };
    let server = start(Limits::default(), slow).await;
    let mut idle = server.connect(&[]).await;
    let mut busy = server.connect(&[]).await;
    busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (drained, answer) = tokio::join!(server.tasks.drain(GRACE), async {
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert_eq!(drained, Ok(()));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn silence_is_bounded() {
    let limits = Limits {
        handshake_timeout: Duration::from_millis(100),
        first_request_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(limits, hello).await;
    // Says nothing at all, then nothing after the handshake, then half a header.
    let mut dumb = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(dumb.read(&mut [0; 8]).await.unwrap_or(0), 0);
    for start in ["", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = server.connect(&[]).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0, "{start:?}");
    }
    assert_eq!(server.tasks.drain(GRACE).await, Ok(()));
}

#[tokio::test]
async fn an_open_connection_may_be_idle_for_longer_than_the_first_request_may_take() {
    let limits = Limits { first_request_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(limits, hello).await;
    let mut stream = server.connect(&[]).await;
    for _ in 0..2 {
        stream.write_all(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"HTTP/1.1 /x") {
            answer.push(stream.read_u8().await.unwrap());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn connections_above_the_cap_wait_for_a_slot() {
    static OPEN: AtomicUsize = AtomicUsize::new(0);
    static MAX_OPEN: AtomicUsize = AtomicUsize::new(0);
    let handler = |_: Request<Incoming>| async {
        let open = OPEN.fetch_add(1, Ordering::SeqCst) + 1;
        MAX_OPEN.fetch_max(open, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        OPEN.fetch_sub(1, Ordering::SeqCst);
        Response::new(Empty::<Bytes>::new())
    };
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let server = start(limits, handler).await;
    let one = || async {
        let mut stream = server.connect(&[]).await;
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    tokio::join!(one(), one(), one(), one(), one(), one());
    assert_eq!(MAX_OPEN.load(Ordering::SeqCst), 2);
}

#[test]
fn accept_errors_pause_longer_and_longer() {
    let mut pause = AcceptBackoff::default();
    let waits: Vec<u128> = (0..7).map(|_| pause.next().as_millis()).collect();
    assert_eq!(waits, [50, 100, 200, 400, 800, 1_000, 1_000]);
}

#[tokio::test]
async fn the_admin_port_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tasks, readiness) = (Tasks::new(), crate::readiness::Readiness::new());
    readiness.gate("store");
    crate::admin::start(listener, Registry::default(), &readiness, &tasks).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("waiting for: store\n"), "{answer}");
    assert_eq!(tasks.drain(GRACE).await, Ok(()));
}
