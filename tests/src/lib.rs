//! The harness of everything that needs more than one process.
//!
//! [`loopback`] runs the system on this machine without a cluster (the demo, the benchmarks);
//! [`kubectl`] speaks to a real cluster as a user would. Both start programs that are already built,
//! so that what is tested is what is shipped.

pub mod admission;
pub mod http;
pub mod kubectl;
pub mod loopback;
pub mod pod;
pub mod process;
pub mod sample;
pub mod wait;
