//! Rotations and rollouts, as far as they are decisions: states, waves, the judge of a canary and
//! schedules.
//!
//! Pure: no clock, no environment, no files, no random numbers. Switchyard passes in what it has
//! seen and what time it is, writes down what comes back, and does it.

pub mod judge;
pub mod machine;
pub mod policy;
pub mod schedule;
pub mod waves;
