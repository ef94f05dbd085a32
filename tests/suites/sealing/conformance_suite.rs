//! The suite that every backend passes, on PostgreSQL: plain, while connections are torn, and while
//! the server is killed and started again in the middle of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lockbox::conformance;

use super::*;

/// What is done to PostgreSQL again and again.
#[derive(Clone, Copy)]
enum Fault {
    /// It ends every connection, whatever it is at.
    TerminateConnections,
    /// It is killed and started again.
    KillServer,
}

struct FaultInjector {
    over: Arc<AtomicBool>,
    work: JoinHandle<Postgres>,
}

impl FaultInjector {
    fn start(mut postgres: Postgres, fault: Fault) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let work = std::thread::spawn(move || {
            while !until.load(Ordering::SeqCst) {
                match fault {
                    Fault::TerminateConnections => {
                        let others = "SELECT pg_terminate_backend(pid) \
                            FROM pg_stat_activity WHERE datname = 'enclii'";
                        postgres.sql("postgres", others).unwrap();
                    }
                    Fault::KillServer => {
                        std::thread::sleep(Duration::from_millis(50));
                        postgres.kill().unwrap();
                        postgres.run().unwrap();
                    }
                }
            }
            postgres
        });
        Self { over, work }
    }

    /// The server as it is when nobody disturbs it any more.
    fn stop(self) -> Postgres {
        self.over.store(true, Ordering::SeqCst);
        self.work.join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite() {
    let fixture = Fixture::new().await;
    let store = fixture.open("key", &[]).await.unwrap();
    assert_eq!(conformance::run(&store, &"suite".parse().unwrap()).await.unwrap(), 14);
    let report = conformance::fault_injection::run(&store, "suite", 1, 100, || ()).await.unwrap();
    assert_eq!(report.failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_word_while_connections_are_torn_and_the_server_is_killed() {
    for (fault, rounds) in [(Fault::TerminateConnections, 200), (Fault::KillServer, 400)] {
        let fixture = Fixture::new().await;
        let store = fixture.open("key", &[]).await.unwrap();
        let Fixture { mut postgres, database: _database, directory: _directory } = fixture;
        let (mut failed, mut acknowledged) = (0, 0);
        // Until enough calls were in the way of it.
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
            if failed >= 5 {
                break;
            }
        }
        assert!(
            failed >= 5 && acknowledged > failed,
            "{failed} calls failed and {acknowledged} did not"
        );
    }
}
