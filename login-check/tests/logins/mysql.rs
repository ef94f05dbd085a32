//! A real MariaDB.

use std::fs;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use contract::check::LoginServer::Mysql as MYSQL;
use contract::login_check::LoginOutcome::{Passed, Refused, Unreachable, Unsupported};
use contract::login_check::{
    ConnectionMark, LoginAction, Refusal, Sessions, SessionsSince, Unreachable as Reason,
};
use e2e::process::Process;
use e2e::wait;
use tempfile::TempDir;

use crate::program::{Login, PASSWORD, TestCertificate, ask, closed_port, login, silent_server};

const STEP_TIMEOUT: Duration = Duration::from_secs(60);

const APP: Login<'static> =
    Login { scheme: "mysql", user: "app_user", password: PASSWORD, database: "shopdb", query: "" };

struct MariaDb {
    _process: Process,
    folder: TempDir,
    port: u16,
}

impl MariaDb {
    /// A server with the user of [`APP`] and a database.
    fn start(tls: Option<&TestCertificate>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let install = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(["--skip-test-db", "--skip-name-resolve", "--user=root"])
            .arg(format!("--datadir={}", data.display()))
            .output()
            .unwrap();
        assert!(install.status.success(), "{}", String::from_utf8_lossy(&install.stderr));
        let port = closed_port();
        let mut command = Command::new("mariadbd");
        command
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args(["--user=root", "--innodb-buffer-pool-size=8M", &format!("--port={port}")])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.path().join("socket").display()))
            .arg(format!("--pid-file={}", folder.path().join("pid").display()));
        if let Some(files) = tls {
            command.arg(format!("--ssl-cert={}", files.certificate.display()));
            command.arg(format!("--ssl-key={}", files.key.display()));
        }
        let process = Process::start("mariadb", &mut command, folder.path()).unwrap();
        let server = Self { _process: process, folder, port };
        wait::until("MariaDB to answer", STEP_TIMEOUT, || {
            Ok(server
                .client("root", "")
                .args(["-e", "SELECT 1"])
                .output()?
                .status
                .success()
                .then_some(()))
        })
        .unwrap();
        server.sql("CREATE DATABASE shopdb; CREATE DATABASE otherdb");
        server.sql("CREATE USER app_user");
        server.set_password(PASSWORD);
        server.sql("GRANT ALL ON shopdb.* TO app_user");
        server
    }

    fn client(&self, user: &str, password: &str) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--skip-ssl", "-N", "-B", "-u", user]);
        match user {
            "root" => {
                command.arg(format!("--socket={}", self.folder.path().join("socket").display()))
            }
            _ => command.args(["--protocol=tcp", "-h", "127.0.0.1", &format!("-P{}", self.port)]),
        };
        command.env("MYSQL_PWD", password).stderr(Stdio::null());
        command
    }

    fn sql(&self, statements: &str) -> String {
        let output = self
            .client("root", "")
            .args(["-e", statements])
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn set_password(&self, password: &str) {
        let quoted = password.replace('\\', r"\\").replace('\'', r"\'");
        self.sql(&format!("SET PASSWORD FOR app_user = PASSWORD('{quoted}')"));
    }
}

#[test]
fn what_a_server_says_of_a_login() {
    let server = MariaDb::start(None);
    let port = server.port;
    let outcome = |login: Login<'_>| login.outcome(port, MYSQL);
    assert_eq!(outcome(APP), Passed);
    assert_eq!(outcome(Login { scheme: "mariadb", database: "", ..APP }), Passed);
    assert_eq!(outcome(Login { scheme: "mysql+pymysql", ..APP }), Passed);
    let credential = Refused(Refusal::Credential);
    assert_eq!(outcome(Login { password: "canary-wrong", ..APP }), credential);
    assert_eq!(outcome(Login { password: "", ..APP }), credential);
    assert_eq!(outcome(Login { user: "nobody_here", ..APP }), credential);
    assert_eq!(outcome(Login { database: "otherdb", ..APP }), Refused(Refusal::Permission));
    server.sql("GRANT ALL ON *.* TO app_user");
    assert_eq!(outcome(Login { database: "no_such_database", ..APP }), Refused(Refusal::Database));
    server.sql("ALTER USER app_user ACCOUNT LOCK");
    assert_eq!(outcome(APP), credential);
    server.sql("ALTER USER app_user ACCOUNT UNLOCK");
    let tls = |mode| Login { query: mode, ..APP };
    assert_eq!(outcome(tls("?ssl-mode=REQUIRED")), Unreachable(Reason::Tls));
    assert_eq!(outcome(tls("?sslMode=PREFERRED")), Passed);
    assert_eq!(APP.outcome(closed_port(), MYSQL), Unreachable(Reason::Connect));
    let encoded: String = PASSWORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let jdbc = format!("jdbc:mysql://127.0.0.1:{port}/shopdb?user=app_user&password={encoded}");
    assert_eq!(ask(&jdbc, login(MYSQL), STEP_TIMEOUT).outcome, Passed);
    // A way to log in that takes the password in a form nobody should send.
    server.sql("SET GLOBAL secure_auth = OFF");
    server.sql("CREATE USER other_way IDENTIFIED VIA mysql_old_password USING '5d2e19393cc5ef67'");
    let other_way = Login { user: "other_way", password: "canary-x", database: "", ..APP };
    assert_eq!(outcome(other_way), Unsupported);
}

