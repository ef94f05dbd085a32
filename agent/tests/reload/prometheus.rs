//! A real program with metrics: Prometheus itself, whose requests the agent counts.

use std::fs::File;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use contract::stream::{AgentMessage, ServerMessage};
use e2e::port::free_port;
use e2e::process::Process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::pod::Pod;
use crate::rotated::RotatedPod;

/// The status of the answer to a request.
async fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_of_a_prometheus_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (port, config) = (free_port().unwrap(), folder.path().join("prometheus.yml"));
    File::create(&config).unwrap().write_all(b"global: {scrape_interval: 1h}\n").unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    let _prometheus = Process::start("prometheus", &mut command, folder.path()).unwrap();
    e2e::wait::until("Prometheus to listen", Duration::from_secs(60), || {
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()))
    })
    .unwrap();
    let metrics = |config: &mut contract::AgentConfig| {
        config.metrics = Some(format!("{port}/metrics").parse().unwrap());
    };
    let mut it = RotatedPod::start(Pod::new(), "none", metrics, &[("A", b"1")]).await;
    it.ask(&ServerMessage::CountRequests { seconds: 60 }).await;
    // What was asked before the first look is not counted. Until somebody asks, Prometheus counts
    // only who looks at its metrics.
    tokio::time::sleep(Duration::from_secs(4)).await;
    for _ in 0..40 {
        assert_eq!(get(port, "/api/v1/status/buildinfo").await, "200");
    }
    let (mut requests, mut took) = (0, 0);
    while requests < 40 {
        let AgentMessage::Requests { metric, bounds, windows } = it.message().await else {
            panic!()
        };
        assert_eq!(metric, "prometheus_http_requests_total");
        assert!(!bounds.is_empty() && bounds.is_sorted());
        for window in &windows {
            assert!(window.is_consistent(bounds.len()), "{window:?}");
            assert_eq!(window.errors, 0);
            requests += window.requests;
            took += window.latency.iter().sum::<u64>();
        }
    }
    // Neither the agent's own looks nor anything else.
    assert_eq!((requests, took), (40, 40));
}
