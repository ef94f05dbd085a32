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
enum Trouble {
    /// It ends every connection, whatever it is at.
    Tears,
    /// It is killed and started again.
    Killed,
}

struct Disturber {
    over: Arc<AtomicBool>,
    work: JoinHandle<Postgres>,
}

impl Disturber {
    fn start(mut postgres: Postgres, trouble: Trouble) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let work = std::thread::spawn(move || {
            while !until.load(Ordering::SeqCst) {
                match trouble {
                    Trouble::Tears => {
                        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'enclii'";
                        postgres.sql("postgres", others).unwrap();
                    }
                    Trouble::Killed => {
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
    fn calm(self) -> Postgres {
        self.over.store(true, Ordering::SeqCst);
        self.work.join().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_the_suite() {
    let world = World::new().await;
    let store = world.open("key", &[]).await.unwrap();
    assert_eq!(conformance::run(&store, &"suite".parse().unwrap()).await.unwrap(), 14);
    let report = conformance::disturbed::run(&store, "suite", 1, 100, || ()).await.unwrap();
    assert_eq!(report.failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_word_while_connections_are_torn_and_the_server_is_killed() {
    for (trouble, rounds) in [(Trouble::Tears, 200), (Trouble::Killed, 400)] {
        let world = World::new().await;
        let store = world.open("key", &[]).await.unwrap();
        let World { mut postgres, database: _database, directory: _directory } = world;
        let (mut failed, mut acknowledged) = (0, 0);
        // Until enough calls were in the way of it.
        for seed in 1..=30 {
            let disturber = Disturber::start(postgres, trouble);
            let mut calm = None;
            let report = conformance::disturbed::run(&store, "suite", seed, rounds, || {
                calm = Some(disturber.calm())
            })
            .await
            .unwrap();
            postgres = calm.unwrap();
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
