//! `enclii login --ci` in jobs of GitHub Actions and GitLab CI, with what these systems give to a
//! job: variables, and GitHub's endpoint for ID tokens.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::harness::{CliHarness, finish};

const AUDIENCE: &str = "https://secrets.example.com/?a=1&b=2";

/// The token by which GitHub knows the job.
const RUN_TOKEN: &str = "ghs-run-token";

/// A CI system on loopback: it publishes its keys and signs the ID tokens of its jobs.
struct CiSystem {
    issuer: String,
    key: EcdsaKeyPair,
    /// How many requests for an ID token are answered with 503 first.
    unavailable: AtomicUsize,
}

impl CiSystem {
    /// It answers until the test's process ends.
    fn start() -> Arc<Self> {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let system = Arc::new(Self { issuer, key, unavailable: AtomicUsize::new(1) });
        let serving = Arc::clone(&system);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.answer(stream);
            }
        });
        system
    }

    fn sign(&self, claims: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut all = json!({"iss": self.issuer, "iat": now, "nbf": now, "exp": now + 300});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let header = json!({"alg": "ES256", "kid": "1", "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&all));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn github_job(&self, audience: &str) -> Value {
        let token = self.sign(&json!({
            "aud": audience, "sub": "repo:shop/api:ref:refs/heads/main",
            "repository": "shop/api", "repository_owner": "shop", "ref": "refs/heads/main",
            "run_id": "7", "run_attempt": "1", "actor": "ada", "event_name": "push",
        }));
        json!({"count": token.len(), "value": token})
    }

    fn gitlab_job(&self, project: &str) -> String {
        self.sign(&json!({
            "aud": AUDIENCE, "sub": format!("project_path:{project}:ref_type:branch:ref:main"),
            "project_path": project, "ref": "main", "ref_path": "refs/heads/main",
            "ref_protected": "true", "pipeline_id": "5", "job_id": "6", "user_login": "ada",
        }))
    }

    fn answer(&self, mut stream: TcpStream) {
        let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
        while !request.windows(4).any(|it| it == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => request.extend_from_slice(&buffer[..count]),
            }
        }
        let request = String::from_utf8_lossy(&request).into_owned();
        let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (status, body) = match path {
            "/.well-known/openid-configuration" => {
                (200, json!({"issuer": self.issuer, "jwks_uri": format!("{}/keys", self.issuer)}))
            }
            "/keys" => {
                // An uncompressed point: 4, then both coordinates.
                let point = self.key.public_key().as_ref();
                let coordinate = |range| URL_SAFE_NO_PAD.encode(&point[range]);
                (
                    200,
                    json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig",
                    "alg": "ES256", "x": coordinate(1..33), "y": coordinate(33..65)}]}),
                )
            }
            "/idtoken/7" => self.id_token(&request, query),
            _ => (404, json!({})),
        };
        let body = body.to_string();
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        );
    }

    /// As GitHub answers: the job's own token in the header, its version and the audience in the
    /// query; without an audience, that of the repository's owner.
    fn id_token(&self, request: &str, query: &str) -> (u16, Value) {
        let authorization = format!("authorization: bearer {RUN_TOKEN}");
        if !request.lines().any(|line| line.eq_ignore_ascii_case(&authorization)) {
            return (401, json!({"message": "unauthorized"}));
        }
        let less = |count: usize| count.checked_sub(1);
        if self.unavailable.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return (503, json!({}));
        }
        let pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        if !pairs.contains(&("api-version", "2.0")) {
            return (400, json!({"message": "no version"}));
        }
        let asked =
            pairs.iter().find(|(name, _)| *name == "audience").map(|(_, text)| decode(text));
        (200, self.github_job(&asked.unwrap_or_else(|| "https://github.com/shop".to_owned())))
    }
}

/// A value of a query.
fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            other => other,
        });
    }
    String::from_utf8(bytes).unwrap()
}

fn start(system: &CiSystem, platform: &str, claims: &Value) -> CliHarness {
    let file = json!({"issuers": [{"name": "ci", "platform": platform, "issuer": system.issuer,
        "audience": AUDIENCE, "rules": [
            {"name": "deploy", "claims": claims, "roles": ["developer@shop.prod.api"]}]}]});
    CliHarness::start_with(|directory: &Path| {
        let path = directory.join("issuers.yaml");
        std::fs::File::create(&path).unwrap().write_all(file.to_string().as_bytes()).unwrap();
        vec![("ENCLII_WORKLOAD_ISSUERS", path.to_str().unwrap().to_owned())]
    })
}

/// A command in a job, which has no token of the API.
fn job(harness: &CliHarness, words: &[&str]) -> Command {
    let mut command = harness.enclii(words);
    command.env_remove("ENCLII_TOKEN_FILE");
    command
}

