//! The promises of the system, each kept on a real cluster.
//!
//! `make test-cluster` brings the cluster up, installs the manifests and runs this; where
//! `KUBECONFIG` names a cluster that has them, the same tests run there. Every test has namespaces
//! and a project of its own. [`leaks`] comes last: it looks for everything that the others wrote.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test says what it measured, and is told by the environment where the cluster is"
)]

mod access;
mod app;
mod bad_input;
mod encodings;
mod etcd;
mod harness;
mod identity;
mod leaks;
mod login;
mod outage;
mod rotation;
mod shapes;
mod vault;
