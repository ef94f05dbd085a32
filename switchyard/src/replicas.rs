//! Several switchyards on one database: leader election for background jobs, and notifications of
//! changes made by other replicas.

mod leader_election;
mod listen;

pub(crate) use leader_election::LeaderElector;
pub(crate) use listen::listen;
