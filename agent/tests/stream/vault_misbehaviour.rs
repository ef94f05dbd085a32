//! A Vault that is slow, or answers anything at all: the files stay, and the agent asks again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::VaultSource;
use contract::agent_config::Source;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::pod::Pod;
use crate::server::with_timeout;

/// What Vault does with each request, instead of what it should.
#[derive(Clone, Copy, Debug)]
enum VaultMisbehaviour {
    Cut,
    Mute,
    Drip,
    /// Without an end.
    Endless(&'static str),
    Answer(&'static str),
    /// A whole answer that says this.
    Json(&'static str),
}

const ALL: &[VaultMisbehaviour] = &[
    VaultMisbehaviour::Cut,
    VaultMisbehaviour::Mute,
    VaultMisbehaviour::Drip,
    VaultMisbehaviour::Endless("HTTP/1.1 200 OK\r\nx: y"),
    VaultMisbehaviour::Endless("HTTP/1.1 200 OK\r\n\r\n{\"data\":["),
    VaultMisbehaviour::Endless("HTTP/1.1 103 Early Hints\r\n\r\n"),
    VaultMisbehaviour::Answer("\u{16}\u{3}\u{1}\u{0}garbage\r\n\r\n"),
    VaultMisbehaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"),
    VaultMisbehaviour::Answer("HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:9/\r\n\r\n"),
    VaultMisbehaviour::Answer("HTTP/1.1 204 No Content\r\n\r\n"),
    VaultMisbehaviour::Answer("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n"),
    VaultMisbehaviour::Answer("HTTP/1.1 418 Teapot\r\ncontent-length: 5\r\n\r\nshort"),
    VaultMisbehaviour::Answer("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"),
    VaultMisbehaviour::Json(""),
    VaultMisbehaviour::Json("null"),
    VaultMisbehaviour::Json("[[[[[[[["),
    VaultMisbehaviour::Json(r#"{"data":null}"#),
    VaultMisbehaviour::Json(r#"{"data":{"data":{"x":{"y":1}},"metadata":7},"auth":[]}"#),
    VaultMisbehaviour::Json(r#"{"data":{"current_version":-1,"versions":{"x":{}}}}"#),
    VaultMisbehaviour::Json(r#"{"data":{"current_version":18446744073709551615,"versions":{}}}"#),
    VaultMisbehaviour::Json("<html>log in to the network first</html>"),
];

#[derive(Default)]
struct State {
    version: u64,
    misbehaviour: Option<VaultMisbehaviour>,
    requests: usize,
}

/// A Vault that the test controls.
struct FakeVault {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _running: JoinSet<()>,
}

impl FakeVault {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        state.lock().unwrap().version = 1;
        let (mut running, shared) = (JoinSet::new(), Arc::clone(&state));
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                connections.spawn(async move { drop(serve(tcp, &state).await) });
            }
        });
        Self { address, state, _running: running }
    }

    fn begins(&self, misbehaviour: Option<VaultMisbehaviour>) {
        let mut state = self.state.lock().unwrap();
        (state.misbehaviour, state.requests) = (misbehaviour, 0);
    }

    /// Waits for so many requests since then.
    async fn asked(&self, count: usize) {
        with_timeout(async {
            while self.state.lock().unwrap().requests < count {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

async fn serve(mut tcp: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    loop {
        let (path, misbehaviour, version) = {
            let path = read_request(&mut tcp).await?;
            let mut state = state.lock().unwrap();
            state.requests += 1;
            (path, state.misbehaviour, state.version)
        };
        match misbehaviour {
            None => answer(&mut tcp, &proper_answer(&path, version).to_string()).await?,
            Some(VaultMisbehaviour::Json(text)) => answer(&mut tcp, text).await?,
            Some(VaultMisbehaviour::Cut) => return Ok(()),
            Some(VaultMisbehaviour::Mute) => sleep(Duration::from_secs(60)).await,
            Some(VaultMisbehaviour::Answer(text)) => {
                tcp.write_all(text.as_bytes()).await?;
                return tcp.shutdown().await;
            }
            Some(VaultMisbehaviour::Drip) => {
                for byte in "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".bytes() {
                    tcp.write_u8(byte).await?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
            Some(VaultMisbehaviour::Endless(text)) => loop {
                let repeated = text.repeat(300);
                tcp.write_all(repeated.as_bytes()).await?;
                sleep(Duration::from_millis(5)).await;
            },
        }
    }
}

/// Reads a request to its end, and returns its path.
async fn read_request(tcp: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
    tcp.read_exact(&mut body).await?;
    Ok(head.split(' ').nth(1).unwrap().to_owned())
}

async fn answer(tcp: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    tcp.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())
        .await
}

fn proper_answer(path: &str, version: u64) -> Value {
    let state = json!({
        "created_time": "2026-11-30T00:00:00Z", "deletion_time": "", "destroyed": false,
    });
    if path.starts_with("/v1/secret/metadata/") {
        let versions = json!({ version.to_string(): state });
        json!({ "data": { "current_version": version, "versions": versions } })
    } else if path.starts_with("/v1/secret/data/") {
        let mut metadata = state;
        metadata["version"] = version.into();
        json!({ "data": { "data": { "x": version.to_string() }, "metadata": metadata } })
    } else {
        json!({
            "auth": { "client_token": "t", "lease_duration": 3600, "renewable": true }, "data": {},
        })
    }
}

fn start(pod: &Pod, vault: &FakeVault) -> crate::pod::Agent {
    let mut config = pod.config(vault.address, "", "none");
    let secret = json!({ "type": "kv", "mount": "secret", "path": "one", "field": "x" });
    let source = json!({
        "address": format!("http://{}", vault.address),
        "auth_mount": "kubernetes",
        "role": "api",
        "token_file": pod.volume().with_file_name("token"),
        "poll_seconds": 1,
        "secrets": { "api-prod": { "X": secret } },
    });
    config.source = Source::Vault(serde_json::from_value::<VaultSource>(source).unwrap());
    Pod::start_with(config)
}

async fn until_file(pod: &Pod, text: &str, case: &str) {
    let there = async {
        while pod.file("X").as_deref() != Some(text.as_bytes()) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), there).await;
    assert!(waited.is_ok(), "{case}: X is {:?}, not {text}", pod.file("X"));
}

async fn survives(misbehaviour: VaultMisbehaviour) {
    let case = format!("{misbehaviour:?}");
    let (pod, vault) = (Pod::new(), FakeVault::start().await);
    let _agent = start(&pod, &vault);
    until_file(&pod, "1", &case).await;
    vault.begins(Some(misbehaviour));
    // More than one: it goes on asking, and not in a storm.
    vault.asked(2).await;
    assert_eq!(pod.file("X").as_deref(), Some(&b"1"[..]), "{case}");
    vault.state.lock().unwrap().version = 2;
    vault.asked(3).await;
    assert_eq!(pod.file("X").as_deref(), Some(&b"1"[..]), "{case}");
    vault.begins(None);
    until_file(&pod, "2", &case).await;
}

/// All at once, since each waits for a time-out or between two attempts.
#[tokio::test]
async fn the_files_stay_and_the_agent_asks_again_whatever_vault_does() {
    join_all(ALL.iter().map(|it| survives(*it))).await;
}
