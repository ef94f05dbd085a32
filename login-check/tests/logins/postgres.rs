//! A real PostgreSQL.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use contract::check::LoginServer::Postgres as POSTGRES;
use contract::login_check::LoginOutcome::{Invalid, Passed, Refused, Unreachable, Unsupported};
use contract::login_check::{LoginAction, Refusal, Sessions, Unreachable as Reason};
use e2e::postgres::Postgres;
use e2e::wait;

use crate::program::{
    Login, PASSWORD, TestCertificate, ask, closed_port, login, login_since, silent_server,
};

const APP: Login<'static> = Login {
    scheme: "postgres",
    user: "app_user",
    password: PASSWORD,
    database: "shopdb",
    query: "",
};

/// A server with a user whose password is odd, and a database.
fn server() -> Postgres {
    let postgres = Postgres::start().unwrap();
    postgres.create_database("shopdb").unwrap();
    set_password(&postgres, PASSWORD);
    postgres
}

fn set_password(postgres: &Postgres, password: &str) {
    let quoted = password.replace('\'', "''");
    let statement = format!(
        "DO $do$ BEGIN CREATE ROLE app_user LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END \
         $do$; ALTER ROLE app_user PASSWORD '{quoted}'"
    );
    postgres.sql("enclii", &statement).unwrap();
}

#[test]
fn what_a_server_says_of_a_login() {
    let mut postgres = server();
    let port = postgres.port();
    let wrong = Login { password: "canary-wrong", ..APP };
    let stranger = Login { user: "nobody_of_that_name", ..APP };
    let lost = Login { database: "no_such_database", ..APP };
    assert_eq!(APP.outcome(port, POSTGRES), Passed);
    assert_eq!(wrong.outcome(port, POSTGRES), Refused(Refusal::Credential));
    assert_eq!(stranger.outcome(port, POSTGRES), Refused(Refusal::Credential));
    assert_eq!(lost.outcome(port, POSTGRES), Refused(Refusal::Database));

    postgres.sql("enclii", "REVOKE CONNECT ON DATABASE shopdb FROM public").unwrap();
    assert_eq!(APP.outcome(port, POSTGRES), Refused(Refusal::Permission));
    postgres.sql("enclii", "GRANT CONNECT ON DATABASE shopdb TO public").unwrap();
    postgres.sql("enclii", "ALTER ROLE app_user NOLOGIN").unwrap();
    assert_eq!(APP.outcome(port, POSTGRES), Refused(Refusal::Credential));
    postgres.sql("enclii", "ALTER ROLE app_user LOGIN CONNECTION LIMIT 0").unwrap();
    assert_eq!(APP.outcome(port, POSTGRES), Unreachable(Reason::NotReady));
    postgres.sql("enclii", "ALTER ROLE app_user CONNECTION LIMIT -1").unwrap();
    assert_eq!(APP.outcome(port, POSTGRES), Passed);

    // A server that is down, and another one of the same URL that is not.
    let two =
        APP.url(port).replace("@127.0.0.1", &format!("@127.0.0.1:{},127.0.0.1", closed_port()));
    assert_eq!(ask(&two, login(POSTGRES), Duration::from_secs(10)).outcome, Passed);
    postgres.stop().unwrap();
    assert_eq!(APP.outcome(port, POSTGRES), Unreachable(Reason::Connect));
}

#[test]
fn other_forms_of_the_url_log_in_too() {
    let postgres = server();
    let port = postgres.port();
    let dsn_password = PASSWORD.replace('\\', r"\\").replace('\'', r"\'");
    let query_password: String = PASSWORD.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for url in [
        format!("host=127.0.0.1 port={port} user=app_user password='{dsn_password}' dbname=shopdb"),
        format!(
            "jdbc:postgresql://localhost:{port}/shopdb?user=app_user&password={query_password}"
        ),
        format!("{}?target_session_attrs=read-write", APP.url(port)),
        format!("{}?options=-c%20statement_timeout%3D5s&application_name=x\n", APP.url(port)),
    ] {
        let answer = ask(&url, login(POSTGRES), Duration::from_secs(10));
        assert_eq!(answer.outcome, Passed, "{answer:?}");
    }
}

