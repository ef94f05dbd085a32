//! What the system promises, tested on a real cluster.
//!
//! `make test-cluster` starts a cluster, installs the manifests and runs this. If `KUBECONFIG`
//! names a cluster with the system installed, the tests run there. Every test has its own
//! namespaces and project. [`leaks`] comes last: it searches for every value that the other tests
//! wrote.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test prints what it measured, and the environment says where the cluster is"
)]

mod access;
mod admission_faults;
mod app;
mod bad_input;
mod bounds;
mod certificates;
mod coexistence;
mod delivery;
mod etcd;
mod exec;
mod faulty_webhook;
mod harness;
mod identity;
mod injector;
mod leaks;
mod leases;
mod login;
mod migration;
mod outage;
mod placement;
mod plaintext;
mod policy;
mod rotation;
mod servers;
mod shapes;
mod static_policies;
mod tls_load;
mod vault;
mod vault_database;
mod vault_only;
mod vault_server;
mod webhook_server;
mod webhook_setting;
