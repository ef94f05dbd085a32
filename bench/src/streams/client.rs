//! The agents' side of thousands of streams, on one thread.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use agent::schedule::{self, Disconnect};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use contract::stream::{
    AgentMessage, BUNDLE_PARAMETER, BundleGeneration, PATH, PROTOCOL, ReloadOutcome,
};
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::received::Received;
use crate::driver::tls_config;
use crate::pod::BUNDLE;

/// How many streams open at the same time.
const OPENERS: usize = 32;
/// How often the arrivals are counted. Each has its own time.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
const OPEN_TIMEOUT: Duration = Duration::from_secs(180);

/// The token of a pod.
pub(crate) fn token(number: usize) -> String {
    format!("bench-pod-{number}")
}

/// Raises the soft limit of open files to the hard one: each stream is an open file.
pub(crate) fn allow_many_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("raise limit of open files")
}

/// A stream received this generation.
struct Arrival {
    number: usize,
    generation: u64,
    at: Instant,
}

/// What arrived and was not taken yet.
type Arrivals = Arc<Mutex<Vec<Arrival>>>;

/// When a stream that ended was tried to open again.
type Attempts = Arc<Mutex<Vec<Instant>>>;

fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

fn put<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().unwrap_or_else(PoisonError::into_inner).push(item);
}

/// Open streams. Dropping this value closes them.
pub(crate) struct Streams {
    count: usize,
    cancel: CancellationToken,
    open: Arc<AtomicUsize>,
    arrivals: Arrivals,
    attempts: Attempts,
    thread: Option<JoinHandle<()>>,
}