#[test]
fn values_that_are_no_url_are_not_quoted() {
    for (value, outcome) in [
        ("canary", Invalid),
        ("mysql://canary:canary@canary/canary", Invalid),
        ("postgres://canary:ca/nary@canary/canary", Unsupported),
        ("postgres://canary:12/canary@h/canary", Unsupported),
        ("postgres://canary:canary%@h/canary", Unsupported),
        ("postgres://canary:canary@%2Fcanary/canary", Unsupported),
        ("postgres://canary:canary@127.0.0.1/canary?sslmode=canary", Unsupported),
        (
            "postgres://canary:canary@127.0.0.1/d?sslmode=verify-full&sslrootcert=/canary",
            Unsupported,
        ),
        ("postgres://canary:canary@127.0.0.1:canary/canary", Unsupported),
    ] {
        let answer = ask(value, login(POSTGRES), Duration::from_secs(10));
        assert_eq!(answer.outcome, outcome, "{value}: {answer:?}");
        assert!(!answer.detail.contains("canary"), "{value}: {answer:?}");
    }
}

#[test]
fn a_server_that_says_nothing_costs_the_time_and_no_more() {
    let (_listener, port) = silent_server();
    for query in ["", "?sslmode=disable"] {
        let url = format!("{}{query}", APP.url(port));
        let started = Instant::now();
        let answer = ask(&url, login(POSTGRES), Duration::from_millis(300));
        assert_eq!(answer.outcome, Unreachable(Reason::Timeout), "{answer:?}");
        assert!(answer.detail.contains(&format!("127.0.0.1:{port}")), "{answer:?}");
        assert!(started.elapsed() >= Duration::from_millis(300));
    }
}

/// Makes a server serve a certificate from these files, and waits until it does.
fn serve(postgres: &Postgres, files: &TestCertificate) {
    let data = postgres.sql("enclii", "SHOW data_directory").unwrap();
    let owner = fs::metadata(data).unwrap();
    for (setting, path) in [("ssl_cert_file", &files.certificate), ("ssl_key_file", &files.key)] {
        chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        let statement = format!("ALTER SYSTEM SET {setting} = '{}'", path.display());
        postgres.sql("enclii", &statement).unwrap();
    }
    postgres.sql("enclii", "ALTER SYSTEM SET ssl = on").unwrap();
    postgres.sql("enclii", "SELECT pg_reload_conf()").unwrap();
    let url = format!("{}?sslmode=require", APP.url(postgres.port()));
    wait::until("PostgreSQL to serve TLS", Duration::from_secs(20), || {
        Ok((ask(&url, login(POSTGRES), Duration::from_secs(5)).outcome == Passed).then_some(()))
    })
    .unwrap();
}

fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    // The server's user has to reach its files.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

