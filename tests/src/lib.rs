//! The harness of everything that needs more than one process.
//!
//! [`loopback`] runs the system on this machine without a cluster (the demo, the benchmarks);
//! [`switchyard`] is one replica that can be killed, [`postgres`] and [`vault`] are real stores of
//! a test's own; [`kubectl`] speaks to a real cluster as a user would. All of them start programs
//! that are already built, so that what is tested is what is shipped.

pub mod admission;
pub mod http;
pub mod kubectl;
pub mod linearizable;
pub mod loopback;
pub mod metrics;
pub mod pod;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod random;
pub mod sample;
pub mod switchyard;
pub mod vault;
pub mod wait;