#[test]
fn a_job_of_github_actions_logs_in_with_the_token_that_it_asks_for() {
    let system = CiSystem::start();
    let claims = json!({"repository": "shop/api", "ref": "refs/heads/main"});
    let harness = start(&system, "github", &claims);
    let run = |words: &[&str], run_token: &str| {
        let url = format!("{}/idtoken/7?api-version=2.0", system.issuer);
        let mut command = job(&harness, words);
        command.env("GITHUB_ACTIONS", "true").env("ACTIONS_ID_TOKEN_REQUEST_URL", url);
        finish(command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", run_token), b"")
    };
    let done = run(&["login", "--ci"], RUN_TOKEN);
    assert!(done.code == Some(2) && done.err.contains("--audience"), "{done:?}");
    let done = run(&["login", "--ci", "--audience", AUDIENCE], "another");
    assert!(done.code == Some(5) && done.err.contains("401"), "{done:?}");
    let done = run(&["login", "--ci", "--audience", "https://other.example"], RUN_TOKEN);
    assert!(done.code == Some(3) && done.err.contains("the audit log says which"), "{done:?}");

    let done = run(&["login", "--ci", "--audience", AUDIENCE], RUN_TOKEN);
    assert_eq!(done.code, Some(0), "{done:?}");
    let out = String::from_utf8(done.out).unwrap();
    assert!(out.starts_with("logged in as ci:shop/api@refs/heads/main until"), "{out}");
    for text in [&done.err, &out] {
        assert!(!text.contains("eyJ") && !text.contains("enclii_"), "a token is printed: {text}");
    }
    let who = finish(&mut job(&harness, &["whoami"]), b"");
    let out = String::from_utf8(who.out).unwrap();
    assert!(out.starts_with("workload ci:shop/api@refs/heads/main\nrole:    developer"), "{out}");
    let set = finish(&mut job(&harness, &["secrets", "set", "A=-"]), b"1");
    assert_eq!(set.code, Some(0), "{set:?}");
    let words = ["secrets", "set", "A=-", "--service", "web"];
    let denied = finish(&mut job(&harness, &words), b"1");
    assert!(denied.code == Some(3) && denied.err.contains("--workload-issuers"), "{denied:?}");
    assert_eq!(finish(&mut job(&harness, &["logout"]), b"").code, Some(0));
    assert_eq!(finish(&mut job(&harness, &["whoami"]), b"").code, Some(3));

    // A job that may not ask for one.
    let mut command = job(&harness, &["login", "--ci", "--audience", AUDIENCE]);
    let done = finish(command.env("GITHUB_ACTIONS", "true"), b"");
    assert!(done.code == Some(2) && done.err.contains("id-token: write"), "{done:?}");
}

#[test]
fn a_job_of_gitlab_ci_logs_in_with_the_token_that_it_has() {
    let system = CiSystem::start();
    let harness =
        start(&system, "gitlab", &json!({"project_path": "shop/*", "ref_protected": true}));
    let whoami = || {
        let who = finish(&mut job(&harness, &["whoami"]), b"");
        String::from_utf8(who.out).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    let mut command = job(&harness, &["login", "--ci"]);
    let done = finish(command.env("ENCLII_ID_TOKEN", system.gitlab_job("shop/api")), b"");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(whoami(), "workload ci:shop/api@refs/heads/main");
    let mut command = job(&harness, &["login", "--ci", "--id-token-env", "TOKEN_FOR_SECRETS"]);
    let done = finish(command.env("TOKEN_FOR_SECRETS", system.gitlab_job("shop/web")), b"");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(whoami(), "workload ci:shop/web@refs/heads/main");
    let file = harness.file("id-token", format!("{}\n", system.gitlab_job("shop/job")).as_bytes());
    let done = finish(&mut job(&harness, &["login", "--ci", "--id-token-file", &file]), b"");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(whoami(), "workload ci:shop/job@refs/heads/main");

    let mut command = job(&harness, &["login", "--ci"]);
    let done = finish(command.env("ENCLII_ID_TOKEN", system.gitlab_job("eve/api")), b"");
    assert!(done.code == Some(3) && done.err.contains("the audit log says which"), "{done:?}");
    let done = finish(&mut job(&harness, &["login", "--ci"]), b"");
    assert!(done.code == Some(2) && done.err.contains("ENCLII_ID_TOKEN"), "{done:?}");
    for words in [&["login", "--ci", "--device"][..], &["login", "--id-token-file", "x"]] {
        assert_eq!(finish(&mut job(&harness, words), b"").code, Some(2), "{words:?}");
    }
}
