//! More than one switchyard on one database: who does what only one may do, and how they hear of
//! each other's changes.

mod lead;
mod listen;

pub(crate) use lead::Leader;
pub(crate) use listen::listen;
