//! A client that keeps a number of TLS connections busy, each with one request after the other, as a
//! busy API server does with a webhook.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::TaskTracker;

use crate::numbers::{milliseconds, percentile};

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// What to drive, and how.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The name in its certificate.
    pub host: &'static str,
    /// The path to POST to.
    pub path: String,
    /// The JSON to send.
    pub body: Bytes,
    /// How many connections.
    pub connections: usize,
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub duration: Duration,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Answers a second.
    pub per_second: f64,
    /// The slowest hundredth begins here, in milliseconds.
    pub p99: f64,
}

/// Drives the server. Each answer has to be 200 and as long as the first one, which `check` has seen.
///
/// # Errors
/// Where one of the requests fails.
pub fn drive(load: &Load, tls: Arc<rustls::ClientConfig>, check: fn(&[u8]) -> Result<()>) -> Result<Found> {
    // One thread: the server has the other processor, and takes its share of this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the driver")?;
    let times = runtime.block_on(async {
        let tasks = TaskTracker::new();
        let mut opened = Vec::with_capacity(load.connections);
        for _ in 0..load.connections {
            let connecting = connect(load, TlsConnector::from(Arc::clone(&tls)), &tasks);
            opened.push(timeout(CONNECT_DEADLINE, connecting).await.context("connect: no answer")??);
        }
        let from = Instant::now() + load.warm_up;
        let driving: Vec<JoinHandle<Result<Vec<f64>>>> =
            opened.into_iter().map(|sender| tasks.spawn(keep_busy(sender, load.clone(), from, check))).collect();
        let mut times = Vec::new();
        for one in driving {
            times.extend(one.await.context("drive a connection")??);
        }
        anyhow::Ok(times)
    })?;
    ensure!(!times.is_empty(), "no answer came in time");
    let p99 = percentile(&times, 99).context("no answer")?;
    // Fewer answers than 2^52: nothing is lost.
    Ok(Found { per_second: times.len() as f64 / load.duration.as_secs_f64(), p99 })
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(load: &Load, connector: TlsConnector, tasks: &TaskTracker) -> Result<Sender> {
    let tcp = TcpStream::connect(load.address).await.context("connect")?;
    tcp.set_nodelay(true).context("connect")?;
    let tls = connector.connect(ServerName::try_from(load.host)?, tcp).await.context("handshake")?;
    let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.context("open connection")?;
    // Its error is the error of the request that it carries.
    tasks.spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// Sends one request after the other, and gives the time of each that was answered within the
/// counted duration, in milliseconds.
async fn keep_busy(mut sender: Sender, load: Load, from: Instant, check: fn(&[u8]) -> Result<()>) -> Result<Vec<f64>> {
    let until = from + load.duration;
    let mut times = Vec::new();
    let mut length = None;
    loop {
        let sent = Instant::now();
        let answer = timeout(ANSWER_DEADLINE, exchange(&mut sender, &load)).await.context("send request: no answer")??;
        let answered = Instant::now();
        if length.is_none() {
            check(&answer)?;
        }
        ensure!(*length.get_or_insert(answer.len()) == answer.len(), "one request was answered otherwise than the same one before");
        if answered > until {
            return Ok(times);
        }
        if answered > from {
            times.push(milliseconds(answered - sent));
        }
    }
}

async fn exchange(sender: &mut Sender, load: &Load) -> Result<Bytes> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(&load.path)
        .header(header::HOST, load.host)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(load.body.clone()))?;
    sender.ready().await.context("wait for connection")?;
    let answer = sender.send_request(request).await.context("send request")?;
    let status = answer.status();
    let body = answer.into_body().collect().await.context("read answer")?.to_bytes();
    ensure!(status == StatusCode::OK, "answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}
