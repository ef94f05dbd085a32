//! The suite that every backend passes: on the stand-in, plain, late, and with faults in between,
//! and on a real Connect where the environment names one.

use std::time::Duration;

use contract::{Label, Redacted, Version};
use lockbox::{OnePassword, OnePasswordConfig, Put, Store, conformance};

use super::connect::Connect;
use super::faults::{ALL, Plan, Proxy};
use super::{World, config, said, scope, secret};

async fn passes(store: &OnePassword, project: &str) {
    let project: Label = project.parse().unwrap();
    let checks =
        conformance::run(store, &project).await.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(checks >= 14, "{checks}");
}

/// On a server that `OP_CONNECT_HOST`, `OP_CONNECT_TOKEN` and `OP_CONNECT_VAULT` (a vault for tests
/// alone) name, or on the stand-in. It says which.
#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite() {
    let real = (
        std::env::var_os("OP_CONNECT_HOST"),
        std::env::var_os("OP_CONNECT_TOKEN"),
        std::env::var_os("OP_CONNECT_VAULT"),
    );
    let (Some(host), Some(token), Some(vault)) = real else {
        println!(
            "on the stand-in: OP_CONNECT_HOST, OP_CONNECT_TOKEN and OP_CONNECT_VAULT are not all set"
        );
        return passes(&World::new().await.store, "suite").await;
    };
    let text = |value: std::ffi::OsString| value.into_string().unwrap();
    println!("on the Connect server at {}", host.display());
    let directory = tempfile::tempdir().unwrap();
    super::write(&directory.path().join("token"), &text(token));
    let config = OnePasswordConfig::new(text(host), directory.path().join("token"), text(vault));
    // A server of the operator's own choice; where it has no TLS, he knows.
    let store = OnePassword::new(&OnePasswordConfig { plain_http: true, ..config }).unwrap();
    // A project of this run's own, so that two runs do not meet.
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    passes(&store, &format!("suite-{run}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_where_writes_show_late() {
    let world = World::new().await;
    {
        let mut connect = world.connect.world();
        connect.delay = Duration::from_millis(300);
        connect.delays.push(("BUSY_7".to_owned(), Duration::from_millis(1500)));
    }
    passes(&world.store, "suite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_where_good_tokens_are_refused_now_and_then() {
    let world = World::new().await;
    world.connect.world().spurious = 5;
    passes(&world.store, "suite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_with_faults_in_between() {
    let connect = Connect::start().await;
    connect.world().delay = Duration::from_millis(50);
    let directory = tempfile::tempdir().unwrap();
    let proxy =
        Proxy::start(connect.address(), Plan { seed: 4, share: 0.15, kinds: ALL }).await.unwrap();
    let config = config(format!("http://{}", proxy.address()), directory.path());
    let config = OnePasswordConfig {
        timeout: Duration::from_millis(250),
        settle: Duration::from_secs(3),
        ..config
    };
    passes(&OnePassword::new(&config).unwrap(), "suite").await;
    let counts = proxy.counts();
    assert!(
        ALL.iter().all(|fault| counts[fault] > 0),
        "{counts:?} of {} requests",
        proxy.requests()
    );
    // No fault made two items of one value.
    let titles = connect.world().titles();
    let mut once = titles.clone();
    once.dedup();
    assert_eq!(titles, once);
}

/// Connect goes away in the middle of writes and comes back with what it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_of_writes_loses_nothing_that_was_acknowledged() {
    let World { mut connect, store, directory: _directory } = World::new().await;
    connect.world().delay = Duration::from_millis(20);
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
                    let stored = lockbox::Stored { version: Version(version), reference };
                    let value = store.read_version(&scope(), name, &stored).await.unwrap();
                    assert_eq!(value.expose(), format!("value {version}").as_bytes());
                }
            }
            Err(error) => println!("version {version} was not written: {}", said(&error)),
        }
    }
    assert!(acknowledged > 0);
    let titles = connect.world().titles();
    let mut once = titles.clone();
    once.dedup();
    assert_eq!(titles, once, "one write made two items");
}
