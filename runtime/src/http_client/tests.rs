use std::io::Write;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::net::TcpListener;

use super::*;
use crate::tasks::Tasks;
use crate::tls::{Limits, serve_plain};

fn client() -> HttpClientBuilder {
    HttpClientBuilder::new("test/1").roots(RootCertStore::empty())
}

/// A plain HTTP server: `/away` redirects, `/slow` never answers, the rest echoes the user agent.
async fn server(tasks: &Tasks) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = |request: Request<Incoming>| async move {
        let agent = request.headers()["user-agent"].as_bytes().to_vec();
        let response = Response::builder();
        let response = match request.uri().path() {
            "/away" => response.status(302).header("location", "/"),
            "/slow" => std::future::pending().await,
            _ => response,
        };
        response.body(Full::new(Bytes::from(agent))).unwrap()
    };
    tasks.spawn("server", serve_plain(listener, Limits::default(), handler, tasks.clone()));
    format!("http://{address}")
}

#[tokio::test]
async fn plain_http_is_refused_unless_allowed() {
    let tasks = Tasks::new();
    let url = server(&tasks).await;
    assert!(client().build().unwrap().get(&url).send().await.unwrap_err().is_builder());
    let allowed = client().allow_http(true).build().unwrap();
    assert_eq!(allowed.get(&url).send().await.unwrap().text().await.unwrap(), "test/1");
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let tasks = Tasks::new();
    let url = server(&tasks).await;
    let client = client().allow_http(true).build().unwrap();
    let answer = client.get(format!("{url}/away")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 302);
}

#[tokio::test]
async fn a_silent_server_runs_into_the_timeout() {
    let tasks = Tasks::new();
    let url = format!("{}/slow", server(&tasks).await);
    let short = Duration::from_millis(100);
    for builder in [client().timeout(short), client().read_timeout(short)] {
        let client = builder.allow_http(true).build().unwrap();
        assert!(client.get(&url).send().await.unwrap_err().is_timeout());
    }
}

#[test]
fn a_bad_ca_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.crt");
    let read = HttpClientBuilder::new("test/1").ca_file(Some(&path)).unwrap_err();
    assert_eq!(read.to_string(), format!("read CA file {}", path.display()));
    std::fs::File::create(&path).unwrap().write_all(b"junk").unwrap();
    let parse = HttpClientBuilder::new("test/1").ca_file(Some(&path)).unwrap_err();
    assert_eq!(parse.to_string(), format!("parse CA file {}", path.display()));
    let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    std::fs::File::create(&path).unwrap().write_all(ca.as_bytes()).unwrap();
    HttpClientBuilder::new("test/1").ca_file(Some(&path)).unwrap().build().unwrap();
}

#[test]
fn only_https_and_loopback_addresses_are_safe() {
    for (url, expected) in [
        ("https://connect:8443", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://localhost:8080/", true),
        ("http://connect:8080", false),
        ("http://localhost.example.org", false),
        ("ftp://localhost", false),
        ("unix:/run/socket", false),
    ] {
        assert_eq!(is_https_or_loopback(&url.parse().unwrap()), expected, "{url}");
    }
}
