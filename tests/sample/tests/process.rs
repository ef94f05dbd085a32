//! The program as a process: files, answers and signals.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::port::free_port;
use rustix::process::{Pid, Signal, kill_process};
use sample::secrets::sha256;
use serde_json::Value;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enclii-sample"));
    command.env_clear();
    command
}

fn write(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let port = free_port().unwrap();
        let child = command
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut server = Self { child, port };
        until(|| {
            server.child.try_wait().unwrap().is_some()
                || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        server
    }

    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut tcp = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(tcp, "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/state").1).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal)
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "condition not met in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_server_reads_its_files_at_start_and_on_reload() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("TOKEN");
    write(&file, b"first");
    let mut server = Server::start(program().env("TOKEN_FILE", &file).env("LOG_LEVEL", "info"));
    let state = server.state();
    assert_eq!(state["digests"]["TOKEN"], sha256(b"first"));
    assert_eq!((&state["reloads"], &state["reload_trigger"]), (&0.into(), &Value::Null));
    assert_eq!(state["environment"], serde_json::json!(["LOG_LEVEL", "TOKEN_FILE"]));
    assert_eq!(state["pid"], server.child.id());
    assert!(!state.to_string().contains("first"));
    assert_eq!(server.ask("GET", "/").0, 200);
    assert_eq!(server.ask("GET", "/healthz").0, 200);
    assert_eq!(server.ask("DELETE", "/").0, 405);
    assert_eq!(server.ask("GET", "/elsewhere").0, 404);

    write(&file, b"second");
    server.signal(Signal::HUP);
    until(|| server.state()["reloads"] == 1);
    assert_eq!(server.state()["digests"]["TOKEN"], sha256(b"second"));
    assert_eq!(server.state()["reload_trigger"], "signal");

    write(&file, b"third");
    assert_eq!(server.ask("POST", "/-/reload").0, 204);
    let state = server.state();
    assert_eq!(
        (&state["digests"]["TOKEN"], &state["reload_trigger"]),
        (&sha256(b"third").into(), &"http".into())
    );
    assert!(state["reloaded_at"].as_u64() >= state["started_at"].as_u64());

    std::fs::remove_file(&file).unwrap();
    assert_eq!(server.ask("POST", "/-/reload").0, 500);
    assert_eq!(server.state()["digests"]["TOKEN"], sha256(b"third"));

    server.signal(Signal::TERM);
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn a_missing_file_is_an_error_unless_allowed() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("TOKEN");
    let output = program().env("TOKEN_FILE", &file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("of TOKEN_FILE: No such file"), "{}", stderr(&output));

    let server = Server::start(program().arg("--allow-missing").env("TOKEN_FILE", &file));
    assert_eq!(server.ask("GET", "/").0, 503);
    write(&file, b"late");
    assert_eq!(server.ask("POST", "/-/reload").0, 204);
    assert_eq!(server.ask("GET", "/").0, 200);
}

#[test]
fn the_exit_status_of_a_job_says_whether_the_files_are_right() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("TOKEN");
    write(&file, b"job");
    let run = |digest: String| {
        program()
            .args(["once", "--expect", &format!("TOKEN={digest}")])
            .env("TOKEN_FILE", &file)
            .output()
            .unwrap()
    };
    assert!(run(sha256(b"job")).status.success());
    let output = run(sha256(b"other"));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("TOKEN: unexpected content"));
}

#[test]
fn a_load_client_serves_its_counters_and_prints_them_at_the_end() {
    let server = Server::start(&mut program());
    let port = free_port().unwrap();
    let (url, listen) = (format!("http://127.0.0.1:{}/", server.port), format!("127.0.0.1:{port}"));
    let mut load = program();
    load.args(["load", "--url", &url, "--rate", "200", "--duration", "3600", "--listen", &listen]);
    let mut client = Server { child: load.stdout(Stdio::piped()).spawn().unwrap(), port };
    until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
    until(|| {
        serde_json::from_str::<Value>(&client.ask("GET", "/load").1).unwrap()["ok"].as_u64()
            > Some(20)
    });
    client.signal(Signal::TERM);
    let mut line = String::new();
    BufReader::new(client.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(client.child.wait().unwrap().success());
    let report: Value = serde_json::from_str(&line).unwrap();
    assert!(report["ok"].as_u64() > Some(20), "{report}");
    assert_eq!((&report["failed"], &report["first_error"]), (&0.into(), &Value::Null));
}
