//! The audit trail as records: what an event says, how records hang together, and how others read them.
