//! Says whether a recorded history of one secret could have come from a secret that does one thing
//! at a time: whether every call can be given a moment between its start and its answer, so that
//! all the answers follow. A call whose answer nobody saw may have happened at any later moment, or
//! never.
//!
//! Secrets are independent of each other, so a history is checked secret by secret, and what
//! several secrets of one write must have in common is not looked at here. Pure: no clock, and
//! times are just numbers that can be ordered.

mod history;
mod register;
mod search;
#[cfg(test)]
mod tests;

pub use history::{Action, Answer, Call, Condition};
pub use search::{NotLinearizable, check};
