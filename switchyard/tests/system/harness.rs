//! Starts, stops and kills a switchyard for a test. `requests` has the client.

mod requests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use runtime::signals::Shutdown;
use runtime::tasks::Tasks;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use switchyard::args::Args;
use tokio::net::TcpStream;

pub(crate) use requests::{body, problem};

/// The time limit for anything that must happen; far longer than it takes.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(90);

pub(crate) struct Harness {
    pub(crate) directory: PathBuf,
    port: u16,
    admin: u16,
    tasks: Tasks,
    shutdown: Shutdown,
    running: std::sync::Mutex<Option<ServerProcess>>,
    tls: Arc<ClientConfig>,
    temporary: Option<tempfile::TempDir>,
}

/// How switchyard runs.
enum ServerProcess {
    /// In the test's own process.
    InProcess(tokio::task::JoinHandle<Result<(), switchyard::ServeError>>),
    /// As a child process that can be killed.
    Child(KilledOnDrop),
}

/// The pods of every test: two of service api and one of service web in prod, one of api in dev,
/// and one in an unbound namespace. And a hundred of service api in prod: `many-0` to `many-99`.
fn identities() -> Value {
    let pod = |token: &str, namespace: &str, account: &str, uid: &str| {
        json!({"token": token,
        "namespace": namespace, "service_account": account, "pod": format!("{account}-{uid}"),
            "uid": uid})
    };
    let many = (0..100).map(|at| pod(&format!("many-{at}"), "shop-prod", "api", &format!("m{at}")));
    let few = [
        pod("api-one", "shop-prod", "api", "1"),
        pod("api-two", "shop-prod", "api", "2"),
        pod("web", "shop-prod", "web", "3"),
        pod("dev", "shop-dev", "api", "4"),
        pod("stranger", "stranger", "api", "5"),
    ];
    json!({
        "namespaces": {
            "shop-prod": {"project": "shop", "environment": "prod"},
            "shop-dev": {"project": "shop", "environment": "dev"},
        },
        "identities": few.into_iter().chain(many).collect::<Vec<_>>(),
    })
}

fn free_port() -> u16 {
    e2e::port::free_port().unwrap()
}

