//! A proxy on loopback that does to HTTP what a network, a load balancer and a dying server do, so
//! that a backend's client can be tested between faults and its real server.
//!
//! Plain HTTP/1.1, one request for a connection. Which request gets which fault is decided by the
//! seed and the request's number, and each is counted, so that a test can see that its faults
//! happened:
//!
//! ```ignore
//! #[path = "faults/mod.rs"]
//! mod faults;
//!
//! let proxy = faults::Proxy::start(server_address, faults::Plan { seed: 7, share: 0.2, kinds: faults::ALL }).await?;
//! let store = open(&format!("http://{}", proxy.address())).await;
//! // …the work to disturb…
//! proxy.calm(); // from now on everything is passed on
//! assert!(ALL.iter().all(|fault| proxy.counts()[*fault] > 0));
//! ```
//!
//! A client needs a timeout of its own: [`Fault::BlackHole`] and [`Fault::Swallowed`] answer
//! nothing for as long as the client waits. Dropping the proxy ends it and all its connections.

mod http;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is done to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The connection is closed before the request is passed on.
    TornBefore,
    /// The request is passed on, the server does what it says, and the connection is closed without
    /// an answer.
    TornAfter,
    /// The request is passed on, and half of the answer comes back.
    TornAnswer,
    /// The request is not passed on, and no answer comes for as long as the client waits.
    BlackHole,
    /// The request is passed on, and no answer comes for as long as the client waits.
    Swallowed,
    /// The request is not passed on: 503 with a body that is no JSON, as a load balancer has it.
    Unavailable,
    /// The request is passed on, and the answer is replaced by 500 with an error's JSON.
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

/// How often which faults happen. The same plan gives the same request numbers the same faults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Chooses which requests.
    pub(crate) seed: u64,
    /// The share of requests that get a fault: 0 is none, 1 is all.
    pub(crate) share: f64,
    /// Which faults, each as likely as the others.
    pub(crate) kinds: &'static [Fault],
}

impl Plan {
    /// Everything is passed on.
    pub(crate) const CALM: Self = Self { seed: 0, share: 0.0, kinds: ALL };

    /// What happens to the request of that number.
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
struct State {
    plan: Plan,
    upstream: SocketAddr,
    requests: u64,
    counts: BTreeMap<Fault, u64>,
}

/// The running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    // Dropped last of all: it ends the tasks.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of its own on loopback and passes requests on to `upstream`.
    ///
    /// # Errors
    /// Where no port can be had.
    pub(crate) async fn start(upstream: SocketAddr, plan: Plan) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let counts = ALL.iter().map(|fault| (*fault, 0)).collect();
        let state = Arc::new(Mutex::new(State { plan, upstream, requests: 0, counts }));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Follows another plan from the next request on.
    pub(crate) fn follow(&self, plan: Plan) {
        locked(&self.state).plan = plan;
    }

    /// Passes everything on from the next request on.
    pub(crate) fn calm(&self) {
        self.follow(Plan::CALM);
    }

    /// Passes requests on to another address, as after a restart on another port.
    pub(crate) fn redirect(&self, upstream: SocketAddr) {
        locked(&self.state).upstream = upstream;
    }

    /// How many requests came.
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

fn locked(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let state = Arc::clone(&state);
                // What goes wrong with one connection is what a client has to live with anyway.
                connections.spawn(async move { drop(serve(client, &state).await) });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut client: TcpStream, state: &Mutex<State>) -> io::Result<()> {
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

/// Says nothing until the client goes.
async fn silence(client: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 256];
    while client.read(&mut rest).await? > 0 {}
    Ok(())
}
