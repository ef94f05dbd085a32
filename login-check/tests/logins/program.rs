//! The program, and what it is never to say.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use contract::check::LoginServer;
use contract::login_check::{
    LoginAction, LoginCheckAnswer, LoginCheckRequest, LoginOutcome, SessionsSince,
};
use contract::stream::frame;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

/// Odd, as generated passwords are: each character is one that some text would take as its own.
pub(crate) const PASSWORD: &str = r#"o'dd "p@ss:w/rd?#%&=+\ü,;$"#;

/// Time for a check: more than a loaded machine needs.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a URL has besides host and port.
#[derive(Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) database: &'a str,
    pub(crate) query: &'a str,
}

impl Login<'_> {
    /// The URL for a server on loopback.
    pub(crate) fn url(&self, port: u16) -> String {
        let encoded: String = self.password.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let Self { scheme, user, database, query, .. } = self;
        format!("{scheme}://{user}:{encoded}@127.0.0.1:{port}/{database}{query}")
    }

    /// The answer to a request. Nothing of the login is in what the program writes.
    pub(crate) fn ask(&self, port: u16, action: LoginAction) -> LoginCheckAnswer {
        let answer = ask(&self.url(port), action, TIMEOUT);
        for part in [self.user, self.password, self.database] {
            assert!(part.len() < 5 || !answer.detail.contains(part), "{part}: {answer:?}");
        }
        answer
    }

    /// The outcome of a login.
    pub(crate) fn outcome(&self, port: u16, server: LoginServer) -> LoginOutcome {
        self.ask(port, login(server)).outcome
    }
}

/// A login without a look at sessions.
pub(crate) fn login(server: LoginServer) -> LoginAction {
    LoginAction::Login { server, since: None }
}

/// A login that counts sessions as new which began after a moment.
pub(crate) fn login_since(server: LoginServer, moment: Instant) -> LoginAction {
    let milliseconds_ago = u64::try_from(moment.elapsed().as_millis()).unwrap();
    LoginAction::Login { server, since: Some(SessionsSince { milliseconds_ago, mark: None }) }
}

/// Runs the program.
pub(crate) fn ask(url: &str, action: LoginAction, timeout: Duration) -> LoginCheckAnswer {
    let timeout_milliseconds = u64::try_from(timeout.as_millis()).unwrap();
    let request = LoginCheckRequest { action, timeout_milliseconds };
    let header = serde_json::to_vec(&request).unwrap();
    let (status, said, errors) = run(frame::encode(&header, &[url.as_bytes()]).expose());
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{said}");
    assert_eq!(said.matches('\n').count(), 1, "{said}");
    serde_json::from_str(&said).unwrap()
}

/// Status, standard output and standard error of the program with this input.
pub(crate) fn run(input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_enclii-login-check"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that has seen enough may have ended.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A server that accepts connections and says nothing.
pub(crate) fn silent_server() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port at which nobody listens.
pub(crate) fn closed_port() -> u16 {
    e2e::port::free_port().unwrap()
}

fn write(folder: &Path, stem: &str, kind: &str, text: &str) -> PathBuf {
    let path = folder.join(format!("{stem}-{kind}.pem"));
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path
}

/// A CA, a certificate for a name, and their files.
pub(crate) struct TestCertificate {
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl TestCertificate {
    /// Writes new files into a folder.
    pub(crate) fn write(folder: &Path, stem: &str, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let write = |kind: &str, text: String| write(folder, stem, kind, &text);
        Self {
            ca: write("ca", ca.pem()),
            certificate: write("certificate", leaf.pem()),
            key: write("key", key.serialize_pem()),
        }
    }

    /// Writes a certificate that signed itself and may sign others, as `openssl req -x509` makes
    /// it. It is its own CA.
    pub(crate) fn write_self_signed(folder: &Path, stem: &str, name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = write(folder, stem, "ca", &params.self_signed(&key).unwrap().pem());
        let key = write(folder, stem, "key", &key.serialize_pem());
        Self { ca: certificate.clone(), certificate, key }
    }
}

#[test]
fn help_and_version() {
    let output = |word: &str| {
        let program = env!("CARGO_BIN_EXE_enclii-login-check");
        let output = Command::new(program).arg(word).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(output("--help").1.contains("Usage: enclii-login-check"));
    assert_eq!(output("--version"), (Some(0), "enclii-login-check 0.1.0\n".to_owned()));
    assert_eq!(output("postgres://u:p@h/d").0, Some(2));
}

#[test]
fn a_request_that_is_none_is_refused_and_not_quoted() {
    let header = br#"{"action":{"type":"login","server":"postgres"},"timeout_milliseconds":10}"#;
    let long = vec![b'x'; 17 << 10];
    for (input, expected) in [
        (Vec::new(), "ends too early"),
        (frame::encode(b"{\"canary\"", &[b"canary"]).expose().to_vec(), "not a request"),
        (frame::encode(header, &[&long]).expose().to_vec(), "longer than"),
        (vec![0xff; 100], "over the limit"),
    ] {
        let (status, said, error) = run(&input);
        assert_eq!((status, said.as_str()), (Some(1), ""), "{error}");
        assert!(error.contains(expected) && !error.contains("canary"), "{error}");
    }
}
