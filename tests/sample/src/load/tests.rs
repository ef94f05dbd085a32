//! The client against servers that behave and servers that do not.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn load(address: SocketAddr, rate: u32, milliseconds: u64) -> Load {
    Load {
        wait: Duration::ZERO,
        url: format!("http://{address}/").parse().unwrap(),
        rate,
        duration: Duration::from_millis(milliseconds),
        connections: 2,
        until_file: None,
        listen: None,
    }
}

async fn drive(load: &Load) -> Report {
    let running = Running::default();
    run(load, &running, &CancellationToken::new()).await.unwrap();
    running.report()
}

#[tokio::test]
async fn every_request_that_is_due_is_sent_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let end = CancellationToken::new();
    let server = serve::serve(listener, end.clone().cancelled_owned(), |_: &Request<Incoming>| {
        serve::text(StatusCode::OK, "x")
    });
    let client = async {
        let report = drive(&load(address, 200, 500)).await;
        end.cancel();
        report
    };
    let (report, ()) = tokio::join!(client, server);
    assert_eq!((report.sent, report.ok, report.failed, report.first_error), (100, 100, 0, None));
    assert!(report.p50_us > 0 && report.p50_us <= report.p99_us);
}

#[tokio::test]
async fn failures_are_counted_and_the_first_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let report = drive(&load(address, 100, 50)).await;
    assert_eq!((report.sent, report.failed), (5, 5));
    assert!(report.first_error.unwrap().starts_with("connect"));
}

#[tokio::test]
async fn an_answer_that_is_not_2xx_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let end = CancellationToken::new();
    let handler = |_: &Request<Incoming>| serve::text(StatusCode::SERVICE_UNAVAILABLE, "");
    let client = async {
        let report = drive(&load(address, 100, 50)).await;
        end.cancel();
        report
    };
    let (report, ()) =
        tokio::join!(client, serve::serve(listener, end.clone().cancelled_owned(), handler));
    assert_eq!(
        (report.ok, report.failed, report.first_error.as_deref()),
        (0, 5, Some("answered 503 Service Unavailable"))
    );
}

/// A server that closes each connection behind its answer is no failing server; one that closes
/// instead of an answer is.
#[tokio::test]
async fn a_connection_closed_at_rest_is_opened_again() {
    for (answer, failed) in [(&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], 0), (b"", 5)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 1024];
                let _ = tcp.read(&mut buffer).await.unwrap();
                tcp.write_all(answer).await.unwrap();
            }
        };
        let report = tokio::select! {
            report = async { drive(&Load { connections: 1, ..load(address, 20, 250) }).await } => report,
            () = server => unreachable!(),
        };
        assert_eq!((report.sent, report.failed), (5, failed), "{report:?}");
    }
}

#[tokio::test]
async fn a_file_ends_it() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("stop");
    std::fs::File::create(&file).unwrap();
    let endless =
        Load { until_file: Some(file), ..load("127.0.0.1:9".parse().unwrap(), 10, 3_600_000) };
    let report = drive(&endless).await;
    assert!(report.sent < 36_000);
}

#[tokio::test]
async fn only_plain_http_is_driven() {
    for url in ["https://a/", "/path", "a:80"] {
        let load = Load { url: url.parse().unwrap(), ..load("127.0.0.1:9".parse().unwrap(), 1, 1) };
        assert!(run(&load, &Running::default(), &CancellationToken::new()).await.is_err(), "{url}");
    }
}