#[test]
fn tls_goes_as_far_as_the_url_says() {
    let postgres = server();
    let port = postgres.port();
    let with = |query: &str| {
        let url = format!("{}{query}", APP.url(port));
        let answer = ask(&url, login(POSTGRES), Duration::from_secs(10));
        (answer.outcome, answer.detail.contains("with TLS"), answer.certificate_sha256)
    };
    // A server without TLS.
    assert_eq!(with("?sslmode=require"), (Unreachable(Reason::Tls), false, None));
    assert_eq!(with(""), (Passed, false, None));

    let folder = open_folder();
    let files = TestCertificate::write(folder.path(), "own", "127.0.0.1");
    let named = TestCertificate::write(folder.path(), "named", "db.example.org");
    serve(&postgres, &files);
    let ca = files.ca.display();
    let other = named.ca.display();
    let (outcome, is_encrypted, certificate) = with("");
    assert_eq!((outcome, is_encrypted), (Passed, true));
    assert_eq!(certificate.unwrap().len(), 64);
    assert_eq!(with("?sslmode=disable"), (Passed, false, None));
    let full = format!("?sslmode=verify-full&sslrootcert={ca}");
    assert_eq!((with(&full).0, with(&full).1), (Passed, true));
    // Signed by another CA.
    let outcome = |query: &str| with(query).0;
    let foreign = format!("?sslmode=verify-full&sslrootcert={other}");
    assert_eq!(outcome(&foreign), Unreachable(Reason::Tls));
    // Only the application knows the CA.
    assert_eq!(outcome("?sslmode=verify-full"), Unsupported);
    assert_eq!(outcome("?sslmode=verify-full&sslrootcert=system"), Unreachable(Reason::Tls));

    // For another name.
    serve(&postgres, &named);
    let full = format!("?sslmode=verify-full&sslrootcert={other}");
    wait::until("PostgreSQL to serve the other certificate", Duration::from_secs(20), || {
        Ok((outcome(&full) == Unreachable(Reason::Tls)).then_some(()))
    })
    .unwrap();
    assert_eq!(outcome(&format!("?sslmode=verify-ca&sslrootcert={other}")), Passed);

    // One that signed itself, in the URL's CA file and not.
    let own = TestCertificate::write_self_signed(folder.path(), "self", "127.0.0.1");
    let elsewhere = TestCertificate::write_self_signed(folder.path(), "alien", "127.0.0.1");
    let pinned = format!("?sslmode=verify-full&sslrootcert={}", own.ca.display());
    let alien = format!("?sslmode=verify-full&sslrootcert={}", elsewhere.ca.display());
    serve(&postgres, &own);
    wait::until("PostgreSQL to serve it", Duration::from_secs(20), || {
        Ok((outcome(&pinned) == Passed).then_some(()))
    })
    .unwrap();
    assert_eq!(outcome(&alien), Unreachable(Reason::Tls));
    assert_eq!(outcome("?sslmode=verify-full"), Unsupported);
    let url = APP.url(port).replace("127.0.0.1", "localhost");
    let answer = ask(&format!("{url}{pinned}"), login(POSTGRES), Duration::from_secs(10));
    assert_eq!(answer.outcome, Unreachable(Reason::Tls), "for another name: {answer:?}");

    // TLS is required, and then refused.
    let hba = postgres.sql("enclii", "SHOW hba_file").unwrap();
    for (line, plain, encrypted) in [
        ("hostssl shopdb app_user all scram-sha-256", Refused(Refusal::Credential), Passed),
        ("hostnossl shopdb app_user all scram-sha-256", Passed, Refused(Refusal::Credential)),
    ] {
        let rules = format!("{line}\nhost all enclii all scram-sha-256\n");
        fs::File::create(&hba).unwrap().write_all(rules.as_bytes()).unwrap();
        postgres.sql("enclii", "SELECT pg_reload_conf()").unwrap();
        wait::until("PostgreSQL to take its rules", Duration::from_secs(20), || {
            let now = (outcome("?sslmode=disable"), outcome("?sslmode=require"));
            Ok((now == (plain, encrypted)).then_some(()))
        })
        .unwrap();
        assert_eq!(outcome("?sslmode=prefer"), Passed, "{line}");
        assert_eq!(outcome("?sslmode=allow"), Passed, "{line}");
    }
}

