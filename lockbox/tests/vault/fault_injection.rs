//! Faults between the backend and Vault, and SIGKILL of Vault during writes.

use std::sync::atomic::{AtomicBool, Ordering};

use lockbox::conformance::ConformanceStore as _;
use lockbox::{StoreError, conformance};

use super::fault_proxy::{ALL, FaultPlan, Proxy};
use super::*;

async fn store_behind_faults(
    server: &VaultServer,
    plan: FaultPlan,
    timeout: Duration,
    max_versions: u32,
) -> (Proxy, Vault) {
    let proxy = Proxy::start(server.socket(), plan).await.unwrap();
    let address = format!("http://{}", proxy.address());
    let store =
        Vault::open(&VaultConfig { address, timeout, max_versions, ..config(server) }).unwrap();
    (proxy, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite_with_faults() {
    let server = VaultServer::start(false).await;
    // Few enough that no call uses up its attempts.
    let (proxy, store) = store_behind_faults(
        &server,
        FaultPlan { seed: 4, share: 0.06, kinds: ALL },
        Duration::from_secs(1),
        VaultConfig::MAX_VERSIONS,
    )
    .await;
    conformance::run(&store, &"suite".parse().unwrap()).await.unwrap();
    let counts = proxy.counts();
    assert!(ALL.iter().all(|fault| counts[fault] > 0), "{counts:?} of {}", proxy.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_faults() {
    let server = VaultServer::start(false).await;
    // With and without eviction.
    let runs = [(1, 3), (2, 200), (3, 2), (4, 200)].map(async |(seed, max_versions)| {
        let plan = FaultPlan { seed, share: 0.6, kinds: ALL };
        let (proxy, store) =
            store_behind_faults(&server, plan, Duration::from_millis(300), max_versions).await;
        let report = conformance::fault_injection::run(&store, "suite", seed, 50, || proxy.calm())
            .await
            .unwrap();
        let counts = proxy.counts();
        assert!(
            ALL.iter().all(|fault| counts[fault] > 0) && report.acknowledged > 10,
            "{counts:?} {report:?}"
        );
        report.failed
    });
    let failed: usize = futures_util::future::join_all(runs).await.into_iter().sum();
    assert!(failed > 0, "no call failed, so that nothing of it was tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_outlives_kill_9() {
    let mut server = VaultServer::start(false).await;
    let store =
        Vault::open(&VaultConfig { timeout: Duration::from_millis(250), ..config(&server) })
            .unwrap();
    let stop = AtomicBool::new(false);
    let writers = (0..4).map(async |writer| {
        let name = secret(&format!("OF_{writer}"));
        let (mut kept, mut failed, mut version) = (Vec::new(), 0, 0);
        while !stop.load(Ordering::SeqCst) {
            version += 1;
            let value = Redacted::from(format!("{writer} {version}"));
            match store
                .write(&scope(), &[Put { name: &name, version: Version(version), value: &value }])
                .await
            {
                Ok(references) => kept.push(StoredVersion {
                    version: Version(version),
                    reference: references[0].clone(),
                }),
                Err(StoreError::Backend { .. }) => failed += 1,
                Err(other) => panic!("{other}"),
            }
        }
        (writer, kept, failed)
    });
    let killer = async {
        for pause in [700, 350, 1100] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            // Longer than a call with that timeout is retried, so that some fail.
            server.kill_and_restart(Duration::from_millis(1500)).await;
            until("Vault to take writes", async || store.health().await.is_ok()).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.store(true, Ordering::SeqCst);
    };
    let (written, ()) = tokio::join!(futures_util::future::join_all(writers), killer);
    let mut failed = 0;
    for (writer, kept, failures) in written {
        failed += failures;
        let name = format!("OF_{writer}");
        assert!(kept.len() > 3, "writer {writer} had {} writes", kept.len());
        let listed = store.list_versions(&scope(), &secret(&name)).await.unwrap();
        for stored in kept {
            assert_eq!(
                read(&store, &name, &stored).await.unwrap(),
                format!("{writer} {}", stored.version).as_bytes()
            );
            assert!(listed.contains(&stored));
        }
        // An unacknowledged write is stored completely or not at all.
        for stored in &listed {
            assert_eq!(
                read(&store, &name, stored).await.unwrap(),
                format!("{writer} {}", stored.version).as_bytes()
            );
        }
    }
    assert!(failed > 0, "no write was cut off, so that nothing was tried");
}