#[test]
fn a_server_that_says_nothing_costs_the_time_and_no_more() {
    let (_listener, port) = silent_server();
    let started = Instant::now();
    let answer = ask(&APP.url(port), login(MYSQL), Duration::from_millis(300));
    assert_eq!(answer.outcome, Unreachable(Reason::Timeout), "{answer:?}");
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[test]
fn tls_goes_as_far_as_the_url_says() {
    let folder = tempfile::tempdir().unwrap();
    let files = TestCertificate::write(folder.path(), "own", "127.0.0.1");
    let other = TestCertificate::write(folder.path(), "other", "127.0.0.1");
    let server = MariaDb::start(Some(&files));
    let at = |query: &str| {
        let answer = ask(&Login { query, ..APP }.url(server.port), login(MYSQL), STEP_TIMEOUT);
        (answer.outcome, answer.detail.contains("with TLS"))
    };
    assert_eq!(at(""), (Passed, true));
    assert_eq!(at("?ssl-mode=DISABLED"), (Passed, false));
    assert_eq!(at("?useSSL=true"), (Passed, true));
    let full = format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={}", files.ca.display());
    assert_eq!(at(&full), (Passed, true));
    let foreign = format!("?ssl-mode=VERIFY_CA&ssl-ca={}", other.ca.display());
    assert_eq!(at(&foreign), (Unreachable(Reason::Tls), false));
    assert_eq!(at("?tls=true"), (Unsupported, false));
    server.sql("ALTER USER app_user REQUIRE SSL");
    assert_eq!(at("?ssl-mode=DISABLED"), (Refused(Refusal::Credential), false));
    assert_eq!(at(""), (Passed, true));
}

/// A session of the application that stays.
struct MariaDbClient(Child, #[expect(dead_code, reason = "the client ends with it")] ChildStdin);

impl MariaDbClient {
    fn open(server: &MariaDb, password: &str) -> Self {
        let mut command = server.client("app_user", password);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        Self(child, stdin)
    }
}

impl Drop for MariaDbClient {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until_there_are(server: &MariaDb, sessions: usize) {
    let query = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app_user'";
    wait::until("the sessions", STEP_TIMEOUT, || {
        Ok((server.sql(query).trim() == sessions.to_string()).then_some(()))
    })
    .unwrap();
}

fn since(mark: Option<ConnectionMark>) -> LoginAction {
    LoginAction::Login { server: MYSQL, since: Some(SessionsSince { milliseconds_ago: 0, mark }) }
}

#[test]
fn old_sessions_survive_a_new_password_and_are_told_apart() {
    let server = MariaDb::start(None);
    let port = server.port;
    let old = [MariaDbClient::open(&server, PASSWORD), MariaDbClient::open(&server, PASSWORD)];
    until_there_are(&server, 2);
    let mark = APP.ask(port, login(MYSQL)).mark;
    assert!(mark.is_some());
    server.set_password("the-new-one");
    let new = Login { password: "the-new-one", ..APP };
    let sessions = || new.ask(port, since(mark.clone())).sessions.unwrap();
    assert_eq!(APP.outcome(port, MYSQL), Refused(Refusal::Credential));
    assert_eq!(sessions(), Sessions { new: 0, old: 2, is_shared: false });
    let _one = MariaDbClient::open(&server, "the-new-one");
    until_there_are(&server, 3);
    assert_eq!(sessions(), Sessions { new: 1, old: 2, is_shared: false });
    drop(old);
    until_there_are(&server, 1);
    assert_eq!(sessions().in_use(), Some(true));
    let other = ConnectionMark { server: "another".to_owned(), connection: 1 };
    assert_eq!(new.ask(port, since(Some(other))).sessions, None);
    assert_eq!(new.ask(port, since(None)).sessions, None);
}
