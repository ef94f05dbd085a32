//! The budgets of the design, measured on the shipped programs.
//!
//! [`budget`], [`statistics`] and [`table`] are pure. [`loopback`] measures what one machine shows
//! without a cluster, [`cluster`] what needs one. Each writes its [`results::Results`] to a file,
//! and the report joins them.

pub mod agent;
pub mod args;
pub mod bare_server;
pub mod budget;
pub mod cluster;
pub mod disk_limit;
pub mod driver;
mod exchange;
pub mod loopback;
pub mod memory;
pub mod pod;
pub mod probe;
pub mod processor_time;
pub mod progress;
pub mod replicas;
pub mod results;
pub mod review;
pub mod secret_writer;
pub mod statistics;
pub mod stores;
pub mod streams;
pub mod table;
pub mod vault;
pub mod webhook_load;
pub mod writes;
