//! An ordinary application, written as if its team did not know how its files get there.
//!
//! It reads the file that each `NAME_FILE` variable names, and reloads them on SIGHUP or on
//! `POST /-/reload`. It shows digests of the files, never a value. `load` is a client that sends it
//! requests, `once` is the same application as a job.

pub mod args;
pub mod load;
pub mod once;
pub mod secrets;
pub mod serve;
pub mod state;
