//! An ordinary application, as a team would write it that knows nothing of who puts its files
//! there.
//!
//! It reads the file that each `NAME_FILE` variable names, serves requests with them, and reads
//! them again on SIGHUP or on `POST /-/reload`. It shows digests of what it has read, never a
//! value. `load` is a client that drives it, `once` is the same application as a job.

pub mod args;
pub mod load;
pub mod once;
pub mod secrets;
pub mod serve;
pub mod state;
