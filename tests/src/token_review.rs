//! A stand-in for the endpoint of the Kubernetes API that Vault asks whose token it was given. It
//! looks at no signature: what it has issued is valid.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The audience of the pods' tokens.
pub const AUDIENCE: &str = "vault";

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 1 << 20;

/// The endpoint. Its thread ends with the process.
pub struct TokenReviews {
    port: u16,
    tokens: Arc<Mutex<Vec<ReviewedToken>>>,
}

/// A token, and whose it is.
#[derive(Clone)]
struct ReviewedToken {
    token: String,
    namespace: String,
    service_account: String,
    uid: String,
}

impl TokenReviews {
    /// Listens on a port of loopback.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
        let port = listener.local_addr()?.port();
        let tokens = Arc::<Mutex<Vec<ReviewedToken>>>::default();
        let known = Arc::clone(&tokens);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                answer(stream, &known);
            }
        });
        Ok(Self { port, tokens })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A token of a service account, which a review finds valid from now on. Its signature is not
    /// one: only the API server looks at that.
    pub fn issue(&self, namespace: &str, service_account: &str) -> String {
        let uid = format!("uid-of-{service_account}");
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = encode(&json!({"alg": "RS256", "kid": "test"}));
        let payload = encode(&json!({
            "aud": [AUDIENCE],
            "exp": 4_102_444_800_u64,
            "iat": 1_700_000_000,
            "nbf": 1_700_000_000,
            "iss": "https://kubernetes.default.svc",
            "sub": format!("system:serviceaccount:{namespace}:{service_account}"),
            "kubernetes.io": {
                "namespace": namespace,
                "pod": {"name": "pod", "uid": "uid-of-pod"},
                "serviceaccount": {"name": service_account, "uid": uid},
            },
        }));
        let token = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([7; 256]));
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(ReviewedToken {
            token: token.clone(),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            uid,
        });
        token
    }
}

fn answer(mut stream: TcpStream, known: &[ReviewedToken]) {
    let _ = stream.set_read_timeout(Some(REQUEST_TIMEOUT));
    let Some((path, review)) = read_request(&stream) else { return };
    let (status, body) = match path.as_str() {
        "/apis/authentication.k8s.io/v1/tokenreviews" => ("201 Created", reviewed(review, known)),
        _ => ("404 Not Found", json!({"kind": "Status", "status": "Failure", "code": 404})),
    };
    let body = body.to_string();
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
}

fn read_request(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream.take(MAX_REQUEST_BYTES));
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length: u64 = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    Some((first.split(' ').nth(1)?.to_owned(), serde_json::from_slice(&body).ok()?))
}

/// What the API server answers.
fn reviewed(mut review: Value, known: &[ReviewedToken]) -> Value {
    let asked = review["spec"]["audiences"].as_array().cloned().unwrap_or_default();
    let fits = asked.is_empty() || asked.contains(&json!(AUDIENCE));
    let identity = known.iter().find(|it| review["spec"]["token"] == json!(it.token));
    review["status"] = match identity {
        Some(ReviewedToken { namespace, service_account, uid, .. }) if fits => json!({
            "authenticated": true,
            "audiences": if asked.is_empty() { json!([]) } else { json!([AUDIENCE]) },
            "user": {
                "username": format!("system:serviceaccount:{namespace}:{service_account}"),
                "uid": uid,
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
        }),
        _ => json!({"error": "invalid bearer token"}),
    };
    review
}
