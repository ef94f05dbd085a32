//! Agents' sides of streams, thousands of them on one thread.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use contract::stream::frame::Decoder;
use contract::stream::{
    AgentMessage, BUNDLE_PARAMETER, Held, Outcome, PATH, PROTOCOL, ServerMessage,
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
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::load::tls;
use crate::pod::BUNDLE;

/// How many are opened at once.
const OPENERS: usize = 32;
const OPEN_DEADLINE: Duration = Duration::from_secs(180);

/// The token of a pod.
pub(crate) fn token(number: usize) -> String {
    format!("bench-pod-{number}")
}

/// Each stream is a file, and the usual limit is one that a process may raise for itself.
pub(crate) fn allow_many_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("raise limit of open files")
}

/// A stream was told to hold this generation.
struct Arrival {
    generation: u64,
    at: Instant,
}

/// Open streams. Dropping them closes them all.
pub(crate) struct Streams {
    count: usize,
    over: CancellationToken,
    open: Arc<AtomicUsize>,
    arrivals: Mutex<Receiver<Arrival>>,
    thread: Option<JoinHandle<()>>,
}

impl Streams {
    /// Opens that many, each of another pod.
    pub(crate) fn open(port: u16, ca: &Path, count: usize) -> Result<Self> {
        let (over, open, tls) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)), tls(ca)?);
        let (arrived, arrivals) = channel();
        let (opened, opening) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the streams")?;
        let all = All {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            tls,
            arrived,
            open: Arc::clone(&open),
            over: over.clone(),
            tasks: TaskTracker::new(),
        };
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let result = all.open(count).await;
                // Where nobody waits any more, all of it is over.
                let _ = opened.send(result);
                all.over.cancelled().await;
                all.tasks.close();
                all.tasks.wait().await;
            });
        });
        let streams = Self { count, over, open, arrivals: arrivals.into(), thread: Some(thread) };
        opening.recv_timeout(OPEN_DEADLINE).context("open streams: not within the deadline")??;
        Ok(streams)
    }

    /// How many are open.
    pub(crate) fn open_now(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until each was told to hold at least this generation, and says when.
    pub(crate) fn until_all_hold(
        &self,
        generation: u64,
        deadline: Duration,
    ) -> Result<Vec<Instant>> {
        let end = Instant::now() + deadline;
        let arrivals = self.arrivals.lock().ok().context("wait for streams")?;
        let mut times = Vec::with_capacity(self.count);
        while times.len() < self.count {
            let left = end.saturating_duration_since(Instant::now());
            let arrival = arrivals.recv_timeout(left);
            let Arrival { generation: held, at } = arrival.with_context(|| {
                format!(
                    "{} of {} streams were told of generation {generation}",
                    times.len(),
                    self.count
                )
            })?;
            if held >= generation {
                times.push(at);
            }
        }
        Ok(times)
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.over.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What every stream needs.
#[derive(Clone)]
struct All {
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    arrived: Sender<Arrival>,
    open: Arc<AtomicUsize>,
    over: CancellationToken,
    tasks: TaskTracker,
}

impl All {
    async fn open(&self, count: usize) -> Result<()> {
        let openers: Vec<_> = (0..OPENERS)
            .map(|first| {
                let all = self.clone();
                self.tasks.spawn(async move {
                    for number in (first..count).step_by(OPENERS) {
                        let stream = all
                            .connect(number)
                            .await
                            .with_context(|| format!("open stream {number}"))?;
                        let follow = all.clone();
                        all.tasks.spawn(async move {
                            follow.open.fetch_add(1, Ordering::SeqCst);
                            // Whoever counts the open ones sees that it ended.
                            let _ = follow.over.run_until_cancelled(follow.follow(stream)).await;
                            follow.open.fetch_sub(1, Ordering::SeqCst);
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

    async fn connect(&self, number: usize) -> Result<Upgraded> {
        let tcp = TcpStream::connect(self.address).await.context("connect")?;
        let tls = TlsConnector::from(Arc::clone(&self.tls))
            .connect(ServerName::try_from("localhost")?, tcp)
            .await
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
        let answer = sender.send_request(request).await.context("ask for the stream")?;
        ensure!(
            answer.status() == StatusCode::SWITCHING_PROTOCOLS,
            "ask for the stream: {}",
            answer.status()
        );
        hyper::upgrade::on(answer).await.context("upgrade")
    }

    /// Does what an agent does on its stream, but for the files.
    async fn follow(&self, stream: Upgraded) -> Result<()> {
        let (mut stream, mut decoder) = (TokioIo::new(stream), Decoder::default());
        say(&mut stream, &AgentMessage::Hello { agent: "bench".into(), holds: Vec::new() }).await?;
        let mut bytes = vec![0; 4096];
        loop {
            while let Some(frame) = decoder.next_frame()? {
                match ServerMessage::decode(&frame)? {
                    ServerMessage::Hold(snapshot) => {
                        let at = Instant::now();
                        let holds: Vec<_> = snapshot
                            .bundles
                            .iter()
                            .map(|it| Held { bundle: it.bundle.clone(), generation: it.generation })
                            .collect();
                        let generation =
                            holds.iter().map(|it| it.generation.0).max().unwrap_or_default();
                        let _ = self.arrived.send(Arrival { generation, at });
                        say(
                            &mut stream,
                            &AgentMessage::Applied { holds, reload: Outcome::NotNeeded },
                        )
                        .await?;
                    }
                    ServerMessage::Ping => say(&mut stream, &AgentMessage::Pong).await?,
                    ServerMessage::Refused { detail } => bail!("refused: {detail}"),
                    _ => {}
                }
            }
            match stream.read(&mut bytes).await? {
                0 => bail!("the stream ended"),
                count => decoder.push(&bytes[..count]),
            }
        }
    }
}

async fn say(stream: &mut TokioIo<Upgraded>, message: &AgentMessage) -> Result<()> {
    stream.write_all(message.encode()?.expose()).await?;
    Ok(stream.flush().await?)
}
