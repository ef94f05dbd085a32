//! The conformance suite: on the fake server, with late visibility, with faults, and on a real
//! Connect server if the environment names one.

use std::time::{Duration, Instant};

use contract::{Label, Redacted, Version};
use lockbox::{OnePassword, OnePasswordConfig, Put, Store, conformance};

use super::fault_proxy::{ALL, FaultPlan, Proxy};
use super::{TestStore, config, error_chain, scope, secret};

async fn passes(store: &OnePassword, project: &str) {
    let project: Label = project.parse().unwrap();
    let checks =
        conformance::run(store, &project).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(checks >= 15, "{checks}");
}

/// A store whose deadlines are never reached, however busy the machine is: nothing hangs, and the
/// suite itself says what is wrong.
async fn patient() -> TestStore {
    TestStore::with(|config| {
        config.timeout = Duration::from_secs(60);
        config.visibility_timeout = Duration::from_secs(120);
    })
    .await
}

/// How long a call may take that is not answered: many times as long as the fake server takes to
/// answer one now, and at least a quarter of a second.
async fn call_timeout(harness: &TestStore) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let start = Instant::now();
        harness.store.health().await.unwrap();
        slowest = slowest.max(start.elapsed());
    }
    (slowest * 10).max(Duration::from_millis(250))
}

/// Runs on the server that `OP_CONNECT_HOST`, `OP_CONNECT_TOKEN` and `OP_CONNECT_VAULT` (a vault
/// used only for tests) name, or on the fake server. It prints which.
#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite() {
    let real = (
        std::env::var_os("OP_CONNECT_HOST"),
        std::env::var_os("OP_CONNECT_TOKEN"),
        std::env::var_os("OP_CONNECT_VAULT"),
    );
    let (Some(host), Some(token), Some(vault)) = real else {
        println!(
            "on the fake server: OP_CONNECT_HOST, OP_CONNECT_TOKEN and OP_CONNECT_VAULT are not \
             all set"
        );
        return passes(&patient().await.store, "suite").await;
    };
    let text = |value: std::ffi::OsString| value.into_string().unwrap();
    println!("on the Connect server at {}", host.display());
    let directory = tempfile::tempdir().unwrap();
    super::write(&directory.path().join("token"), &text(token));
    let config = OnePasswordConfig::new(text(host), directory.path().join("token"), text(vault));
    // The person who runs the test chose the server, and decides whether it has TLS.
    let store = OnePassword::new(&OnePasswordConfig { allow_plain_http: true, ..config }).unwrap();
    // Each run has its own project, so that two runs do not collide.
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    passes(&store, &format!("suite-{run}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_with_late_visibility() {
    let harness = patient().await;
    {
        let mut connect = harness.connect.state();
        connect.delay = Duration::from_millis(300);
        connect.delays.push(("BUSY_7".to_owned(), Duration::from_millis(1500)));
    }
    passes(&harness.store, "suite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_with_spurious_refusals() {
    let harness = patient().await;
    harness.connect.state().spurious = 5;
    passes(&harness.store, "suite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_with_faults() {
    let harness = patient().await;
    let (connect, directory) = (&harness.connect, &harness.directory);
    connect.state().delay = Duration::from_millis(50);
    let timeout = call_timeout(&harness).await;
    let proxy = Proxy::start(connect.address(), FaultPlan { seed: 4, share: 0.15, kinds: ALL })
        .await
        .unwrap();
    let config = config(format!("http://{}", proxy.address()), directory.path());
    let config = OnePasswordConfig { timeout, visibility_timeout: timeout * 12, ..config };
    passes(&OnePassword::new(&config).unwrap(), "suite").await;
    let counts = proxy.counts();
    assert!(
        ALL.iter().all(|fault| counts[fault] > 0),
        "{counts:?} of {} requests",
        proxy.requests()
    );
    // No fault created two items of one value.
    let titles = connect.state().titles();
    let mut once = titles.clone();
    once.dedup();
    assert_eq!(titles, once);
}

/// Connect stops during writes and restarts with its data.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_restarts_of_connect() {
    let TestStore { mut connect, store, directory: _directory } = TestStore::new().await;
    connect.state().delay = Duration::from_millis(20);
    let names: Vec<_> = (0..4).map(|at| secret(&format!("KEY_{at}"))).collect();
    let (store, names) = (&store, &names);
    let batches = async move {
        let mut answers = Vec::new();
        for version in 1..=15 {
            let value = Redacted::from(format!("value {version}"));
            let puts: Vec<Put<'_>> = names
                .iter()
                .map(|name| Put { name, version: Version(version), value: &value })
                .collect();
            answers.push((version, store.write(&scope(), &puts).await));
        }
        answers
    };
    let restarts = async {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            connect.down();
            tokio::time::sleep(Duration::from_millis(60)).await;
            connect.up().await;
        }
    };
    let (answers, ()) = tokio::join!(batches, restarts);
    let mut acknowledged = 0;
    for (version, answer) in answers {
        match answer {
            Ok(references) => {
                acknowledged += 1;
                for (name, reference) in names.iter().zip(references) {
                    let stored = lockbox::StoredVersion { version: Version(version), reference };
                    let value = store.read_version(&scope(), name, &stored).await.unwrap();
                    assert_eq!(value.expose(), format!("value {version}").as_bytes());
                }
            }
            Err(error) => println!("version {version} was not written: {}", error_chain(&error)),
        }
    }
    assert!(acknowledged > 0);
    let titles = connect.state().titles();
    let mut once = titles.clone();
    once.dedup();
    assert_eq!(titles, once, "one write made two items");
}