impl Streams {
    /// Opens `count` streams, each for another pod.
    pub(crate) fn open(port: u16, ca: &Path, count: usize) -> Result<Self> {
        let (cancel, open, tls) =
            (CancellationToken::new(), Arc::new(AtomicUsize::new(0)), tls_config(ca)?);
        let (arrivals, attempts) = (Arrivals::default(), Attempts::default());
        let (opened, opening) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the streams")?;
        let connector = Connector {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            tls,
            arrivals: Arc::clone(&arrivals),
            attempts: Arc::clone(&attempts),
            open: Arc::clone(&open),
            cancel: cancel.clone(),
            tasks: TaskTracker::new(),
        };
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let result = connector.open(count).await;
                // The receiver is gone only if the caller has given up.
                let _ = opened.send(result);
                connector.cancel.cancelled().await;
                connector.tasks.close();
                connector.tasks.wait().await;
            });
        });
        let streams = Self { count, cancel, open, arrivals, attempts, thread: Some(thread) };
        opening.recv_timeout(OPEN_TIMEOUT).context("open streams: timed out")??;
        Ok(streams)
    }

    /// How many streams are open.
    pub(crate) fn open_streams(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// When streams that had ended were tried to open again, since the last call.
    pub(crate) fn take_attempts(&self) -> Vec<Instant> {
        take(&self.attempts)
    }

    /// Waits until every stream received at least this generation. Returns when each one did.
    pub(crate) fn wait_until_all_hold(
        &self,
        generation: u64,
        timeout: Duration,
    ) -> Result<Vec<Instant>> {
        let end = Instant::now() + timeout;
        let mut times = BTreeMap::new();
        loop {
            let arrived = take(&self.arrivals);
            for it in arrived.iter().filter(|it| it.generation >= generation) {
                times.entry(it.number).or_insert(it.at);
            }
            if times.len() >= self.count {
                return Ok(times.into_values().collect());
            }
            ensure!(
                Instant::now() < end,
                "{} of {} streams received generation {generation}",
                times.len(),
                self.count
            );
            // A wake for each arrival would take processor time from the server.
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What every stream needs to connect.
#[derive(Clone)]
struct Connector {
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    arrivals: Arrivals,
    attempts: Attempts,
    open: Arc<AtomicUsize>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Connector {
    async fn open(&self, count: usize) -> Result<()> {
        let openers: Vec<_> = (0..OPENERS)
            .map(|first| {
                let connector = self.clone();
                self.tasks.spawn(async move {
                    for number in (first..count).step_by(OPENERS) {
                        let stream = connector
                            .connect(number)
                            .await
                            .with_context(|| format!("open stream {number}"))?;
                        let follow = connector.clone();
                        connector.tasks.spawn(async move {
                            follow.cancel.run_until_cancelled(follow.keep(number, stream)).await;
                        });
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for opener in openers {
            opener.await.context("open streams")??;
        }
        Ok(())
    }

    /// Keeps a stream open as an agent does: one that ends is opened again, when the agent's
    /// schedule says so.
    async fn keep(&self, number: usize, stream: Upgraded) {
        let (mut stream, mut failures, mut holds) = (Some(stream), 0u32, Vec::new());
        loop {
            let (opened, mut received) = (Instant::now(), false);
            if let Some(stream) = stream.take() {
                self.open.fetch_add(1, Ordering::SeqCst);
                // Why it ended makes no difference: `open_streams` shows that it did.
                let _ = self.follow((number, stream), &mut holds, &mut received).await;
                self.open.fetch_sub(1, Ordering::SeqCst);
            }
            if schedule::resets_backoff(opened.elapsed(), received) {
                failures = 0;
            }
            failures = failures.saturating_add(1);
            let (reason, random) = (Disconnect::Unavailable, runtime::backoff::random());
            sleep(schedule::reconnect_delay(reason, true, failures, random)).await;
            put(&self.attempts, Instant::now());
            stream = self.connect(number).await.ok();
        }
    }

    async fn connect(&self, number: usize) -> Result<Upgraded> {
        let connecting = timeout(schedule::CONNECT_TIMEOUT, TcpStream::connect(self.address));
        let tcp = connecting.await.context("connect")?.context("connect")?;
        let handshake = TlsConnector::from(Arc::clone(&self.tls))
            .connect(ServerName::try_from("localhost")?, tcp);
        let tls = timeout(schedule::HANDSHAKE_TIMEOUT, handshake)
            .await
            .context("handshake")?
            .context("handshake")?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(tls)).await.context("open connection")?;
        self.tasks.spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        let request = Request::builder()
            .uri(format!("{PATH}?{BUNDLE_PARAMETER}={BUNDLE}"))
            .header(header::HOST, "localhost")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, PROTOCOL)
            .header(header::AUTHORIZATION, format!("Bearer {}", token(number)))
            .body(Empty::<Bytes>::new())?;
        let answer = timeout(schedule::LOGIN_TIMEOUT, sender.send_request(request))
            .await
            .context("request stream")?
            .context("request stream")?;
        ensure!(
            answer.status() == StatusCode::SWITCHING_PROTOCOLS,
            "request stream: {}",
            answer.status()
        );
        hyper::upgrade::on(answer).await.context("upgrade")
    }

    /// Does what an agent does on its stream, without files. The values are not looked at: what an
    /// agent does with them costs its own node, and not the server's.
    ///
    /// `held` is what it holds, and `is_served` says whether it has got something.
    async fn follow(
        &self,
        (number, stream): (usize, Upgraded),
        held: &mut Vec<BundleGeneration>,
        is_served: &mut bool,
    ) -> Result<()> {
        let (mut stream, mut received) = (TokioIo::new(stream), Received::default());
        let hello = AgentMessage::Hello {
            agent: "bench".into(),
            holds: held.clone(),
            refused: Vec::new(),
            counts_requests: false,
        };
        send(&mut stream, &hello).await?;
        loop {
            while let Some((at, header)) = received.next_header()? {
                match &*header.kind {
                    "hold" => {
                        let holds = header.bundles;
                        let generation =
                            holds.iter().map(|it| it.generation.0).max().unwrap_or_default();
                        put(&self.arrivals, Arrival { number, generation, at });
                        held.clone_from(&holds);
                        *is_served = true;
                        let reload = ReloadOutcome::NotNeeded;
                        send(&mut stream, &AgentMessage::Applied { holds, reload }).await?;
                    }
                    "ping" => send(&mut stream, &AgentMessage::Pong).await?,
                    "refused" => bail!("refused: {}", header.detail),
                    _ => {}
                }
            }
            ensure!(stream.read_buf(received.room()).await? > 0, "the stream ended");
        }
    }
}

async fn send(stream: &mut TokioIo<Upgraded>, message: &AgentMessage) -> Result<()> {
    stream.write_all(message.encode()?.expose()).await?;
    Ok(stream.flush().await?)
}
