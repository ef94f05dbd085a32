//! What must be true of the application after a reload.

pub mod login;
