//! The fault proxy itself: each fault does what it documents, and is counted.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "a test uses the parts that it needs")]
#[path = "fault_proxy/mod.rs"]
mod proxy;

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use proxy::{ALL, Fault, FaultPlan, Proxy};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;

struct EchoServer {
    address: std::net::SocketAddr,
    taken: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

/// An echo server that counts requests.
async fn server() -> EchoServer {
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    let echo = move |body: String| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { body }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        axum::serve(listener, Router::new().route("/", post(echo))).await.unwrap()
    });
    EchoServer { address, taken, _task: task }
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().tls_certs_only(Vec::new()).no_proxy();
    runtime::provider::install().unwrap();
    builder.timeout(Duration::from_millis(400)).build().unwrap()
}

async fn ask(proxy: &Proxy) -> Result<(u16, String), reqwest::Error> {
    let answer = client()
        .post(format!("http://{}/", proxy.address()))
        .body("a body of some length")
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test]
async fn each_fault_does_what_it_documents() {
    // The fault, what the client sees, and whether the server received the request.
    let table: [(Option<Fault>, Option<u16>, u64); 8] = [
        (None, Some(200), 1),
        (Some(Fault::TornBefore), None, 0),
        (Some(Fault::TornAfter), None, 1),
        (Some(Fault::TornAnswer), None, 1),
        (Some(Fault::BlackHole), None, 0),
        (Some(Fault::Swallowed), None, 1),
        (Some(Fault::Unavailable), Some(503), 0),
        (Some(Fault::Failed), Some(500), 1),
    ];
    for (fault, status, taken) in table {
        let server = server().await;
        let kinds: &[Fault] =
            ALL.iter().position(|it| Some(*it) == fault).map_or(&[], |at| &ALL[at..=at]);
        let proxy =
            Proxy::start(server.address, FaultPlan { seed: 1, share: 2.0, kinds }).await.unwrap();
        let answer = ask(&proxy).await;
        assert_eq!(
            answer.as_ref().ok().map(|(status, _)| *status),
            status,
            "{fault:?}: {answer:?}"
        );
        assert_eq!(server.taken.load(Ordering::SeqCst), taken, "{fault:?}");
        assert_eq!(proxy.counts().values().sum::<u64>(), u64::from(fault.is_some()), "{fault:?}");
        assert_eq!(fault.map(|fault| proxy.counts()[&fault]), fault.map(|_| 1));
        proxy.calm();
        assert_eq!(
            ask(&proxy).await.unwrap(),
            (200, "a body of some length".to_owned()),
            "{fault:?}, then calm"
        );
        assert_eq!(proxy.requests(), 2);
    }
}

#[test]
fn a_plan_is_deterministic_and_contains_every_fault() {
    let plan = FaultPlan { seed: 11, share: 0.3, kinds: ALL };
    let faults: Vec<_> = (0..2_000).map(|number| plan.fault(number)).collect();
    assert_eq!(faults, (0..2_000).map(|number| plan.fault(number)).collect::<Vec<_>>());
    assert_ne!(
        faults,
        (0..2_000).map(|number| FaultPlan { seed: 12, ..plan }.fault(number)).collect::<Vec<_>>()
    );
    let happened = faults.iter().flatten().count();
    assert!((500..700).contains(&happened), "{happened}");
    for fault in ALL {
        assert!(faults.iter().flatten().filter(|it| *it == fault).count() > 40, "{fault:?}");
    }
    assert_eq!((0..2_000).filter_map(|number| FaultPlan::CALM.fault(number)).count(), 0);
}
