//! A real Redis.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use contract::check::LoginServer::Redis as REDIS;
use contract::login_check::LoginOutcome::{Passed, Refused, Unreachable, Unsupported};
use contract::login_check::{
    ConnectionMark, LoginAction, Refusal, Sessions, SessionsSince, Unreachable as Reason,
};
use e2e::process::Process;
use e2e::wait;
use tempfile::TempDir;

use crate::program::{Login, PASSWORD, TestCertificate, ask, closed_port, login, silent_server};

const STEP_TIMEOUT: Duration = Duration::from_secs(20);

const APP: Login<'static> =
    Login { scheme: "redis", user: "app_user", password: PASSWORD, database: "", query: "" };

/// A user with every right. The server's default user has none.
const ALL: &str = "~* &* +@all";
/// As a careful operator gives them: without what looks at other clients.
const FEW: &str = "~* &* +@all -@dangerous -@admin";

struct Redis {
    _process: Process,
    folder: TempDir,
    port: u16,
    tls_port: Option<u16>,
}

impl Redis {
    /// A server with the user of [`APP`], who has these rights.
    fn start(rights: &str, tls: Option<&TestCertificate>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = closed_port();
        let tls_port = tls.map(|_| closed_port());
        let config = folder.path().join("redis.conf");
        let mut lines = format!(
            "port {port}\nbind 127.0.0.1\nsave \"\"\ndir {}\nprotected-mode no\n\
             user default off\nuser root on >canary-root ~* &* +@all\n",
            folder.path().display()
        );
        if let (Some(files), Some(tls_port)) = (tls, tls_port) {
            lines.push_str(&format!(
                "tls-port {tls_port}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients no\n",
                files.certificate.display(),
                files.key.display()
            ));
        }
        fs::File::create(&config).unwrap().write_all(lines.as_bytes()).unwrap();
        let mut command = Command::new("redis-server");
        let process = Process::start("redis", command.arg(config), folder.path()).unwrap();
        let redis = Self { _process: process, folder, port, tls_port };
        wait::until("Redis to answer", STEP_TIMEOUT, || {
            Ok((redis.cli(&["PING"]).trim() == "PONG").then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}: {:?}", redis.folder.path()));
        redis.set_user(PASSWORD, rights);
        redis
    }

    fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string(), "--user", "root", "--no-auth-warning"]);
        let output = command.env("REDISCLI_AUTH", "canary-root").args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn set_user(&self, password: &str, rights: &str) {
        let password = format!(">{password}");
        let mut words = vec!["ACL", "SETUSER", "app_user", "reset", "on", &password];
        words.extend(rights.split(' '));
        assert_eq!(self.cli(&words).trim(), "OK");
    }
}

#[test]
fn what_a_server_says_of_a_login() {
    let redis = Redis::start(ALL, None);
    let port = redis.port;
    assert_eq!(APP.outcome(port, REDIS), Passed);
    assert_eq!(Login { database: "3", ..APP }.outcome(port, REDIS), Passed);
    let lost = Login { database: "9999", ..APP };
    assert_eq!(lost.outcome(port, REDIS), Refused(Refusal::Database));
    let credential = Refused(Refusal::Credential);
    assert_eq!(Login { password: "canary-wrong", ..APP }.outcome(port, REDIS), credential);
    assert_eq!(Login { user: "nobody_here", ..APP }.outcome(port, REDIS), credential);
    // Of the default user, who is off.
    assert_eq!(Login { user: "", ..APP }.outcome(port, REDIS), credential);
    let bare = format!("redis://127.0.0.1:{port}");
    assert_eq!(ask(&bare, login(REDIS), STEP_TIMEOUT).outcome, credential);
    redis.set_user(PASSWORD, "~* +get");
    // Who may not ping has logged in all the same.
    assert_eq!(APP.outcome(port, REDIS), Passed);
    assert_eq!(Login { database: "3", ..APP }.outcome(port, REDIS), Refused(Refusal::Permission));
    assert_eq!(APP.outcome(closed_port(), REDIS), Unreachable(Reason::Connect));
    redis.cli(&["ACL", "SETUSER", "default", "on", &format!(">{PASSWORD}")]);
    redis.cli(&["ACL", "SETUSER", "default", "~*", "+@all"]);
    // A password alone is the default user's, with a colon before it or without.
    assert_eq!(Login { user: "", ..APP }.outcome(port, REDIS), Passed);
    let encoded: String = PASSWORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let url = format!("redis://{encoded}@127.0.0.1:{port}/0");
    assert_eq!(ask(&url, login(REDIS), STEP_TIMEOUT).outcome, Passed);
}

#[test]
fn a_server_that_says_nothing_costs_the_time_and_no_more() {
    let (_listener, port) = silent_server();
    for scheme in ["redis", "rediss"] {
        let url = Login { scheme, query: "?ssl_cert_reqs=none", ..APP }.url(port);
        let started = Instant::now();
        let answer = ask(&url, login(REDIS), Duration::from_millis(300));
        assert_eq!(answer.outcome, Unreachable(Reason::Timeout), "{answer:?}");
        assert!(started.elapsed() >= Duration::from_millis(300));
    }
}

/// A session of the application that stays.
struct Subscriber(Child);

impl Subscriber {
    fn open(redis: &Redis, password: &str) -> Self {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &redis.port.to_string(), "--user", "app_user", "--no-auth-warning"]);
        command.env("REDISCLI_AUTH", password).args(["SUBSCRIBE", "news"]);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until_there_are(redis: &Redis, sessions: usize) {
    wait::until("the sessions", STEP_TIMEOUT, || {
        let list = redis.cli(&["CLIENT", "LIST"]);
        Ok((list.matches("user=app_user").count() == sessions).then_some(()))
    })
    .unwrap();
}

