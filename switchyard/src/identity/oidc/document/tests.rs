use std::sync::Mutex as StdMutex;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::{AUTHORIZATION, COOKIE, LOCATION};
use runtime::tasks::Tasks;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

/// A server that answers as it is told, and counts who asks for what.
struct Server {
    provider: Provider,
    asked: Arc<StdMutex<Vec<String>>>,
    tasks: Tasks,
}

impl Server {
    /// `answer` is given the issuer and a path.
    async fn start(
        answer: impl Fn(&str, &str) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        runtime::provider::install().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(StdMutex::new(Vec::new()));
        let (heard, named) = (Arc::clone(&asked), issuer.clone());
        let router = Router::new().fallback(move |request: Request| async move {
            assert!(
                !request.headers().contains_key(AUTHORIZATION)
                    && !request.headers().contains_key(COOKIE)
            );
            heard.lock().unwrap().push(request.uri().path().to_owned());
            answer(&named, request.uri().path())
        });
        let tasks = Tasks::new();
        tasks.spawn("provider", async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { provider: Provider::new(&issuer, None, true).unwrap(), asked, tasks }
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// As if the last try were long ago.
    async fn later(&self) {
        self.provider.known.lock().await.tried = None;
    }

    async fn stop(self) {
        let _ = self.tasks.drain(Duration::ZERO).await;
    }
}

fn discovery(issuer: &str) -> Response {
    json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")}).to_string().into_response()
}

fn keys() -> Response {
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1"});
    json!({"keys": [{"kty": "of another time", "kid": "0"}, key]}).to_string().into_response()
}

fn usual(issuer: &str, path: &str) -> Response {
    match path {
        "/.well-known/openid-configuration" => discovery(issuer),
        "/jwks" => keys(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn an_unknown_key_makes_us_look_again_but_not_as_often_as_somebody_likes() {
    let server = Server::start(usual).await;
    let names = async |kid: Option<&str>| server.provider.keys(kid).await.unwrap().len();
    assert_eq!((names(Some("1")).await, server.asked()), (1, 2));
    assert_eq!((names(Some("1")).await, names(None).await, server.asked()), (1, 1, 2));
    for made_up in ["2", "3", "4"] {
        assert_eq!((names(Some(made_up)).await, server.asked()), (1, 2));
    }
    server.later().await;
    assert_eq!((names(Some("2")).await, names(Some("2")).await, server.asked()), (1, 1, 4));
    server.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_away_locks_out_whoever_s_key_is_not_known() {
    let away = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (is_away, order) = (Arc::clone(&away), std::sync::atomic::Ordering::SeqCst);
    let server = Server::start(move |issuer, path| {
        if is_away.load(order) {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        } else {
            usual(issuer, path)
        }
    })
    .await;
    assert!(server.provider.keys(Some("1")).await.is_ok());
    away.store(true, order);
    {
        let mut known = server.provider.known.lock().await;
        (known.tried, known.fetched) = (None, known.fetched.and_then(|at| at.checked_sub(FRESH)));
    }
    assert!(server.provider.keys(Some("1")).await.is_ok());
    server.later().await;
    assert!(matches!(
        server.provider.keys(Some("2")).await,
        Err(FetchError::Status { status: 503, .. })
    ));
    server.stop().await;
}

#[tokio::test]
async fn what_a_provider_says_leads_us_nowhere_else() {
    type Answer = fn(&str, &str) -> Response;
    type Expected = fn(&FetchError) -> bool;
    let cases: [(&str, Answer, Expected); 6] = [
        (
            "a redirect",
            |issuer, _| {
                (StatusCode::FOUND, [(LOCATION, format!("{issuer}/elsewhere"))]).into_response()
            },
            |it| matches!(it, FetchError::Status { status: 302, .. }),
        ),
        (
            "another issuer",
            |_, _| discovery("https://login.example.com"),
            |it| matches!(it, FetchError::OtherIssuer),
        ),
        (
            "keys in the clear",
            |issuer, _| {
                json!({"issuer": issuer, "jwks_uri": "http://169.254.169.254/latest"})
                    .to_string()
                    .into_response()
            },
            |it| matches!(it, FetchError::KeysAddress),
        ),
        (
            "keys in a file",
            |issuer, _| {
                json!({"issuer": issuer, "jwks_uri": "file:///etc/passwd"})
                    .to_string()
                    .into_response()
            },
            |it| matches!(it, FetchError::KeysAddress),
        ),
        (
            "too much",
            |_, _| vec![b' '; LARGEST + 1].into_response(),
            |it| matches!(it, FetchError::Form { .. }),
        ),
        ("no JSON", |_, _| "<html>".into_response(), |it| matches!(it, FetchError::Form { .. })),
    ];
    for (name, answer, expected) in cases {
        let server = Server::start(answer).await;
        let error = server.provider.keys(Some("1")).await.unwrap_err();
        assert!(expected(&error), "{name}: {error:?}");
        assert_eq!(server.asked(), 1, "{name}");
        // And once more only after a while.
        assert!(matches!(server.provider.keys(Some("1")).await, Err(FetchError::Paused)), "{name}");
        assert_eq!(server.asked(), 1, "{name}");
        server.stop().await;
    }
}

#[test]
fn tls_or_loopback_in_development() {
    let may = |url: &str, development| url.parse().is_ok_and(|url| may_ask(&url, development));
    for (url, usually, in_development) in [
        ("https://login.example.com", true, true),
        ("http://login.example.com", false, false),
        ("http://127.0.0.1:3000", false, true),
        ("http://[::1]:3000", false, true),
        ("http://localhost:3000", false, true),
        ("http://localhost.evil.example", false, false),
        ("http://127.0.0.1.evil.example", false, false),
        ("http://169.254.169.254", false, false),
        ("file:///etc/passwd", false, false),
        ("nonsense", false, false),
    ] {
        assert_eq!((may(url, false), may(url, true)), (usually, in_development), "{url}");
    }
    for issuer in ["https://a.example/?x=1", "https://a.example/#x", "http://a.example"] {
        assert!(
            matches!(Provider::new(issuer, None, true), Err(SetupError::Address(_))),
            "{issuer}"
        );
    }
}