pub(crate) fn write(path: &Path, text: &str) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With extra flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        Self::start_prepared(|_| flags.iter().map(|flag| (*flag).to_owned()).collect()).await
    }

    /// With extra flags, computed from the test's directory.
    pub(crate) async fn start_prepared(flags: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().to_owned();
        write(&directory.join("identities.json"), &identities().to_string());
        let flags = flags(&directory);
        let mut harness = Self::start_in(directory, None, &flags).await;
        harness.temporary = Some(temporary);
        harness
    }

    /// In a child process, on the existing contents of the directory.
    pub(crate) async fn start_child(directory: PathBuf) -> Self {
        Self::start_child_with(directory, &[]).await
    }

    /// The same, with extra flags.
    pub(crate) async fn start_child_with(directory: PathBuf, more: &[String]) -> Self {
        Self::start_child_by(&[], directory, more).await
    }

    /// The same, by a program that starts the one that its arguments name: `setpriv` or a shell.
    pub(crate) async fn start_child_by(
        starter: &[&str],
        directory: PathBuf,
        more: &[String],
    ) -> Self {
        write(&directory.join("identities.json"), &identities().to_string());
        Self::start_in(directory, Some(starter), more).await
    }

    /// In a child process if there is a `starter`, else in the test's own.
    async fn start_in(directory: PathBuf, starter: Option<&[&str]>, more: &[String]) -> Self {
        runtime::provider::install().unwrap();
        let (port, admin) = (free_port(), free_port());
        let words = Self::words(&directory, port, admin, more);
        let (tasks, shutdown) = (Tasks::new(), Shutdown::manual());
        let running = if let Some(starter) = starter {
            ServerProcess::Child(spawn(starter, &directory, &words))
        } else {
            let args = Args::try_parse_from(words).unwrap().serve();
            #[expect(
                clippy::disallowed_methods,
                reason = "the test owns it, and ends it in `stop`"
            )]
            ServerProcess::InProcess(tokio::spawn(switchyard::serve(
                args,
                tasks.clone(),
                shutdown.clone(),
            )))
        };
        let ca = directory.join("trust/ca.crt");
        until("switchyard to be ready", async || {
            ca.exists() && plain(admin, "/readyz").await.is_some_and(|(status, _)| status == 200)
        })
        .await;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&std::fs::read(ca).unwrap()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let tls =
            Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        Self {
            directory,
            port,
            admin,
            tasks,
            shutdown,
            running: Some(running).into(),
            tls,
            temporary: None,
        }
    }

    /// The command line.
    fn words(directory: &Path, port: u16, admin: u16, more: &[String]) -> Vec<String> {
        let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let words = [
            "switchyard",
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--admin",
            &format!("127.0.0.1:{admin}"),
        ]
        .map(str::to_owned);
        let flags = [
            "--data",
            "--development-identities",
            "--publish-directory",
            "--trust-directory",
            "--drain-notice",
        ]
        .map(str::to_owned);
        let values =
            [at("data"), at("identities.json"), at("bundles"), at("trust"), "0".to_owned()];
        let words = words
            .into_iter()
            .chain(flags.into_iter().zip(values).flat_map(|(flag, value)| [flag, value]));
        words.chain(more.iter().cloned()).collect()
    }

    /// The log of a process that cannot start.
    pub(crate) async fn cannot_start(directory: &Path, more: &[String]) -> String {
        write(&directory.join("identities.json"), &identities().to_string());
        let mut child = Self::spawn_child(directory, more);
        let mut ended = None;
        until("a program that cannot start to end", async || {
            ended = child.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        assert_eq!(ended.unwrap().code(), Some(1));
        std::fs::read_to_string(directory.join("log")).unwrap()
    }

    /// Starts a process without waiting until it is ready.
    pub(crate) fn spawn_child(directory: &Path, more: &[String]) -> KilledOnDrop {
        spawn(&[], directory, &Self::words(directory, free_port(), free_port(), more))
    }

    /// Stops it cleanly and restarts it on the same data and another port.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(&[]).await
    }

    /// The same, with extra flags.
    pub(crate) async fn restart_with(self, flags: &[&str]) -> Self {
        self.restart_after(flags, |_| {}).await
    }

    /// The same, with a change of its directory in between.
    pub(crate) async fn restart_after(
        mut self,
        flags: &[&str],
        change: impl FnOnce(&Path),
    ) -> Self {
        self.stop().await;
        change(&self.directory);
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut harness = Self::start_in(self.directory.clone(), None, &flags).await;
        harness.temporary = self.temporary.take();
        harness
    }

    /// Stops it cleanly. Tasks that do not end in time are an error.
    pub(crate) async fn stop(&mut self) {
        self.shutdown.request();
        let Some(ServerProcess::InProcess(running)) = self.running.get_mut().unwrap().take() else {
            panic!("it runs in a process of its own")
        };
        let ended = running.await.unwrap();
        ended.unwrap_or_else(|error| {
            panic!("{}: {:?}", runtime::logs::ErrorChain(&error), self.tasks.running())
        });
    }

    /// Kills the process, as a power cut would.
    pub(crate) fn kill(&self) {
        let Some(ServerProcess::Child(process)) = self.running.lock().unwrap().take() else {
            panic!("it runs in the test's process")
        };
        drop(process);
    }

    /// Sends SIGTERM and waits for a successful exit.
    pub(crate) async fn terminate(&self) {
        use rustix::process::{Pid, Signal, kill_process};
        kill_process(Pid::from_raw(self.process().cast_signed()).unwrap(), Signal::TERM).unwrap();
        until("its end", async || self.has_ended()).await;
        let Some(ServerProcess::Child(mut process)) = self.running.lock().unwrap().take() else {
            panic!("it runs in the test's process")
        };
        assert!(
            process.child.wait().unwrap().success(),
            "{}",
            std::fs::read_to_string(self.directory.join("log")).unwrap()
        );
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.directory.join("data/bootstrap-token")).unwrap()
    }

    /// Sends SIGTERM and waits for the exit.
    pub(crate) async fn end(&self) {
        let process =
            rustix::process::Pid::from_raw(i32::try_from(self.process()).unwrap()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        until("the process to end", async || self.has_ended()).await;
    }

    /// The child's process id.
    pub(crate) fn process(&self) -> u32 {
        let running = self.running.lock().unwrap();
        let Some(ServerProcess::Child(process)) = running.as_ref() else {
            panic!("it runs in the test's process")
        };
        process.child.id()
    }

    /// Whether the child has exited.
    pub(crate) fn has_ended(&self) -> bool {
        let mut running = self.running.lock().unwrap();
        let Some(ServerProcess::Child(process)) = running.as_mut() else {
            panic!("it runs in the test's process")
        };
        process.child.try_wait().unwrap().is_some()
    }

    /// The child's resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() << 10
    }

    /// A connection to the admin port.
    pub(crate) async fn connect_admin(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.admin)).await.unwrap()
    }

    /// A connection to the HTTPS port, without a handshake.
    pub(crate) async fn connect_plain(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        plain(self.admin, "/metrics").await.unwrap().1
    }

    /// The database, as somebody with access to its file sees and changes it.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        open_database(&self.directory)
    }
}

/// The database below the directory of a harness.
pub(crate) fn open_database(directory: &Path) -> rusqlite::Connection {
    let database = rusqlite::Connection::open(directory.join("data/switchyard.db")).unwrap();
    database.busy_timeout(TEST_TIMEOUT).unwrap();
    database
}

/// A process that ends with its owner: killed on drop, and by [`e2e::guard`] when the test's
/// process is killed. A failed test leaves no process behind.
pub(crate) struct KilledOnDrop {
    child: std::process::Child,
    // Dropped after the child has been waited for.
    _registration: e2e::guard::Registration,
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(starter: &[&str], directory: &Path, words: &[String]) -> KilledOnDrop {
    let log =
        std::fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let program = env!("CARGO_BIN_EXE_switchyard");
    let mut all = starter.iter().copied().chain([program]);
    let mut command = std::process::Command::new(all.next().unwrap_or(program));
    command.args(all).args(&words[1..]).stderr(log);
    let (child, registration) = e2e::guard::spawn(&mut command).unwrap();
    KilledOnDrop { child, _registration: registration }
}

async fn plain(port: u16, path: &str) -> Option<(u16, String)> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some((answer.split(' ').nth(1)?.parse().ok()?, answer))
}

/// Waits until `holds` is true.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let all = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, all)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}
