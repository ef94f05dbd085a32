//! The demonstration's steps, in order. Each checks what it shows.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use e2e::loopback::{Identity, Loopback, NamespaceScope};
use e2e::process::Process;
use e2e::sample::{LoadReport, sha256};
use e2e::{guard, wait};

use crate::example;
use crate::folders::Folders;
use crate::output;
use crate::output::Progress;
use crate::pod_processes::PodProcesses;

const ROTATIONS: usize = 3;

/// Runs the demonstration.
///
/// # Errors
/// The first check that fails.
pub(crate) fn run(keep: bool, rate: u32) -> Result<()> {
    let mut progress = Progress::new(6);
    let Folders { disk: directory, memory } = Folders::new()?;
    let identity = Identity {
        namespace: "shop-prod".into(),
        service_account: "api".into(),
        pod: "api-demo".into(),
        uid: format!("demo-{}-{}", std::process::id(), now_ms()?),
        token: format!("demo-{}-{}", now_ms()?, directory.path().display()),
    };

    progress.step("Switchyard (SQLite, sealed) and the webhook start on loopback");
    let namespaces =
        [NamespaceScope { namespace: "shop-prod", project: "shop", environment: "prod" }];
    let system = Loopback::start(directory.path(), &namespaces, std::slice::from_ref(&identity))?;
    output::line(&format!(
        "switchyard and the webhook are ready; logs in {}",
        system.logs().display()
    ));

    progress.step("A team puts its credentials into the store");
    let first = format!("postgres://shop:{}@db.shop-prod.svc:5432/shop", now_ms()?);
    set(&system, "DATABASE_URL", first.as_bytes())?;
    set(&system, "STRIPE_API_KEY", format!("sk_demo_{}", now_ms()?).as_bytes())?;

    progress.step("The API server asks the webhook about a pod of manifests/examples/api.yaml");
    let after = example::inject(|review| system.review(review))?;

    progress.step("The agent and the application start as the patched pod describes them");
    let secrets = memory.path().join("secrets");
    let mut running = PodProcesses::start(&system.logs(), &after, &identity, memory.path())?;
    let state = running.state()?;
    ensure!(
        state.digests.get("DATABASE_URL") == Some(&sha256(first.as_bytes())),
        "the application read another value than the store holds"
    );
    output::line(&format!("the application (pid {}) found its files when it started:", state.pid));
    for name in state.digests.keys() {
        output::line(&format!("    {}", secrets.join(name).display()));
    }

    progress.step(&format!(
        "{ROTATIONS} rotations while the application answers {rate} requests per second"
    ));
    let mut load = running.load(rate, ROTATIONS + 2, &system.logs())?;
    std::thread::sleep(Duration::from_secs(1));
    for round in 1..=ROTATIONS {
        rotate(&system, &mut running, round, &secrets)?;
        std::thread::sleep(Duration::from_secs(1));
    }
    let result = finish(&mut load)?;
    ensure!(running.state()?.pid == state.pid, "the application was restarted");
    ensure!(
        result.failed == 0 && result.sent > 0,
        "requests failed: {} of {} ({:?})",
        result.failed,
        result.sent,
        result.first_error
    );
    output::line(&format!(
        "requests sent: {}, requests failed: {}; the application was never restarted",
        result.sent, result.failed
    ));

    progress.step("The audit log has every read and every write");
    audit(&system)?;
    output::verdict(&format!(
        "PASSED in {:.0} s: {ROTATIONS} rotations, {} requests, none failed, no restart",
        progress.seconds(),
        result.sent
    ));
    if keep {
        return keep_running(&system, &running, directory.path());
    }
    output::line("Try next:");
    output::command("make demo KEEP=1   # the same, and it keeps running for you to use");
    output::command("sudo -E make cluster   # a real Kubernetes cluster with the system installed");
    Ok(())
}

