//! The flag of the issuers of jobs.

use std::path::PathBuf;

use clap::Args as Group;

/// The flag of the issuers that jobs of CI systems log in with.
#[derive(Debug, Clone, Group)]
pub struct WorkloadArgs {
    /// The YAML file with the issuers of CI systems whose jobs may log in, and the rules that give
    /// them roles
    #[arg(long, env = "ENCLII_WORKLOAD_ISSUERS", value_name = "FILE")]
    pub workload_issuers: Option<PathBuf>,
}
