//! The memory that clients make switchyard hold: headers, bodies and answers that do not end.
//!
//! The bounds are generous: without its limit each of these tests needs several times as much.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::token;
use crate::harness::{Harness, TEST_TIMEOUT, until};

const MIB: u64 = 1 << 20;

/// A request's head and the start of its body, on a connection of its own.
async fn begin(harness: &Harness, head: &str, token: &str, body: &[u8]) -> TlsStream<TcpStream> {
    let mut stream = harness.connect().await.unwrap();
    let head = format!("{head}\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may be refused before all of it is sent.
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    stream
}

/// The status of the response.
async fn status(stream: &mut TlsStream<TcpStream>) -> u16 {
    let mut start = [0; 12];
    let read = tokio::time::timeout(TEST_TIMEOUT, stream.read_exact(&mut start)).await;
    read.unwrap().unwrap();
    std::str::from_utf8(&start[9..]).unwrap().parse().unwrap()
}

const WRITE: &str = "POST /v1/secrets/shop.prod.api/ HTTP/1.1\r\ncontent-length: 16000000";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_not_read_of_somebody_without_rights() {
    let harness = Harness::start().await;
    let readonly = token(&harness, "readonly", "readonly").await;
    for head in [
        WRITE,
        "POST /v1/secrets/shop.prod.api/A/rotate HTTP/1.1\r\ncontent-length: 60000",
        "POST /v1/rotate/shop.prod.api HTTP/1.1\r\ncontent-length: 60000",
        "POST /v1/grants HTTP/1.1\r\ncontent-length: 60000",
        "POST /v1/tokens HTTP/1.1\r\ncontent-length: 60000",
    ] {
        // The body never ends, so only the head can be why it is refused.
        let mut stream = begin(&harness, head, &readonly, b"{").await;
        assert_eq!(status(&mut stream).await, 403, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_bodies_hold_little_memory() {
    let temporary = tempfile::tempdir().unwrap();
    let harness = Harness::start_child(temporary.path().to_owned()).await;
    let developer = token(&harness, "developer", "developer").await;
    let before = harness.resident_bytes();
    let body = vec![b' '; 12 << 20];
    let begun = (0..24).map(|_| begin(&harness, WRITE, &developer, &body));
    let mut streams = futures_util::future::join_all(begun).await;
    let grown = harness.resident_bytes().saturating_sub(before);
    assert!(grown < 120 * MIB, "{} MiB", grown / MIB);
    // Nearly all are refused as soon as what they sent is read, and somebody else may still write.
    let mut answers: FuturesUnordered<_> = streams
        .iter_mut()
        .map(|stream| async {
            let mut start = [0; 12];
            stream.read_exact(&mut start).await.map(|_| start)
        })
        .collect();
    for refused in 0..20 {
        let answer = tokio::time::timeout(TEST_TIMEOUT, answers.next()).await;
        // A connection that is closed while the body is still being sent takes the answer with it.
        if let Ok(start) = answer.unwrap_or_else(|_| panic!("only {refused} refused")).unwrap() {
            assert_eq!(&start[9..], b"429");
        }
    }
    harness.set("shop.prod.api", &[("A", &vec![b'x'; 1 << 20])]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_hold_little_memory() {
    let temporary = tempfile::tempdir().unwrap();
    let harness = Harness::start_child(temporary.path().to_owned()).await;
    let values: Vec<(String, Vec<u8>)> =
        (0..7).map(|at| (format!("S{at}"), vec![b'x'; 1 << 20])).collect();
    for (name, value) in &values {
        harness.set("shop.prod.api", &[(name.as_str(), value.as_slice())]).await;
    }
    let developer = token(&harness, "developer", "developer").await;
    let before = harness.resident_bytes();
    let read = "GET /v1/bundles/shop.prod.api/values HTTP/1.1";
    let begun = (0..30).map(|_| begin(&harness, read, &developer, b""));
    let streams = futures_util::future::join_all(begun).await;
    // Somebody else reads meanwhile.
    harness.json("/v1/secrets/shop.prod.api/S0").await;
    let mut most = 0;
    for _ in 0..40 {
        most = most.max(harness.resident_bytes().saturating_sub(before));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(most < 150 * MIB, "{} MiB", most / MIB);
    drop(streams);
    until("room for another answer", async || {
        let path = "/v1/secrets/shop.prod.api/S0";
        harness.ask(Method::GET, path, Some(&developer), b"").await.0 == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_headers_hold_little_memory() {
    let temporary = tempfile::tempdir().unwrap();
    let harness = Harness::start_child(temporary.path().to_owned()).await;
    harness.set("shop.prod.api", &[("A", b"one")]).await;
    let before = harness.resident_bytes();
    let filler = vec![b'x'; 390_000];
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = harness.connect().await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.write_all(&filler)).await;
        streams.push(stream);
    }
    let grown = harness.resident_bytes().saturating_sub(before);
    assert!(grown < 24 * MIB, "{} MiB", grown / MIB);
    harness.json("/v1/secrets/shop.prod.api/A").await;
}
