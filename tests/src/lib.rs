//! The harness of everything that needs more than one process.
//!
//! [`loopback`] runs the system on this machine without a cluster, for the demo and the benchmarks,
//! [`loopback_webhook`] the webhook alone.
//! [`switchyard`] is one replica that can be killed, [`postgres`] and [`vault`] are real stores for
//! one test, and [`kubectl`] uses a real cluster. All of them start programs that are already
//! built.

pub mod admission;
pub mod agent;
pub mod api_server;
pub mod guard;
pub mod http;
pub mod kubectl;
pub mod leaks;
pub mod linearizable;
pub mod loopback;
pub mod loopback_webhook;
pub mod metrics;
pub mod other_webhook;
pub mod pod;
pub mod port;
pub mod postgres;
mod proc_stat;
pub mod process;
pub mod proxy;
pub mod random;
mod ready;
pub mod sample;
pub mod switchyard;
pub mod token_review;
pub mod vault;
pub mod wait;