/// A session of the application that stays.
struct PsqlSession(Child, #[expect(dead_code, reason = "psql ends with it")] ChildStdin);

impl PsqlSession {
    fn open(postgres: &Postgres, password: &str) -> Self {
        let mut command = postgres.client("psql");
        command.env("PGPASSWORD", password).args(["-X", "-q", "-U", "app_user", "-d", "shopdb"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        Self(child, stdin)
    }
}

impl Drop for PsqlSession {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until_there_are(postgres: &Postgres, sessions: usize) {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app_user'";
    wait::until("the sessions", Duration::from_secs(20), || {
        Ok((postgres.sql("enclii", query)? == sessions.to_string()).then_some(()))
    })
    .unwrap();
}

#[test]
fn old_sessions_survive_a_new_password_and_are_told_apart() {
    let postgres = server();
    let port = postgres.port();
    let old = [PsqlSession::open(&postgres, PASSWORD), PsqlSession::open(&postgres, PASSWORD)];
    until_there_are(&postgres, 2);
    set_password(&postgres, "the-new-one");
    let swapped = Instant::now();
    let new = Login { password: "the-new-one", ..APP };
    let sessions = || {
        let answer = new.ask(port, login_since(POSTGRES, swapped));
        assert_eq!(answer.outcome, Passed, "{answer:?}");
        answer.sessions.unwrap()
    };
    assert_eq!(APP.outcome(port, POSTGRES), Refused(Refusal::Credential));
    assert_eq!(sessions(), Sessions { new: 0, old: 2, is_shared: false });
    assert_eq!(sessions().in_use(), Some(false));
    let _one = PsqlSession::open(&postgres, "the-new-one");
    until_there_are(&postgres, 3);
    assert_eq!(sessions(), Sessions { new: 1, old: 2, is_shared: false });
    drop(old);
    until_there_are(&postgres, 1);
    assert_eq!(sessions(), Sessions { new: 1, old: 0, is_shared: false });
    assert_eq!(sessions().in_use(), Some(true));
    // Without a moment none are counted.
    assert_eq!(new.ask(port, login(POSTGRES)).sessions, None);
}

/// The SHA-256 of the certificate in a file, as openssl says it.
fn fingerprint(certificate: &Path) -> String {
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(certificate)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_once('=').unwrap().1.trim().replace(':', "").to_lowercase()
}

#[test]
fn a_reload_reads_the_configuration_and_the_certificate_again() {
    let postgres = server();
    let port = postgres.port();
    let folder = open_folder();
    let first = TestCertificate::write(folder.path(), "live", "127.0.0.1");
    serve(&postgres, &first);
    let before = fingerprint(&first.certificate);
    let served = || APP.ask(port, login(POSTGRES)).certificate_sha256;
    assert_eq!(served().as_deref(), Some(before.as_str()));
    // The same paths, with another certificate.
    for path in [&first.certificate, &first.key] {
        fs::remove_file(path).unwrap();
    }
    let second = TestCertificate::write(folder.path(), "live", "127.0.0.1");
    let owner = fs::metadata(postgres.sql("enclii", "SHOW data_directory").unwrap()).unwrap();
    chown(&second.key, Some(owner.uid()), Some(owner.gid())).unwrap();
    fs::set_permissions(&second.key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(served().as_deref(), Some(before.as_str()));

    assert_eq!(APP.ask(port, LoginAction::PostgresReload).outcome, Refused(Refusal::Permission));
    let grant = "GRANT EXECUTE ON FUNCTION pg_reload_conf() TO app_user";
    postgres.sql("shopdb", grant).unwrap();
    let answer = APP.ask(port, LoginAction::PostgresReload);
    assert_eq!(answer.outcome, Passed, "{answer:?}");
    assert!(answer.detail.ends_with("it serves its certificate"), "{answer:?}");
    assert_eq!(answer.certificate_sha256, Some(fingerprint(&second.certificate)));
    assert_eq!(served(), Some(fingerprint(&second.certificate)));

    // The server takes its configuration and not a certificate that is broken, and goes on with
    // the old one; only its log says so.
    let good = fs::read(&second.certificate).unwrap();
    let other = TestCertificate::write(folder.path(), "other", "127.0.0.1");
    fs::copy(&other.certificate, &second.certificate).unwrap();
    let answer = APP.ask(port, LoginAction::PostgresReload);
    assert_eq!(answer.outcome, Refused(Refusal::Configuration), "{answer:?}");
    assert!(answer.detail.contains("and not its certificate"), "{answer:?}");
    fs::File::create(&second.certificate).unwrap().write_all(&good).unwrap();
    assert_eq!(served(), Some(fingerprint(&second.certificate)));
    assert_eq!(APP.ask(port, LoginAction::PostgresReload).outcome, Passed);

    // A file that cannot be read leaves the configuration as it was.
    let config = postgres.sql("enclii", "SHOW config_file").unwrap();
    let mut file = fs::File::options().append(true).open(config).unwrap();
    file.write_all(b"\nthis is no setting\n").unwrap();
    let answer = APP.ask(port, LoginAction::PostgresReload);
    assert_eq!(answer.outcome, Refused(Refusal::Configuration), "{answer:?}");
    let answer = ask(&postgres.url(), LoginAction::PostgresReload, Duration::from_secs(10));
    assert!(answer.detail.contains("1 settings with an error"), "{answer:?}");
}
