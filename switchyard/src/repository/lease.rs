//! Leases for background jobs that only one replica may run at a time.

/// A fencing token. The holder of a lease passes it with every write; the database refuses the
/// write once another replica has taken the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lease's name.
    pub name: &'static str,
    /// Increases with each new holder.
    pub number: u64,
}
