//! The conformance suite on PostgreSQL: undisturbed, while connections are terminated, and while
//! the server is killed and restarted in the middle of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lockbox::conformance;

use super::*;

/// The fault that is repeated.
#[derive(Clone, Copy)]
enum Fault {
    /// Terminates every connection.
    TerminateConnections,
    /// Kills the server and starts it again.
    KillServer,
}

/// Terminates connections for half a second: nearly always those that are in the middle of a
/// transaction, whose call fails, and sometimes idle ones, which the next call replaces unnoticed.
/// The loop is in the server, since starting a client takes longer than many calls.
const TERMINATE: &str = "DO $$ BEGIN FOR i IN 1..50 LOOP \
    PERFORM pg_stat_clear_snapshot(); \
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = 'enclii' AND (state <> 'idle' OR random() < 0.1); \
    PERFORM pg_sleep(0.02 * random()); \
    END LOOP; END $$";

struct FaultInjector {
    stop: Arc<AtomicBool>,
    work: JoinHandle<Postgres>,
}

impl FaultInjector {
    fn start(mut postgres: Postgres, fault: Fault) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let work = std::thread::spawn(move || {
            while !until.load(Ordering::SeqCst) {
                match fault {
                    Fault::TerminateConnections => {
                        postgres.sql("postgres", TERMINATE).unwrap();
                    }
                    Fault::KillServer => {
                        // A debug build needs most of 100 ms to prove its password (SCRAM) and
                        // has to reach the server between two kills.
                        std::thread::sleep(Duration::from_millis(300));
                        postgres.kill().unwrap();
                        postgres.run().unwrap();
                    }
                }
            }
            postgres
        });
        Self { stop, work }
    }

    /// Stops the faults and returns the running server.
    fn stop(self) -> Postgres {
        self.stop.store(true, Ordering::SeqCst);
        self.work.join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_conformance_suite() {
    let fixture = Fixture::new().await;
    let store = fixture.open("key", &[]).await.unwrap();
    conformance::run(&store, &"suite".parse().unwrap()).await.unwrap();
    let report = conformance::fault_injection::run(&store, "suite", 1, 100, || ()).await.unwrap();
    assert_eq!(report.failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_terminated_connections_and_killed_servers() {
    // An idle machine makes 200 calls before the server's first kill, so that run is longer.
    for (fault, rounds) in [(Fault::TerminateConnections, 200), (Fault::KillServer, 2_000)] {
        let fixture = Fixture::new().await;
        let store = fixture.open("key", &[]).await.unwrap();
        let Fixture { mut postgres, database: _database, directory: _directory } = fixture;
        let (mut failed, mut acknowledged) = (0, 0);
        // Repeats until enough calls failed, and enough did not. How many of each depends on the
        // machine's other work.
        for seed in 1..=30 {
            let injector = FaultInjector::start(postgres, fault);
            let mut recovered = None;
            let report = conformance::fault_injection::run(&store, "suite", seed, rounds, || {
                recovered = Some(injector.stop())
            })
            .await
            .unwrap();
            postgres = recovered.unwrap();
            failed += report.failed;
            acknowledged += report.acknowledged;
            if failed >= 5 && acknowledged >= 50 {
                break;
            }
        }
        assert!(
            failed >= 5 && acknowledged >= 50,
            "{failed} calls failed and {acknowledged} did not"
        );
    }
}
