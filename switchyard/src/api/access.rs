//! `/v1/access…`: questions about who may do what.

pub(super) mod check;
pub(super) mod readers;
pub(super) mod reads;
