//! An OpenID provider on loopback: what it publishes, and the ID tokens that it signs.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use http::Method;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::harness::Harness;

pub(crate) struct IdentityProvider {
    issuer: String,
    key: EncodingKey,
}

impl IdentityProvider {
    /// It answers until the test's process ends.
    pub(crate) fn start() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        public.common.key_id = Some("1".to_owned());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/jwks")}).to_string();
        let keys = json!({"keys": [public]}).to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &discovery, &keys);
            }
        });
        Self { issuer, key }
    }

    /// The flags that make switchyard trust it. `roles` are those of groups.
    pub(crate) fn flags<'a>(&'a self, roles: &[&'a str]) -> Vec<&'a str> {
        let mut flags = vec!["--oidc-issuer", &self.issuer, "--oidc-client-id", "enclii"];
        flags.extend(["--oidc-username-claim", "sub"]);
        for role in roles {
            flags.extend(["--oidc-role", role]);
        }
        flags
    }

    /// A new ID token, valid for five minutes.
    pub(crate) fn id_token(&self, person: &str, groups: &[&str]) -> String {
        self.sign(&json!({"aud": "enclii", "sub": person, "groups": groups}))
    }

    /// A new ID token with these claims, valid for five minutes.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut all = json!({"iss": self.issuer, "iat": now, "exp": now + 300,
            "jti": uuid::Uuid::new_v4().to_string()});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &all, &self.key).unwrap()
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Logs a person in, and returns the session's token.
    pub(crate) async fn log_in(&self, harness: &Harness, person: &str, groups: &[&str]) -> String {
        let (status, body) = offer(harness, &self.id_token(person, groups)).await;
        assert_eq!(status, 200, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }
}

/// Exchanges an ID token for a session.
pub(crate) async fn offer(harness: &Harness, id_token: &str) -> (u16, Value) {
    let body = json!({ "id_token": id_token }).to_string();
    let (status, _, answer) = harness.ask(Method::POST, "/v1/login", None, body.as_bytes()).await;
    (status.as_u16(), serde_json::from_slice(&answer).unwrap())
}

fn answer(mut stream: TcpStream, discovery: &str, keys: &str) {
    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|it| it == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
    let body = if request.starts_with(b"GET /jwks ") { keys } else { discovery };
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}
