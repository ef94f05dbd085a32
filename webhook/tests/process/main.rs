//! The whole process on loopback, without a cluster: TLS, limits, readiness and shutdown.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]
#![expect(clippy::disallowed_methods, reason = "a test's input files")]

mod callers;
mod config;
mod harness;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::{Request, StatusCode};
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use webhook::args::Args;
use webhook::run::run;

use harness::{Process, message, review, until};

#[tokio::test]
async fn reviews_wait_for_the_ca_and_are_counted() {
    let process = Process::start().await;
    until(|| async {
        process.admin("/readyz").await.1
            == "waiting for: the CA that agents trust, ca.crt in the trust directory\n"
    })
    .await;
    assert_eq!(
        process.https(Request::get("/healthz").body(Full::default()).unwrap()).await,
        (StatusCode::OK, "ok\n".into())
    );
    let (status, text) =
        process.https(Request::get("/readyz").body(Full::default()).unwrap()).await;
    assert_eq!(
        (status, text.as_str()),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for: the CA that agents trust, ca.crt in the trust directory\n"
        )
    );
    let (_, early) = process.mutate(review("x")).await;
    assert!(
        message(&early).ends_with(
            "It is waiting for: the CA that agents trust, ca.crt in the trust directory"
        ),
        "{early}"
    );

    process.make_ready().await;
    let (status, answer) = process.mutate(review("hunter2")).await;
    assert_eq!(status, StatusCode::OK);
    let response = &serde_json::from_str::<Value>(&answer).unwrap()["response"];
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));

    let (_, metrics) = process.admin("/metrics").await;
    for line in [
        "enclii_webhook_reviews_total{outcome=\"injected\"} 1",
        "enclii_webhook_reviews_total{outcome=\"not_ready\"} 1",
        "enclii_webhook_bundles 1.0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in:\n{metrics}");
    }
    assert!(metrics.contains("enclii_webhook_certificate_expiry_timestamp_seconds "), "{metrics}");
    process.stop().await;
}

#[tokio::test]
async fn a_new_bundle_is_used() {
    let process = Process::start().await;
    process.make_ready().await;
    let asks = review("x").replace("api-prod", "web-prod");
    let (_, refused) = process.mutate(asks.clone()).await;
    assert!(
        message(&refused).contains("bundle web-prod does not exist in namespace shop-prod"),
        "{refused}"
    );
    fs::write(
        process.path("bundles/shop-prod/web-prod.json"),
        r#"{"status":{"keys":["DATABASE_URL"]}}"#,
    )
    .unwrap();
    until(|| async { process.mutate(asks.clone()).await.1.contains(r#""allowed":true"#) }).await;
    process.stop().await;
}

#[tokio::test]
async fn oversized_bodies_and_unknown_paths_are_rejected() {
    let process = Process::start().await;
    process.make_ready().await;
    let too_large =
        "read review: the body is over 3 MiB (3145728 bytes), more than any review of a pod\n";
    assert_eq!(
        process.mutate(vec![b' '; (3 << 20) + 1]).await,
        (StatusCode::PAYLOAD_TOO_LARGE, too_large.into())
    );
    let piece = || Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![b' '; 1 << 20])));
    let pieces = StreamBody::new(futures_util::stream::iter([piece(), piece(), piece(), piece()]));
    assert_eq!(
        process.https(Request::post("/mutate").body(pieces).unwrap()).await,
        (StatusCode::PAYLOAD_TOO_LARGE, too_large.into())
    );
    let padded = format!("{}{}", review("x"), " ".repeat(2 << 20));
    assert_eq!(process.mutate(padded).await.0, StatusCode::OK);
    let (status, text) = process.mutate("hunter2").await;
    assert_eq!((status, text.contains("hunter2")), (StatusCode::BAD_REQUEST, false));
    for (request, expected) in [
        (Request::get("/mutate"), StatusCode::METHOD_NOT_ALLOWED),
        (Request::post("/readyz"), StatusCode::METHOD_NOT_ALLOWED),
        (Request::get("/"), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(process.https(request.body(Full::default()).unwrap()).await.0, expected);
    }
    process.stop().await;
}

/// Large reviews take turns, and nothing waits for them.
#[tokio::test]
async fn large_reviews_are_all_answered_and_hold_nothing_up() {
    let process = Process::start().await;
    process.make_ready().await;
    let padded = format!("{}{}", review("x"), " ".repeat(2 << 20));
    let large = futures_util::future::join_all((0..6).map(|_| process.mutate(padded.clone())));
    let small = async {
        for _ in 0..20 {
            assert_eq!(process.mutate(review("x")).await.0, StatusCode::OK);
            assert_eq!(process.admin("/healthz").await.0, StatusCode::OK);
        }
    };
    let (large, ()) = futures_util::future::join(large, small).await;
    for (status, answer) in large {
        assert_eq!(status, StatusCode::OK);
        assert!(answer.contains(r#""allowed":true"#), "{answer}");
    }
    process.stop().await;
}

#[tokio::test]
async fn idle_connections_keep_neither_probes_nor_reviews_out() {
    let process = Process::start().await;
    process.make_ready().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(process.admin).await.unwrap());
        idle.push(TcpStream::connect(process.listen).await.unwrap());
    }
    // Longer than the second that an idle connection has, shorter than its timeout.
    let limit = Duration::from_secs(4);
    let probed = tokio::time::timeout(limit, process.admin("/healthz")).await;
    assert_eq!(probed.unwrap().0, StatusCode::OK);
    let request = Request::get("/healthz").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(process.https(request).await.0, StatusCode::OK);
    drop(idle);
}

#[tokio::test]
async fn a_port_in_use_is_named_in_the_error() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| Path::join(directory.path(), name).to_str().unwrap().to_owned();
    let args = Args::parse_from([
        "enclii-webhook",
        "--listen",
        &address,
        "--bundles-directory",
        &at("b"),
        "--trust-directory",
        &at("t"),
        "--certificates-directory",
        &at("c"),
    ])
    .serve()
    .unwrap();
    let error = run(args, Tasks::new(), Shutdown::manual()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {address}"));
}
