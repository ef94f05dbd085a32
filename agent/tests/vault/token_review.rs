//! A stand-in for the endpoint of the Kubernetes API that Vault asks whose token it was given.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The audience of the pods' tokens.
pub(crate) const AUDIENCE: &str = "vault";

/// The endpoint. Its thread ends with the process.
pub(crate) struct TokenReviews {
    port: u16,
    tokens: Arc<Mutex<Vec<Identity>>>,
}

#[derive(Clone)]
struct Identity {
    token: String,
    namespace: String,
    service_account: String,
    uid: String,
}

impl TokenReviews {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tokens = Arc::<Mutex<Vec<Identity>>>::default();
        let known = Arc::clone(&tokens);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let known = known.lock().unwrap().clone();
                answer(stream, &known);
            }
        });
        Self { port, tokens }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A token of a service account, which a review finds valid from now on. Its signature is not
    /// one: only the API server looks at that.
    pub(crate) fn issue(&self, namespace: &str, service_account: &str) -> String {
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
        self.tokens.lock().unwrap().push(Identity {
            token: token.clone(),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            uid,
        });
        token
    }
}

fn answer(mut stream: TcpStream, known: &[Identity]) {
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
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first.split(' ').nth(1)?.to_owned(), serde_json::from_slice(&body).ok()?))
}

/// What the API server answers.
fn reviewed(mut review: Value, known: &[Identity]) -> Value {
    let asked = review["spec"]["audiences"].as_array().cloned().unwrap_or_default();
    let fits = asked.is_empty() || asked.contains(&json!(AUDIENCE));
    let identity = known.iter().find(|it| review["spec"]["token"] == json!(it.token));
    review["status"] = match identity {
        Some(Identity { namespace, service_account, uid, .. }) if fits => json!({
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
