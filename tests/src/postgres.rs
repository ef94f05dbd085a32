//! A real PostgreSQL for one test: data in a temporary directory, on loopback, with a password, and
//! durable (`fsync` is on).
//!
//! PostgreSQL refuses to run as root, so root runs it as `postgres`, or as `nobody` if there is no
//! such user. Dropping the value ends the server and removes its data.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use crate::guard;
use crate::port::free_port;
use crate::process::{Process, children, is_running};
use crate::sample::sha256;
use crate::wait;

const VERSIONS: &str = "/usr/lib/postgresql";
const USER: &str = "enclii";
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// A running (or killed) PostgreSQL with one empty database.
pub struct Postgres {
    process: Option<Process>,
    directory: TempDir,
    programs: PathBuf,
    account: Option<Account>,
    port: u16,
    password: String,
}

/// The user that it runs as.
#[derive(Clone, Debug)]
struct Account {
    name: &'static str,
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes a database cluster and starts it.
    ///
    /// # Errors
    /// If PostgreSQL is not installed or does not start; the message has its log's end.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("enclii-postgres-").tempdir()?;
        guard::register_folder(directory.path())?;
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("make a password"))?;
        let mut postgres = Self {
            process: None,
            programs: programs()?,
            account: account()?,
            port: free_port()?,
            password: sha256(&random),
            directory,
        };
        postgres.initialise()?;
        postgres.run()?;
        postgres.create_database("enclii")?;
        Ok(postgres)
    }

    fn initialise(&self) -> Result<()> {
        // The server's user has to reach its data.
        std::fs::set_permissions(self.directory.path(), std::fs::Permissions::from_mode(0o711))?;
        let (data, password) = (self.data(), self.directory.path().join("password"));
        std::fs::create_dir(&data)?;
        let mut file =
            std::fs::File::options().create_new(true).write(true).mode(0o600).open(&password)?;
        file.write_all(self.password.as_bytes())?;
        if let Some(Account { uid, gid, .. }) = self.account {
            for path in [&data, &password] {
                chown(path, Some(uid), Some(gid))
                    .with_context(|| format!("hand over {}", path.display()))?;
            }
        }
        let mut command = self.command("initdb");
        command
            .args([
                "--encoding=UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
                "--no-sync",
                &format!("--username={USER}"),
            ])
            .arg(format!("--pwfile={}", password.display()))
            .arg("-D")
            .arg(&data);
        output(&mut command, "initdb").map(drop)
    }

    /// Whether PostgreSQL is installed.
    #[must_use]
    pub fn is_installed() -> bool {
        programs().is_ok()
    }

    /// Starts it on its data and waits until it accepts connections.
    ///
    /// # Errors
    /// If it runs already, or does not start.
    pub fn run(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "PostgreSQL runs already");
        let settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=on",
            "full_page_writes=on",
            "synchronous_commit=on",
            "max_connections=200",
            "shared_buffers=32MB",
            "log_min_messages=warning",
            // Sessions of clients that are gone must end soon.
            "tcp_keepalives_idle=10",
        ];
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        let mut process = Process::start("postgres", &mut command, self.directory.path())?;
        wait::until("PostgreSQL to accept connections", STEP_TIMEOUT, || {
            process.check()?;
            let mut ask = Command::new(self.programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            Ok(ask.status()?.success().then_some(()))
        })
        .map_err(|error| anyhow::anyhow!("{error}; the end of its log:\n{}", process.tail()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Kills all its processes at once, like a power failure. The data stays.
    ///
    /// # Errors
    /// If it does not run, or a process is still there afterwards.
    pub fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("PostgreSQL does not run")?;
        // Stops the server first, so that it forks no process after the list was read.
        process.signal(Signal::STOP)?;
        let backends = children(process.id())?;
        process.signal(Signal::KILL)?;
        for backend in &backends {
            // A backend may have ended by itself meanwhile.
            let _ = i32::try_from(*backend)
                .ok()
                .and_then(Pid::from_raw)
                .map(|pid| kill_process(pid, Signal::KILL));
        }
        process.finish(STEP_TIMEOUT)?;
        // A new server refuses the data while an old process has the shared memory.
        wait::until("every process of PostgreSQL to end", STEP_TIMEOUT, || {
            Ok((!backends.iter().copied().any(is_running)).then_some(()))
        })
    }

    /// Shuts it down without waiting for its clients (`fast` mode).
    ///
    /// # Errors
    /// If it does not run, or does not end.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("PostgreSQL does not run")?;
        process.signal(Signal::INT)?;
        process.finish(STEP_TIMEOUT).map(drop)
    }

    /// Its child processes: one for each client, and helpers.
    ///
    /// # Errors
    /// If it does not run.
    pub fn processes(&self) -> Result<Vec<u32>> {
        children(self.process.as_ref().context("PostgreSQL does not run")?.id())
    }

    /// Creates an empty database and returns its address.
    ///
    /// # Errors
    /// If there is one of that name.
    pub fn create_database(&self, database: &str) -> Result<String> {
        self.sql("postgres", &format!("CREATE DATABASE {database}"))?;
        Ok(self.url_of(database))
    }

    /// The result of a statement, as `psql -At` prints it.
    ///
    /// # Errors
    /// If PostgreSQL refuses it.
    pub fn sql(&self, database: &str, statement: &str) -> Result<String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args([
            "-X",
            "-q",
            "-At",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            USER,
        ]);
        command.args(["-d", database, "-c", statement]).env("PGPASSWORD", &self.password);
        output(&mut command, "psql")
    }

    /// A client program of PostgreSQL, with the settings to connect.
    #[must_use]
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env("PGPASSWORD", &self.password);
        command
    }

    /// The address of its database.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("enclii")
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn url_of(&self, database: &str) -> String {
        self.url_via_port(self.port, database)
    }

    /// The address of a database through another port, such as a proxy's.
    #[must_use]
    pub fn url_via_port(&self, port: u16, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{port}/{database}", self.password)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A server program of PostgreSQL, run as the server's user.
    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = match self.account {
            None => Command::new(path),
            Some(Account { name, .. }) => {
                let mut command = Command::new("setpriv");
                command
                    .args([
                        &format!("--reuid={name}"),
                        &format!("--regid={name}"),
                        "--clear-groups",
                        "--",
                    ])
                    .arg(path);
                command
            }
        };
        // Its user may have no access to the test's working directory.
        command.current_dir("/").env("LC_ALL", "C");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.process.is_some() && self.stop().is_err() {
            let _ = self.kill();
        }
    }
}

