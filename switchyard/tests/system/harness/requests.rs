//! Requests to the harness's switchyard and assertions on responses.

use std::sync::Arc;

use bytes::Bytes;
use contract::api::{NewValue, WriteRequest, Written};
use contract::{Problem, Redacted};
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Harness;

/// Status, headers and body of a response.
pub(crate) type HttpAnswer = (StatusCode, http::HeaderMap, Bytes);

impl Harness {
    pub(crate) async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        TlsConnector::from(Arc::clone(&self.tls))
            .connect(ServerName::try_from("localhost").unwrap(), tcp)
            .await
    }

    /// One request on its own connection, or `None` if switchyard is not running.
    pub(crate) async fn try_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Option<Response<hyper::body::Incoming>> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(self.connect().await.ok()?))
                .await
                .ok()?;
        self.tasks.spawn("test client", async move {
            let _ = connection.with_upgrades().await;
        });
        sender.send_request(request).await.ok()
    }

    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Response<hyper::body::Incoming> {
        self.try_send(request).await.unwrap()
    }

    /// A write, or `None` if its outcome is unknown.
    pub(crate) async fn try_set(
        &self,
        token: &str,
        scope: &str,
        values: &[(&str, &[u8])],
    ) -> Option<Written> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v1/secrets/{scope}/"))
            .header("host", "localhost");
        let request = request
            .header("authorization", format!("Bearer {token}"))
            .body(Full::new(Bytes::copy_from_slice(body(values).expose())));
        let answer = self.try_send(request.unwrap()).await?;
        assert_eq!(answer.status(), 200);
        serde_json::from_slice(&answer.into_body().collect().await.ok()?.to_bytes()).ok()
    }

    /// As [`Harness::ask`], or `None` if switchyard is not running.
    pub(crate) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: &[u8],
    ) -> Option<HttpAnswer> {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {token}"));
        let (head, body) = self
            .try_send(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap())
            .await?
            .into_parts();
        Some((head.status, head.headers, body.collect().await.ok()?.to_bytes()))
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &[u8],
    ) -> HttpAnswer {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> =
            authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        self.by(method, path, &headers, body).await
    }

    /// An administrator's request with these headers.
    pub(crate) async fn with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> HttpAnswer {
        let authorization = format!("Bearer {}", self.token());
        let headers: Vec<_> = [("authorization", authorization.as_str())]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        self.by(method, path, &headers, body).await
    }

    /// A request with exactly these headers.
    pub(crate) async fn by(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> HttpAnswer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("user-agent", "a test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response =
            self.send(request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()).await;
        let (head, body) = response.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    /// An administrator's request that must be refused; returns the problem document.
    pub(crate) async fn refused(&self, method: Method, path: &str, body: &[u8]) -> Problem {
        let (status, headers, answer) = self.ask(method, path, Some(&self.token()), body).await;
        problem(status, &headers, &answer)
    }

    /// An administrator's request that must succeed.
    pub(crate) async fn done(&self, method: Method, path: &str, body: &[u8]) -> Bytes {
        let (status, headers, answer) = self.ask(method, path, Some(&self.token()), body).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&answer));
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        answer
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.done(Method::GET, path, b"").await).unwrap()
    }

    pub(crate) async fn set(&self, scope: &str, values: &[(&str, &[u8])]) -> Written {
        let body = body(values);
        serde_json::from_slice(
            &self.done(Method::POST, &format!("/v1/secrets/{scope}/"), body.expose()).await,
        )
        .unwrap()
    }

    pub(crate) async fn events(&self, action: &str) -> Vec<Value> {
        let events = self.json(&format!("/v1/audit?limit=10000&action={action}")).await;
        events["events"].as_array().unwrap().clone()
    }
}

pub(crate) fn body(values: &[(&str, &[u8])]) -> Redacted {
    let mut request = WriteRequest::default();
    for (name, value) in values {
        request.secrets.insert(name.parse().unwrap(), NewValue::new(Redacted::from(*value)));
    }
    request.to_body().unwrap()
}

/// Checks the form of an error response and returns the problem document.
pub(crate) fn problem(status: StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Problem {
    assert_eq!(
        headers[CONTENT_TYPE],
        "application/problem+json",
        "{}",
        String::from_utf8_lossy(body)
    );
    let problem: Problem = serde_json::from_slice(body).unwrap();
    assert_eq!(problem.status, status.as_u16());
    assert!(
        problem.kind.starts_with("/problems/")
            && !problem.title.is_empty()
            && !problem.detail.is_empty(),
        "{problem:?}"
    );
    assert_eq!(problem.instance.as_deref(), headers["trace-id"].to_str().ok());
    problem
}
