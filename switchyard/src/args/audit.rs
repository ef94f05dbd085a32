//! The flags of audit checkpoints and exports.

use std::path::PathBuf;

use clap::Args as Group;

/// The flags of audit checkpoints and exports.
#[derive(Debug, Clone, Group)]
pub struct AuditArgs {
    /// Write signed checkpoints of the audit log to this directory, which should be on another disk
    /// or machine than the database
    #[arg(long, env = "ENCLII_AUDIT_CHECKPOINT_DIRECTORY", value_name = "DIRECTORY")]
    pub audit_checkpoint_directory: Option<PathBuf>,
    /// Sign a checkpoint after this many seconds if there are new events
    #[arg(long, env = "ENCLII_AUDIT_CHECKPOINT_INTERVAL", value_name = "SECONDS",
        default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub audit_checkpoint_interval: u64,
    /// Sign a checkpoint after this many events
    #[arg(long, env = "ENCLII_AUDIT_CHECKPOINT_EVENTS", value_name = "NUMBER",
        default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub audit_checkpoint_events: u64,
    /// The key that signs checkpoints; created on the first start [default: audit-key in --data]
    #[arg(long, env = "ENCLII_AUDIT_SIGNING_KEY_FILE", value_name = "FILE")]
    pub audit_signing_key_file: Option<PathBuf>,
    /// Send every event to the files, HTTPS endpoints and syslog servers in this YAML file
    #[arg(long, env = "ENCLII_AUDIT_SINKS", value_name = "FILE")]
    pub audit_sinks: Option<PathBuf>,
}
