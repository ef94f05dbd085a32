//! The program as a process: its words, its end, its log.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "stream/pod.rs"]
#[expect(dead_code, reason = "the other test uses all of it")]
mod pod;
#[path = "stream/server.rs"]
#[expect(dead_code, reason = "the other test uses all of it")]
mod server;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use contract::AgentConfig;
use contract::layout::CONFIG_VARIABLE;
use contract::stream::AgentMessage;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command as AsyncCommand};

use pod::Pod;
use server::{Authority, Server, hold, hold_of, soon};

const PROGRAM: &str = env!("CARGO_BIN_EXE_enclii-agent");

/// Values that a log must not show in any form.
const CANARY: &str = "canary-7f3a9c51e2d8b604";
const TOKEN: &str = "token-canary-0b6d4f2e";

fn run(words: &[&str], config: Option<&AgentConfig>) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(words).env_clear();
    if let Some(config) = config {
        command.env(CONFIG_VARIABLE, config.to_json().unwrap());
    }
    command.output().unwrap()
}

fn start(config: &AgentConfig) -> Child {
    let mut command = AsyncCommand::new(PROGRAM);
    command
        .env_clear()
        .env(CONFIG_VARIABLE, config.to_json().unwrap())
        .env("ENCLII_LOG_FILTER", "trace");
    command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Ends it as the kubelet does, and returns its log.
async fn end(mut child: Child) -> String {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    let mut log = String::new();
    soon(child.stderr.take().unwrap().read_to_string(&mut log)).await.unwrap();
    assert!(soon(child.wait()).await.unwrap().success(), "{log}");
    log
}

#[test]
fn its_words() {
    let output = run(&["--version"], None);
    assert_eq!(output.stdout, concat!("enclii-agent ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
    assert!(run(&["--help"], None).stdout.starts_with(b"Keeps a pod's secrets"));
    for words in [&["walk"][..], &[], &["wait"]] {
        let output = run(words, None);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stderr.starts_with(b"enclii-agent: read "), "{output:?}");
    }
}

#[test]
fn a_volume_that_is_not_there_ends_it_with_its_name() {
    let pod = Pod::new();
    let mut config = pod.config("127.0.0.1:9".parse().unwrap(), &Authority::new().pem, "none");
    config.files.directory = "/nowhere/at/all".to_owned();
    let output = run(&[], Some(&config));
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("open volume /nowhere/at/all: No such file"), "{log}");
}

#[tokio::test]
async fn the_hook_ends_when_the_files_are_there_and_the_log_shows_no_value() {
    let (authority, pod) = (Authority::new(), Pod::new());
    pod.token(TOKEN);
    let server = Server::start(&authority).await;
    let config = pod.config(server.address(), &authority.pem, "none");
    let agent = start(&config);
    let mut hook = AsyncCommand::new(PROGRAM);
    let mut hook = hook
        .arg("wait")
        .env_clear()
        .env(CONFIG_VARIABLE, config.to_json().unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();

    let (mut session, _) = server.session().await;
    assert!(hook.try_wait().unwrap().is_none());
    let value = |text: &str| format!("{CANARY}-{text}").into_bytes();
    session.say(&hold(1, &[("A", &value("first"))])).await;
    session.hear().await;
    assert!(soon(hook.wait()).await.unwrap().success());

    // Every way in which it can go wrong, too.
    session.say(&hold(2, &[("A", &value("second"))])).await;
    session.hear().await;
    session.say(&hold_of("other-prod", 3, &[("A", &value("third"))])).await;
    assert!(matches!(session.hear().await, AgentMessage::Failed { .. }));
    std::fs::create_dir(pod.volume().join("B")).unwrap();
    session.say(&hold(4, &[("B", &value("fourth"))])).await;
    assert!(matches!(session.hear().await, AgentMessage::Failed { .. }));
    let torn = format!(
        r#"{{"kind":"hold","bundles":[{{"bundle":"api-prod","generation":5,"secrets":[{{"name":"A","version":1,"length":3,"x":"{CANARY}"}}]}}]}}"#
    );
    session
        .write(contract::stream::frame::encode(torn.as_bytes(), &[&value("fifth")]).expose())
        .await;
    session.closed().await;
    let (session, _) = server.session().await;

    let log = end(agent).await;
    drop(session);
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    for said in [
        "\"message\":\"files replaced\"",
        "\"bundle\":\"api-prod\"",
        "\"generation\":\"2\"",
        "\"milliseconds\":",
        "\"message\":\"agent ended\"",
    ] {
        assert!(log.contains(said), "{said} is not in\n{log}");
    }
    for hidden in [CANARY, TOKEN] {
        let hex: String = hidden.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!log.contains(hidden) && !log.contains(&hex), "{log}");
        for skipped in 0..3 {
            // The ends of a text depend on what is beside it, the middle only on where it starts.
            let encoded = STANDARD_NO_PAD.encode(&hidden.as_bytes()[skipped..]);
            assert!(!log.contains(&encoded[..encoded.len() - 4]), "{log}");
        }
        let bytes = format!("{:?}", hidden.as_bytes());
        assert!(!log.contains(bytes.trim_matches(['[', ']'])), "{log}");
    }
}

const DENIED: &str = "service account shop/web may not read bundle api-prod";

fn denial() -> String {
    format!(r#"{{"title":"access denied","status":403,"detail":"{DENIED}"}}"#)
}

#[tokio::test]
async fn a_refusal_before_the_first_files_ends_it_with_who_was_refused_what() {
    let (authority, pod) = (Authority::new(), Pod::new());
    let server = Server::start(&authority).await;
    let mut agent = start(&pod.config(server.address(), &authority.pem, "none"));
    server.login().await.refuse("403 Forbidden", &denial()).await;
    assert_eq!(soon(agent.wait()).await.unwrap().code(), Some(1));
    let mut log = String::new();
    soon(agent.stderr.take().unwrap().read_to_string(&mut log)).await.unwrap();
    assert!(
        log.lines().any(|line| line.contains("\"level\":\"ERROR\"") && line.contains(DENIED)),
        "{log}"
    );
}

#[tokio::test]
async fn a_refusal_later_is_logged_once_and_the_files_stay() {
    let (authority, pod) = (Authority::new(), Pod::new());
    let server = Server::start(&authority).await;
    let agent = start(&pod.config(server.address(), &authority.pem, "none"));
    let (mut session, _) = server.session().await;
    session.say(&hold(1, &[("A", b"x")])).await;
    session.hear().await;
    drop(session);
    for _ in 0..2 {
        server.login().await.refuse("403 Forbidden", &denial()).await;
    }
    let (session, _) = server.session().await;
    let log = end(agent).await;
    drop(session);
    assert_eq!(log.matches(DENIED).count(), 1, "{log}");
    assert_eq!(pod.file("A").as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn it_leaves_no_core_and_lets_nobody_look_into_its_memory() {
    let (authority, pod) = (Authority::new(), Pod::new());
    let server = Server::start(&authority).await;
    let agent = start(&pod.config(server.address(), &authority.pem, "none"));
    let (session, _) = server.session().await;
    let proc = PathBuf::from(format!("/proc/{}", agent.id().unwrap()));
    let limits = std::fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_ascii_whitespace().nth(4), Some("0"), "{core}");
    // What of a process is closed to its own user belongs to root.
    assert_eq!(std::fs::metadata(proc.join("mem")).unwrap().uid(), 0);
    end(agent).await;
    drop(session);
}