/// `enclii secrets set NAME=-`, with the value on standard input.
fn set(system: &Loopback, name: &str, value: &[u8]) -> Result<()> {
    output::command(&format!(
        "enclii secrets set {name}=- --service api --env prod --project shop < value"
    ));
    let words = [
        "secrets",
        "set",
        &format!("{name}=-"),
        "--service",
        "api",
        "--env",
        "prod",
        "--project",
        "shop",
    ];
    let mut command = system.enclii()?;
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, _registration) = guard::spawn(&mut command)?;
    child.stdin.take().context("standard input")?.write_all(value)?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("enclii secrets set: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        output::line(line);
    }
    Ok(())
}

/// One rotation: write a new value, then check the file and the application.
fn rotate(
    system: &Loopback,
    running: &mut PodProcesses,
    round: usize,
    secrets: &Path,
) -> Result<()> {
    let value = format!("postgres://shop:rotated-{round}-{}@db.shop-prod.svc:5432/shop", now_ms()?);
    let reloads = running.state()?.reloads;
    // The clock starts before the command line does, so the figure includes its start-up.
    let from = SystemTime::now();
    set(system, "DATABASE_URL", value.as_bytes())?;
    let reloaded = reloaded(running, reloads, Duration::from_secs(10))?;
    let state = running.state()?;
    ensure!(
        std::fs::read(secrets.join("DATABASE_URL"))? == value.as_bytes(),
        "the file holds another value than the store"
    );
    ensure!(
        state.digests.get("DATABASE_URL") == Some(&sha256(value.as_bytes())),
        "the application holds another value than the file"
    );
    let after = reloaded.duration_since(from).unwrap_or_default();
    output::line(&format!(
        "rotation {round}: file replaced, application reloaded by {} within {} ms of the command",
        state.reload_trigger.as_deref().unwrap_or("-"),
        after.as_millis()
    ));
    Ok(())
}

/// Waits until the application has reloaded more often than before. Returns when it did.
pub(crate) fn reloaded(
    running: &mut PodProcesses,
    before: u64,
    timeout: Duration,
) -> Result<SystemTime> {
    let each = Duration::from_millis(2);
    let state = wait::until_every(each, "the application to reload", timeout, || {
        running.agent.check()?;
        running.application.check()?;
        Ok(Some(running.state()?).filter(|it| it.reloads > before))
    })?;
    let at = state.reloaded_at.context("the application did not say when it reloaded")?;
    Ok(UNIX_EPOCH + Duration::from_millis(at))
}

/// The load client's last line: its result.
pub(crate) fn finish(load: &mut Process) -> Result<LoadReport> {
    load.finish(Duration::from_secs(30))?;
    let log = load.log();
    let last = log
        .lines()
        .rfind(|line| line.starts_with('{'))
        .with_context(|| format!("the load client printed no result: {log}"))?;
    serde_json::from_str(last).context("parse the load client's result")
}

fn audit(system: &Loopback) -> Result<()> {
    let events = system.get("/v1/audit?limit=1000")?;
    let events = events["events"].as_array().context("events")?;
    let count = |action: &str| events.iter().filter(|it| it["action"] == action).count();
    let (writes, reads) = (count("write"), count("read"));
    output::line(&format!("{writes} writes and {reads} reads: who, when, what and from where"));
    ensure!(writes >= 2 + ROTATIONS && reads > ROTATIONS, "the audit log lacks events");
    Ok(())
}

/// Keeps everything running until a signal ends this process.
fn keep_running(system: &Loopback, running: &PodProcesses, directory: &Path) -> Result<()> {
    let command = system.enclii()?;
    output::line("");
    output::line(&format!(
        "It keeps running until Ctrl-C. The application is {}",
        running.url("/state")
    ));
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            output::command(&format!(
                "export {}={}",
                name.to_string_lossy(),
                value.to_string_lossy()
            ));
        }
    }
    output::command(&format!(
        "{} secrets list --service api --env prod --project shop",
        command.get_program().to_string_lossy()
    ));
    output::line(&format!("all files are in {}", directory.display()));
    loop {
        std::thread::sleep(Duration::from_secs(1));
        ensure!(!running.has_ended(), "the application ended");
    }
}

pub(crate) fn now_ms() -> Result<u128> {
    Ok(SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?
        .as_millis())
}
