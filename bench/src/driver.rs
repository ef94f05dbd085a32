//! A client that keeps a number of TLS connections busy, each with one request after the other, as
//! a busy API server does with a webhook.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use crate::statistics::{median, milliseconds, percentile};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// By how many bytes an answer may differ from the first: versions, generations and times are as
/// long as they are.
const MAX_LENGTH_DIFFERENCE: usize = 64;

/// What to drive, and how.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The name in its certificate.
    pub host: &'static str,
    /// What the connections send, each one of them and in turn.
    pub requests: Vec<RequestTemplate>,
    /// Whom to trust; plain HTTP where this is nothing.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// How many connections.
    pub connections: usize,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub duration: Duration,
}

/// A request that is sent again and again.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// How.
    pub method: Method,
    /// The path.
    pub path: String,
    /// A header that it needs.
    pub header: (&'static str, String),
    /// The JSON to send.
    pub body: Bytes,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// Answers a second.
    pub per_second: f64,
    /// The middle one, in milliseconds.
    pub p50: f64,
    /// The slowest hundredth begins here, in milliseconds.
    pub p99: f64,
}

/// Drives the server. Each answer has to be 200 and what `check` expects; of a webhook's reviews
/// every answer is as long as the first one, but numbers that count up grow.
///
/// # Errors
/// Where one of the requests fails.
pub fn drive(load: &Load, check: fn(&[u8]) -> Result<()>) -> Result<Measurement> {
    // One thread: the server has the other processor, and takes its share of this one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the driver")?;
    let times = runtime.block_on(async {
        let tasks = TaskTracker::new();
        let mut opened = Vec::with_capacity(load.connections);
        for _ in 0..load.connections {
            let connecting = connect(load, &tasks);
            opened.push(timeout(CONNECT_TIMEOUT, connecting).await.context("connect: no answer")??);
        }
        let from = Instant::now() + load.warm_up;
        let driving: Vec<JoinHandle<Result<Vec<f64>>>> = opened
            .into_iter()
            .enumerate()
            .map(|(number, sender)| {
                tasks.spawn(keep_busy(sender, number, load.clone(), from, check))
            })
            .collect();
        let mut times = Vec::new();
        for one in driving {
            times.extend(one.await.context("drive a connection")??);
        }
        anyhow::Ok(times)
    })?;
    ensure!(!times.is_empty(), "no answer came in time");
    let (p50, p99) =
        (median(&times).context("no answer")?, percentile(&times, 99).context("no answer")?);
    // Fewer answers than 2^52: nothing is lost.
    Ok(Measurement { per_second: times.len() as f64 / load.duration.as_secs_f64(), p50, p99 })
}

/// A client configuration that trusts only the CAs in that PEM file.
pub(crate) fn tls_config(ca: &Path) -> Result<Arc<rustls::ClientConfig>> {
    let pem = std::fs::read(ca).with_context(|| format!("read {}", ca.display()))?;
    let roots =
        runtime::root_certs::from_pem(&pem).with_context(|| format!("parse {}", ca.display()))?;
    Ok(Arc::new(
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth(),
    ))
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(load: &Load, tasks: &TaskTracker) -> Result<Sender> {
    let tcp = TcpStream::connect(load.address).await.context("connect")?;
    tcp.set_nodelay(true).context("connect")?;
    match &load.tls {
        None => open(tcp, tasks).await,
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(tls));
            open(
                connector
                    .connect(ServerName::try_from(load.host)?, tcp)
                    .await
                    .context("handshake")?,
                tasks,
            )
            .await
        }
    }
}

async fn open(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    tasks: &TaskTracker,
) -> Result<Sender> {
    let (sender, connection) =
        http1::handshake(TokioIo::new(io)).await.context("open connection")?;
    // Its error is the error of the request that it carries.
    tasks.spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// Sends one request after the other, and gives the time of each that was answered within the
/// counted duration, in milliseconds.
async fn keep_busy(
    mut sender: Sender,
    number: usize,
    load: Load,
    from: Instant,
    check: fn(&[u8]) -> Result<()>,
) -> Result<Vec<f64>> {
    let until = from + load.duration;
    let asked = load.requests.get(number % load.requests.len().max(1)).context("nothing to ask")?;
    let mut times = Vec::new();
    let mut first = None;
    loop {
        let sent = Instant::now();
        let answer = timeout(RESPONSE_TIMEOUT, exchange(&mut sender, load.host, asked))
            .await
            .context("send request: no answer")??;
        let answered = Instant::now();
        // To parse each would take the processor from the server: the length says nearly as much.
        let length = *first.get_or_insert(answer.len());
        if times.is_empty() {
            check(&answer)?;
        }
        ensure!(
            answer.len().abs_diff(length) <= MAX_LENGTH_DIFFERENCE,
            "one request was answered otherwise than the same one before"
        );
        if answered > until {
            return Ok(times);
        }
        if answered > from {
            times.push(milliseconds(answered - sent));
        }
    }
}

async fn exchange(sender: &mut Sender, host: &str, asked: &RequestTemplate) -> Result<Bytes> {
    let (name, value) = &asked.header;
    let request = Request::builder()
        .method(asked.method.clone())
        .uri(&asked.path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json")
        .header(*name, value)
        .body(Full::new(asked.body.clone()))?;
    sender.ready().await.context("wait for connection")?;
    let answer = sender.send_request(request).await.context("send request")?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("read answer")?.to_bytes();
    ensure!(status == StatusCode::OK, "answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}
