//! Leases: who does what only one replica may do.

/// The right to a lease, as its holder got it. Whatever the holder writes it writes under this
/// number: once another replica has the lease, the database refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The lease.
    pub name: &'static str,
    /// Grows with each new holder.
    pub number: u64,
}
