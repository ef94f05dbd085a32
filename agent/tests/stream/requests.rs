//! The application's requests are counted from its metrics, while switchyard asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use contract::stream::{AgentMessage, ServerMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::pod::Pod;
use crate::server::{Server, TestCa, snapshot, with_timeout};

/// An application that counts requests: ten more at each look, of which one failed.
async fn application(looks: Arc<AtomicU64>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("{}/metrics", listener.local_addr().unwrap().port());
    let mut running = JoinSet::new();
    running.spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"GET /metrics HTTP/1.1"));
            let look = looks.fetch_add(1, Ordering::Relaxed) + 1;
            let text = format!(
                "# TYPE http_requests_total counter\n\
                 http_requests_total{{code=\"200\"}} {}\n\
                 http_requests_total{{code=\"500\"}} {look}\n",
                9 * look
            );
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (endpoint, running)
}

#[tokio::test]
async fn requests_are_counted_while_switchyard_asks() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let looks = Arc::new(AtomicU64::new(0));
    let (endpoint, _application) = application(Arc::clone(&looks)).await;
    let server = Server::start(&ca).await;
    let mut config = pod.config(server.address(), &ca.pem, "none");
    config.metrics = Some(endpoint.parse().unwrap());
    let agent = Pod::start_with(config);
    let mut session = server.login().await.open().await;
    let hello = session.receive().await;
    assert!(matches!(hello, AgentMessage::Hello { counts_requests: true, .. }), "{hello:?}");
    session.send(&snapshot(1, &[("A", b"1")])).await;
    session.receive().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(looks.load(Ordering::Relaxed), 0, "nobody asked");

    session.send(&ServerMessage::CountRequests { seconds: 3 }).await;
    let (mut requests, mut errors, mut milliseconds) = (0, 0, 0);
    while requests < 20 {
        let report = session.receive().await;
        let AgentMessage::Requests { metric, bounds, windows } = report else {
            panic!("{report:?}")
        };
        assert_eq!((metric.as_str(), bounds.len()), ("http_requests_total", 0));
        for window in windows {
            requests += window.requests;
            errors += window.errors;
            milliseconds += window.milliseconds;
        }
    }
    assert_eq!((requests % 10, errors), (0, requests / 10));
    assert!(milliseconds >= 1500, "{milliseconds} ms for {requests}");
    let text = pod.file("..status").unwrap_or_default();
    assert!(!text.is_empty(), "no status");
    assert!(String::from_utf8(text).unwrap().contains(r#""metric":"http_requests_total""#));

    // It ends by itself.
    let enough = async {
        loop {
            let before = looks.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(2500)).await;
            if looks.load(Ordering::Relaxed) == before {
                return before;
            }
        }
    };
    let looked = with_timeout(enough).await;
    assert!((3..=5).contains(&looked), "{looked}");
    agent.stop().await;
}

#[tokio::test]
async fn a_pod_without_metrics_says_so_and_is_not_looked_at() {
    let (ca, pod) = (TestCa::new(), Pod::new());
    let server = Server::start(&ca).await;
    let _agent = pod.start(server.address(), &ca.pem, "none");
    let mut session = server.login().await.open().await;
    let hello = session.receive().await;
    assert!(matches!(hello, AgentMessage::Hello { counts_requests: false, .. }), "{hello:?}");
    session.send(&ServerMessage::CountRequests { seconds: 3 }).await;
    session.send(&snapshot(1, &[("A", b"1")])).await;
    assert!(matches!(session.receive().await, AgentMessage::Applied { .. }));
}
