//! A client that keeps a number of TLS connections busy, each with one request after another, as a
//! busy API server does with a webhook.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::Method;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use crate::exchange::Exchange;
use crate::statistics::{median, milliseconds, percentile};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// By how many bytes the length of a response may differ from the first one's: versions,
/// generations and times vary in length.
const MAX_LENGTH_DIFFERENCE: usize = 64;

/// What to drive, and how.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The name in its certificate.
    pub host: &'static str,
    /// The requests; connection `n` repeats request `n`, modulo their number.
    pub requests: Vec<RequestTemplate>,
    /// The TLS configuration; `None` for plain HTTP.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The number of connections.
    pub connections: usize,
    /// Time before the measurement, not counted.
    pub warm_up: Duration,
    /// Time of the measurement.
    pub duration: Duration,
}

/// A request that a connection repeats.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// A header that it needs.
    pub header: (&'static str, String),
    /// The JSON to send.
    pub body: Bytes,
}

impl RequestTemplate {
    fn to_bytes(&self, host: &str) -> Vec<u8> {
        let Self { method, path, header: (name, value), body } = self;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{name}: {value}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

/// The measured throughput and latency.
#[derive(Clone, Copy, Debug)]
pub struct LoadResult {
    /// Responses per second.
    pub per_second: f64,
    /// The median, in milliseconds.
    pub p50: f64,
    /// The 99th percentile, in milliseconds.
    pub p99: f64,
}

/// Drives the server. Each response has to be 200, the first one has to pass `check`, and the
/// others have to be about as long as the first one.
///
/// # Errors
/// If a request fails.
pub fn drive(
    load: &Load,
    check: impl Fn(&[u8]) -> Result<()> + Copy + Send + 'static,
) -> Result<LoadResult> {
    // One thread, which leaves the other processor to the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the driver")?;
    let times = runtime.block_on(async {
        let tasks = TaskTracker::new();
        let mut opened = Vec::with_capacity(load.connections);
        for _ in 0..load.connections {
            let connecting = connect(load);
            opened.push(timeout(CONNECT_TIMEOUT, connecting).await.context("connect: no answer")??);
        }
        let from = Instant::now() + load.warm_up;
        let driving: Vec<JoinHandle<Result<Vec<f64>>>> = opened
            .into_iter()
            .enumerate()
            .map(|(number, stream)| {
                tasks.spawn(keep_busy(stream, number, load.clone(), from, check))
            })
            .collect();
        let mut times = Vec::new();
        for task in driving {
            times.extend(task.await.context("drive a connection")??);
        }
        anyhow::Ok(times)
    })?;
    ensure!(!times.is_empty(), "no response came in time");
    let (p50, p99) =
        (median(&times).context("no answer")?, percentile(&times, 99).context("no answer")?);
    // Fewer than 2^52 responses: the conversion is exact.
    Ok(LoadResult { per_second: times.len() as f64 / load.duration.as_secs_f64(), p50, p99 })
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

/// The bytes of a connection, in plain text or under TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(load: &Load) -> Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect(load.address).await.context("connect")?;
    tcp.set_nodelay(true).context("connect")?;
    let Some(tls) = &load.tls else { return Ok(Box::new(tcp)) };
    let connector = TlsConnector::from(Arc::clone(tls));
    let name = ServerName::try_from(load.host)?;
    Ok(Box::new(connector.connect(name, tcp).await.context("handshake")?))
}

/// Sends one request after another. Returns the milliseconds of each one that was answered within
/// the measured time.
async fn keep_busy(
    stream: Box<dyn Stream>,
    number: usize,
    load: Load,
    from: Instant,
    check: impl Fn(&[u8]) -> Result<()> + Copy + Send + 'static,
) -> Result<Vec<f64>> {
    let until = from + load.duration;
    let asked = load.requests.get(number % load.requests.len().max(1)).context("nothing to ask")?;
    let mut exchange = Exchange::new(stream, asked.to_bytes(load.host));
    let mut times = Vec::new();
    let mut first = None;
    loop {
        let sent = Instant::now();
        let answer = timeout(RESPONSE_TIMEOUT, exchange.once())
            .await
            .context("send request: no answer")??;
        let answered = Instant::now();
        // Parsing each response would take processor time from the server; the length is nearly as
        // good.
        let length = *first.get_or_insert(answer.len());
        if times.is_empty() {
            check(answer)?;
        }
        ensure!(
            answer.len().abs_diff(length) <= MAX_LENGTH_DIFFERENCE,
            "a response differs from an earlier one to the same request"
        );
        if answered > until {
            return Ok(times);
        }
        if answered > from {
            times.push(milliseconds(answered - sent));
        }
    }
}
