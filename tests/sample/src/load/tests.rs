//! The client against correct and faulty servers.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn load(address: SocketAddr, rate: u32, milliseconds: u64) -> LoadArgs {
    LoadArgs {
        wait: Duration::ZERO,
        url: format!("http://{address}/").parse().unwrap(),
        rate,
        duration: Duration::from_millis(milliseconds),
        connections: 2,
        until_file: None,
        listen: None,
    }
}

async fn drive(load: &LoadArgs) -> Report {
    let counters = LoadCounters::default();
    run(load, &counters, &CancellationToken::new()).await.unwrap();
    counters.report()
}

#[tokio::test]
async fn every_due_request_is_sent_and_counted() {
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
async fn failures_are_counted_and_the_first_is_reported() {
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

/// Closing a connection after an answer is not a failure; closing it instead of an answer is.
#[tokio::test]
async fn a_connection_closed_while_idle_is_opened_again() {
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
        let args = LoadArgs { connections: 1, ..load(address, 20, 250) };
        let report = tokio::select! {
            report = drive(&args) => report,
            () = server => unreachable!(),
        };
        assert_eq!((report.sent, report.failed), (5, failed), "{report:?}");
    }
}

#[tokio::test]
async fn the_file_stops_the_client() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("stop");
    std::fs::File::create(&file).unwrap();
    let endless =
        LoadArgs { until_file: Some(file), ..load("127.0.0.1:9".parse().unwrap(), 10, 3_600_000) };
    let report = drive(&endless).await;
    assert!(report.sent < 36_000);
}

#[tokio::test]
async fn only_plain_http_urls_are_accepted() {
    for url in ["https://a/", "/path", "a:80"] {
        let load =
            LoadArgs { url: url.parse().unwrap(), ..load("127.0.0.1:9".parse().unwrap(), 1, 1) };
        assert!(
            run(&load, &LoadCounters::default(), &CancellationToken::new()).await.is_err(),
            "{url}"
        );
    }
}
