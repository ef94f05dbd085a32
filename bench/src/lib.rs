//! The budgets of the design, measured on the programs as they are shipped.
//!
//! [`budget`], [`numbers`] and [`table`] are pure. [`loopback`] measures what one machine can show
//! without a cluster, [`cluster`] what needs one; each leaves a [`part::Part`], and the report
//! joins them.

pub mod agent;
pub mod args;
pub mod budget;
pub mod cluster;
pub mod driver;
pub mod load;
pub mod loopback;
pub mod memory;
pub mod numbers;
pub mod part;
pub mod pod;
pub mod progress;
pub mod replicas;
pub mod review;
pub mod store;
pub mod stores;
pub mod streams;
pub mod table;
pub mod vault;
pub mod writes;
