//! A proxy on loopback that injects the faults of a network, a load balancer and a crashing server
//! between a backend's client and its real server.
//!
//! Plain HTTP/1.1, one request per connection. The seed and the number of the request decide which
//! fault it gets. Each fault is counted, so that a test can check that it happened:
//!
//! ```ignore
//! #[path = "fault_proxy/mod.rs"]
//! mod fault_proxy;
//!
//! let plan = fault_proxy::FaultPlan { seed: 7, share: 0.2, kinds: fault_proxy::ALL };
//! let proxy = fault_proxy::Proxy::start(server_address, plan).await?;
//! let store = open(&format!("http://{}", proxy.address())).await;
//! // … work under faults …
//! proxy.calm(); // from now on everything is forwarded
//! assert!(ALL.iter().all(|fault| proxy.counts()[*fault] > 0));
//! ```
//!
//! The client needs its own timeout: [`Fault::BlackHole`] and [`Fault::Swallowed`] never answer.
//! Dropping the proxy closes it and all its connections.

mod http;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The connection closes before the request is forwarded.
    TornBefore,
    /// The request is forwarded and processed, and the connection closes without an answer.
    TornAfter,
    /// The request is forwarded, and half of the answer is returned.
    TornAnswer,
    /// The request is not forwarded, and no answer comes.
    BlackHole,
    /// The request is forwarded, and no answer comes.
    Swallowed,
    /// The request is not forwarded. The answer is 503 without JSON, as from a load balancer.
    Unavailable,
    /// The request is forwarded, and the answer is replaced by 500 with a JSON error.
    Failed,
}

/// Every fault.
pub(crate) const ALL: &[Fault] = &[
    Fault::TornBefore,
    Fault::TornAfter,
    Fault::TornAnswer,
    Fault::BlackHole,
    Fault::Swallowed,
    Fault::Unavailable,
    Fault::Failed,
];

/// Which faults happen, and how often. A plan is deterministic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultPlan {
    /// Decides which requests get a fault.
    pub(crate) seed: u64,
    /// The share of requests that get a fault: 0 is none, 1 is all.
    pub(crate) share: f64,
    /// The faults, all equally likely.
    pub(crate) kinds: &'static [Fault],
}

impl FaultPlan {
    /// No faults.
    pub(crate) const CALM: Self = Self { seed: 0, share: 0.0, kinds: ALL };

    /// The fault of a request, by its number.
    #[must_use]
    pub(crate) fn fault(&self, number: u64) -> Option<Fault> {
        let bits = mixed(self.seed ^ mixed(number));
        // 32 bits decide whether, the other 32 decide which.
        let happens = (bits >> 32) as f64 / f64::from(u32::MAX) < self.share;
        let which = (bits & 0xffff_ffff) as usize % self.kinds.len().max(1);
        if happens { self.kinds.get(which).copied() } else { None }
    }
}

/// The finaliser of SplitMix64: every bit of the input changes half of the output's.
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[derive(Debug)]
struct ProxyState {
    plan: FaultPlan,
    upstream: SocketAddr,
    requests: u64,
    counts: BTreeMap<Fault, u64>,
}

/// The running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<ProxyState>>,
    // Dropped last, which ends the tasks.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port on loopback, and forwards requests to `upstream`.
    ///
    /// # Errors
    /// If no port is available.
    pub(crate) async fn start(upstream: SocketAddr, plan: FaultPlan) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let counts = ALL.iter().map(|fault| (*fault, 0)).collect();
        let state = Arc::new(Mutex::new(ProxyState { plan, upstream, requests: 0, counts }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// The address of the proxy.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Uses another plan from the next request on.
    pub(crate) fn follow(&self, plan: FaultPlan) {
        locked(&self.state).plan = plan;
    }

    /// Stops injecting faults.
    pub(crate) fn calm(&self) {
        self.follow(FaultPlan::CALM);
    }

    /// Forwards to another address, as after a restart on another port.
    pub(crate) fn redirect(&self, upstream: SocketAddr) {
        locked(&self.state).upstream = upstream;
    }

    /// How many requests arrived.
    #[must_use]
    pub(crate) fn requests(&self) -> u64 {
        locked(&self.state).requests
    }

    /// How often each fault happened; every fault has an entry.
    #[must_use]
    pub(crate) fn counts(&self) -> BTreeMap<Fault, u64> {
        locked(&self.state).counts.clone()
    }
}

fn locked(state: &Mutex<ProxyState>) -> std::sync::MutexGuard<'_, ProxyState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<ProxyState>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let state = Arc::clone(&state);
                // An error of one connection looks like a fault to the client.
                connections.spawn(async move { drop(serve(client, &state).await) });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, state: &Mutex<ProxyState>) -> io::Result<()> {
    let Some(request) = http::request(&mut client).await? else { return Ok(()) };
    let (fault, upstream) = {
        let mut state = locked(state);
        let fault = state.plan.fault(state.requests);
        state.requests += 1;
        if let Some(fault) = fault {
            *state.counts.entry(fault).or_default() += 1;
        }
        (fault, state.upstream)
    };
    match fault {
        Some(Fault::TornBefore) => return Ok(()),
        Some(Fault::BlackHole) => return silence(&mut client).await,
        Some(Fault::Unavailable) => return client.write_all(http::UNAVAILABLE).await,
        _ => {}
    }
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(&http::closing(request)).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    match fault {
        Some(Fault::TornAfter) => Ok(()),
        Some(Fault::Swallowed) => silence(&mut client).await,
        Some(Fault::Failed) => client.write_all(http::FAILED).await,
        Some(Fault::TornAnswer) => client.write_all(&answer[..answer.len() / 2]).await,
        _ => client.write_all(&answer).await,
    }
}

/// Waits until the client disconnects.
async fn silence(client: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 256];
    while client.read(&mut rest).await? > 0 {}
    Ok(())
}
