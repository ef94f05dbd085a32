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

/// A provider that responds as the test says and counts the requests.
struct TestProvider {
    client: ProviderClient,
    requests: Arc<StdMutex<Vec<String>>>,
    tasks: Tasks,
}

impl TestProvider {
    /// `respond` gets the issuer and a path.
    async fn start(
        respond: impl Fn(&str, &str) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        runtime::provider::install().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(StdMutex::new(Vec::new()));
        let (recorded, named) = (Arc::clone(&requests), issuer.clone());
        let router = Router::new().fallback(move |request: Request| async move {
            assert!(
                !request.headers().contains_key(AUTHORIZATION)
                    && !request.headers().contains_key(COOKIE)
            );
            recorded.lock().unwrap().push(request.uri().path().to_owned());
            respond(&named, request.uri().path())
        });
        let tasks = Tasks::new();
        tasks.spawn("provider", async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { client: ProviderClient::new(&issuer, None, true).unwrap(), requests, tasks }
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Forgets when the last fetch was.
    async fn allow_fetch(&self) {
        self.client.cache.lock().await.tried_at = None;
    }

    async fn stop(self) {
        let _ = self.tasks.drain(Duration::ZERO).await;
    }
}

fn discovery(issuer: &str) -> Response {
    json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")}).to_string().into_response()
}

fn keys() -> Response {
    let key = json!({"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1"});
    json!({"keys": [{"kty": "unsupported", "kid": "0"}, key]}).to_string().into_response()
}

fn default_response(issuer: &str, path: &str) -> Response {
    match path {
        "/.well-known/openid-configuration" => discovery(issuer),
        "/jwks" => keys(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn an_unknown_key_causes_a_fetch_within_the_limit() {
    let server = TestProvider::start(default_response).await;
    let names = async |kid: Option<&str>| server.client.keys(kid).await.unwrap().len();
    assert_eq!((names(Some("1")).await, server.requests()), (1, 2));
    assert_eq!((names(Some("1")).await, names(None).await, server.requests()), (1, 1, 2));
    for made_up in ["2", "3", "4"] {
        assert_eq!((names(Some(made_up)).await, server.requests()), (1, 2));
    }
    server.allow_fetch().await;
    assert_eq!((names(Some("2")).await, names(Some("2")).await, server.requests()), (1, 1, 4));
    server.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_provider_locks_out_only_unknown_keys() {
    let away = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (is_away, order) = (Arc::clone(&away), std::sync::atomic::Ordering::SeqCst);
    let server = TestProvider::start(move |issuer, path| {
        if is_away.load(order) {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        } else {
            default_response(issuer, path)
        }
    })
    .await;
    assert!(server.client.keys(Some("1")).await.is_ok());
    away.store(true, order);
    {
        let mut known = server.client.cache.lock().await;
        (known.tried_at, known.fetched_at) =
            (None, known.fetched_at.and_then(|at| at.checked_sub(KEYS_TTL)));
    }
    assert!(server.client.keys(Some("1")).await.is_ok());
    server.allow_fetch().await;
    assert!(matches!(
        server.client.keys(Some("2")).await,
        Err(OidcFetchError::Status { status: 503, .. })
    ));
    server.stop().await;
}

#[tokio::test]
async fn a_malicious_provider_cannot_redirect_the_client() {
    type Respond = fn(&str, &str) -> Response;
    type Matches = fn(&OidcFetchError) -> bool;
    let cases: [(&str, Respond, Matches); 6] = [
        (
            "a redirect",
            |issuer, _| {
                (StatusCode::FOUND, [(LOCATION, format!("{issuer}/elsewhere"))]).into_response()
            },
            |it| matches!(it, OidcFetchError::Status { status: 302, .. }),
        ),
        (
            "another issuer",
            |_, _| discovery("https://login.example.com"),
            |it| matches!(it, OidcFetchError::OtherIssuer),
        ),
        (
            "keys in the clear",
            |issuer, _| {
                json!({"issuer": issuer, "jwks_uri": "http://169.254.169.254/latest"})
                    .to_string()
                    .into_response()
            },
            |it| matches!(it, OidcFetchError::KeysAddress),
        ),
        (
            "keys in a file",
            |issuer, _| {
                json!({"issuer": issuer, "jwks_uri": "file:///etc/passwd"})
                    .to_string()
                    .into_response()
            },
            |it| matches!(it, OidcFetchError::KeysAddress),
        ),
        (
            "too much",
            |_, _| vec![b' '; MAX_RESPONSE_BYTES + 1].into_response(),
            |it| matches!(it, OidcFetchError::Malformed { .. }),
        ),
        (
            "no JSON",
            |_, _| "<html>".into_response(),
            |it| matches!(it, OidcFetchError::Malformed { .. }),
        ),
    ];
    for (name, respond, expected) in cases {
        let server = TestProvider::start(respond).await;
        let error = server.client.keys(Some("1")).await.unwrap_err();
        assert!(expected(&error), "{name}: {error:?}");
        assert_eq!(server.requests(), 1, "{name}");
        // The next fetch has to wait.
        assert!(
            matches!(server.client.keys(Some("1")).await, Err(OidcFetchError::Paused)),
            "{name}"
        );
        assert_eq!(server.requests(), 1, "{name}");
        server.stop().await;
    }
}

#[test]
fn only_tls_or_loopback_in_development_is_allowed() {
    let allowed =
        |url: &str, development| url.parse().is_ok_and(|url| is_allowed(&url, development));
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
        assert_eq!((allowed(url, false), allowed(url, true)), (usually, in_development), "{url}");
    }
    for issuer in ["https://a.example/?x=1", "https://a.example/#x", "http://a.example"] {
        assert!(
            matches!(ProviderClient::new(issuer, None, true), Err(OidcSetupError::Address(_))),
            "{issuer}"
        );
    }
}
