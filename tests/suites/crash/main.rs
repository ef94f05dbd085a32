//! Programs are killed at random moments. Afterwards every acknowledged write is there, no write is
//! there by half, every history is linearizable, and the audit log is complete.
//!
//! `ENCLII_CRASH_KILLS` is the number of kills per program, `ENCLII_CRASH_SEED` reproduces a run.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test prints what it did, and the environment says how long it runs"
)]

mod audit_log;
mod client;
mod coordination;
mod epoch;
mod fault_target;
mod rounds;
mod verify;
mod workload;

use std::path::Path;

use e2e::postgres::Postgres;
use e2e::switchyard::Switchyard;
use e2e::vault::Vault;

use fault_target::FaultTarget;

fn replica(directory: &Path, settings: &[(&str, &str)]) -> Switchyard {
    e2e::loopback::write_identities(directory, &[], &[]).unwrap();
    // All clients are one principal, so there is no rate limit.
    let settings: Vec<_> = settings.iter().copied().chain([("ENCLII_RATE_LIMIT", "0")]).collect();
    let mut switchyard = Switchyard::new(directory, "switchyard", &settings).unwrap();
    switchyard.run().unwrap();
    switchyard
}

/// Kills switchyard.
struct KillSwitchyard(Switchyard);

impl FaultTarget for KillSwitchyard {
    fn kill(&mut self) {
        self.0.kill().unwrap();
    }

    /// As a kubelet: a switchyard whose database does not answer in time ends, and starts again.
    fn restart(&mut self) {
        let mut starts = 0;
        while let Err(error) = self.0.run() {
            starts += 1;
            assert!(starts < 5, "{error:#}");
        }
    }

    fn switchyard(&self) -> &Switchyard {
        &self.0
    }
}

/// Kills every process of the database while switchyard keeps running.
struct KillDatabase {
    switchyard: Switchyard,
    postgres: Postgres,
}

impl FaultTarget for KillDatabase {
    fn kill(&mut self) {
        self.postgres.kill().unwrap();
    }

    fn restart(&mut self) {
        self.postgres.run().unwrap();
        self.switchyard.process().unwrap().check().unwrap();
        fault_target::wait_until_serving(&self.switchyard);
    }

    fn switchyard(&self) -> &Switchyard {
        &self.switchyard
    }
}

/// Kills Vault while switchyard keeps running.
struct KillVault {
    switchyard: Switchyard,
    vault: Vault,
}

impl FaultTarget for KillVault {
    fn kill(&mut self) {
        self.vault.kill().unwrap();
    }

    fn restart(&mut self) {
        self.vault.run().unwrap();
        self.switchyard.process().unwrap().check().unwrap();
        fault_target::wait_until_serving(&self.switchyard);
    }

    fn switchyard(&self) -> &Switchyard {
        &self.switchyard
    }
}

#[test]
fn switchyard_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    rounds::run("switchyard on SQLite", &mut KillSwitchyard(replica(directory.path(), &[])));
}

#[test]
fn switchyard_on_postgres() {
    let (directory, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().unwrap());
    let switchyard = replica(directory.path(), &[("ENCLII_DATABASE_URL", &postgres.url())]);
    rounds::run("switchyard on PostgreSQL", &mut KillSwitchyard(switchyard));
}

#[test]
fn postgres_under_switchyard() {
    let (directory, postgres) = (tempfile::tempdir().unwrap(), Postgres::start().unwrap());
    let switchyard = replica(directory.path(), &[("ENCLII_DATABASE_URL", &postgres.url())]);
    rounds::run("PostgreSQL under switchyard", &mut KillDatabase { switchyard, postgres });
}

#[test]
fn vault_under_switchyard() {
    let (directory, vault) = (tempfile::tempdir().unwrap(), Vault::start().unwrap());
    let token = vault.root_token_file().unwrap();
    let settings = [
        ("ENCLII_STORE", "vault"),
        ("ENCLII_VAULT_ADDRESS", &vault.address()),
        ("ENCLII_VAULT_LOGIN", "token"),
        ("ENCLII_VAULT_TOKEN_FILE", token.to_str().unwrap()),
    ];
    let switchyard = replica(directory.path(), &settings);
    rounds::run("Vault under switchyard", &mut KillVault { switchyard, vault });
}