fn since(mark: Option<ConnectionMark>) -> LoginAction {
    LoginAction::Login { server: REDIS, since: Some(SessionsSince { milliseconds_ago: 0, mark }) }
}

#[test]
fn old_sessions_survive_a_new_password_and_are_told_apart() {
    let redis = Redis::start(ALL, None);
    let port = redis.port;
    let old = [Subscriber::open(&redis, PASSWORD), Subscriber::open(&redis, PASSWORD)];
    until_there_are(&redis, 2);
    let mark = APP.ask(port, login(REDIS)).mark;
    assert!(mark.is_some());
    redis.cli(&["ACL", "SETUSER", "app_user", "resetpass", ">the-new-one"]);
    let new = Login { password: "the-new-one", ..APP };
    let sessions = || new.ask(port, since(mark.clone())).sessions.unwrap();
    assert_eq!(APP.outcome(port, REDIS), Refused(Refusal::Credential));
    assert_eq!(sessions(), Sessions { new: 0, old: 2, is_shared: false });
    let _one = Subscriber::open(&redis, "the-new-one");
    until_there_are(&redis, 3);
    assert_eq!(sessions(), Sessions { new: 1, old: 2, is_shared: false });
    drop(old);
    until_there_are(&redis, 1);
    assert_eq!(sessions().in_use(), Some(true));
    // Another server's mark tells nothing, and neither does none.
    let other = ConnectionMark { server: "another".to_owned(), connection: 1 };
    assert_eq!(new.ask(port, since(Some(other))).sessions, None);
    assert_eq!(new.ask(port, since(None)).sessions, None);
}

#[test]
fn without_the_right_the_sessions_are_unknown_and_the_login_works() {
    let redis = Redis::start(FEW, None);
    let mark = ConnectionMark { server: "x".to_owned(), connection: 1 };
    let answer = APP.ask(redis.port, since(Some(mark)));
    assert!(answer.detail.contains("does not tell"), "{answer:?}");
    assert_eq!((answer.outcome, answer.sessions, answer.mark), (Passed, None, None));
    let answer = APP.ask(redis.port, LoginAction::RedisConfig);
    assert_eq!(answer.outcome, Refused(Refusal::Permission));
}

#[test]
fn tls_and_a_new_certificate_at_the_same_paths() {
    let folder = tempfile::tempdir().unwrap();
    let first = TestCertificate::write(folder.path(), "live", "127.0.0.1");
    let redis = Redis::start(ALL, Some(&first));
    let port = redis.tls_port.unwrap();
    let ca = first.ca.display().to_string();
    let kept = folder.path().join("kept.pem");
    fs::copy(&first.ca, &kept).unwrap();
    let at = |query: &str| {
        let url = Login { scheme: "rediss", query, ..APP }.url(port);
        ask(&url, login(REDIS), STEP_TIMEOUT)
    };
    let trusted = format!("?ssl_ca_certs={ca}");
    assert_eq!(at(&trusted).outcome, Passed);
    assert!(at(&trusted).detail.contains("with TLS"));
    assert_eq!(at("?ssl_cert_reqs=none").outcome, Passed);
    assert_eq!(at("").outcome, Unsupported);
    // TLS at a port without it, which waits for the rest of a command, and the reverse.
    let url = Login { scheme: "rediss", query: "?ssl_cert_reqs=none", ..APP }.url(redis.port);
    let answer = ask(&url, login(REDIS), Duration::from_secs(1));
    assert_eq!(answer.outcome, Unreachable(Reason::Timeout));
    assert!(answer.detail.starts_with("TLS with"), "{answer:?}");
    assert_eq!(APP.outcome(port, REDIS), Unreachable(Reason::Protocol));

    let before = at("?ssl_cert_reqs=none").certificate_sha256.unwrap();
    TestCertificate::write(folder.path(), "live", "127.0.0.1");
    assert_eq!(at("?ssl_cert_reqs=none").certificate_sha256.unwrap(), before);
    let answer = APP.ask(redis.port, LoginAction::RedisConfig);
    assert_eq!(answer.outcome, Passed, "{answer:?}");
    assert_ne!(at("?ssl_cert_reqs=none").certificate_sha256.unwrap(), before);
    assert_eq!(at(&trusted).outcome, Passed);
    let foreign = format!("?ssl_ca_certs={}", kept.display());
    assert_eq!(at(&foreign).outcome, Unreachable(Reason::Tls));

    // A key of another certificate is refused, and the server goes on with what it has. Its
    // sessions survive all of it.
    let session = Subscriber::open(&redis, PASSWORD);
    until_there_are(&redis, 1);
    let other = TestCertificate::write(folder.path(), "other", "127.0.0.1");
    fs::copy(&other.key, &first.key).unwrap();
    let answer = APP.ask(redis.port, LoginAction::RedisConfig);
    assert_eq!(answer.outcome, Refused(Refusal::Configuration), "{answer:?}");
    assert_eq!(at(&trusted).outcome, Passed);
    until_there_are(&redis, 1);
    drop(session);
}

#[test]
fn a_server_without_a_certificate_has_none_to_read() {
    let redis = Redis::start(ALL, None);
    let answer = APP.ask(redis.port, LoginAction::RedisConfig);
    assert_eq!(answer.outcome, Refused(Refusal::Configuration), "{answer:?}");
    assert!(answer.detail.contains("no tls-cert-file"), "{answer:?}");
}