/// The newest of Debian's versions, 15 or later.
fn programs() -> Result<PathBuf> {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let numbered = versions.filter_map(|entry| {
        Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
    });
    let newest = numbered
        .filter(|(version, programs)| *version >= 15 && programs.join("postgres").is_file())
        .max();
    let (_, programs) = newest.with_context(|| {
        format!("PostgreSQL is not in {VERSIONS}: install postgresql-15 (make test-stores does)")
    })?;
    Ok(programs)
}

/// The user that root runs it as; `None` if the test does not run as root.
fn account() -> Result<Option<Account>> {
    if !getuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    for name in ["postgres", "nobody"] {
        let fields = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == name);
        if let Some([_, _, uid, gid, ..]) = fields.as_deref() {
            return Ok(Some(Account { name, uid: uid.parse()?, gid: gid.parse()? }));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

fn output(command: &mut Command, name: &str) -> Result<String> {
    let output = command.output().with_context(|| format!("start {name}"))?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL: make test-stores"]
    fn committed_data_survives_a_kill() {
        let mut postgres = Postgres::start().unwrap();
        postgres.sql("enclii", "CREATE TABLE it (n int)").unwrap();
        for round in 1..=3 {
            postgres.sql("enclii", &format!("INSERT INTO it VALUES ({round})")).unwrap();
            let processes = postgres.processes().unwrap();
            assert!(!processes.is_empty());
            postgres.kill().unwrap();
            assert!(postgres.sql("enclii", "SELECT 1").is_err(), "it is still there");
            assert!(!processes.into_iter().any(is_running));
            postgres.run().unwrap();
            assert_eq!(
                postgres.sql("enclii", "SELECT sum(n) FROM it").unwrap(),
                (round * (round + 1) / 2).to_string()
            );
        }
        assert_eq!(postgres.sql("enclii", "SHOW fsync").unwrap(), "on");
        assert!(postgres.create_database("enclii").is_err(), "two databases of one name");
        assert!(postgres.create_database("another").unwrap().ends_with("/another"));
    }

    #[test]
    #[ignore = "needs PostgreSQL: make test-stores"]
    fn it_ends_with_its_owner() {
        let postgres = Postgres::start().unwrap();
        let (mut processes, directory) =
            (postgres.processes().unwrap(), postgres.directory.path().to_owned());
        processes.push(postgres.process.as_ref().unwrap().id());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _owned = postgres;
            panic!("as a test that fails does");
        }));
        assert!(panicked.is_err());
        assert!(!processes.into_iter().any(is_running) && !directory.exists());
    }

    #[test]
    #[ignore = "needs PostgreSQL: make test-stores"]
    fn a_wrong_password_is_refused() {
        let mut postgres = Postgres::start().unwrap();
        postgres.password = "another".to_owned();
        assert!(postgres.sql("enclii", "SELECT 1").unwrap_err().to_string().contains("password"));
    }
}
