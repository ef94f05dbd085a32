//! The operator's configuration file, read at the start and again when it changes. A new file that
//! cannot be used leaves the last good one in force, which the log, a metric and `/readyz` say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use certs::certificate::{Certificate, CertificateError};
use injection::{ConfigConflict, InjectionConfig, OperatorFile};
use runtime::readiness::Note;
use runtime::watch::{Depth, DirectoryWatch};
use tokio_util::sync::CancellationToken;

use crate::poll::{POLL_INTERVALS, WarnOnChange};
use crate::state::WebhookState;

/// The largest file that is read, in bytes: that of a ConfigMap.
const MAX_BYTES: u64 = 1 << 20;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OperatorConfigError {
    /// It cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is larger than a ConfigMap.
    #[error("read {0}: it is over 1 MiB")]
    TooLarge(PathBuf),
    /// It is not YAML, has an unknown key, or a value of another form.
    #[error("parse {path}: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// Vault's CA has the form of certificates, and is none.
    #[error("parse vaultCa")]
    VaultCa(#[from] CertificateError),
    /// Two settings contradict each other.
    #[error("configure")]
    Conflict(#[from] ConfigConflict),
}

/// The settings: of the flags, and of the file.
#[derive(Debug)]
pub struct OperatorConfig {
    flags: OperatorFile,
    defaults: InjectionConfig,
    file: Option<PathBuf>,
}

/// Whether the file's newest text is in force, for the metrics.
#[derive(Clone, Debug)]
pub struct FileIsUsed(Arc<AtomicBool>);

impl Default for FileIsUsed {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl FileIsUsed {
    /// Whether it is; true if there is no file.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl OperatorConfig {
    /// `flags` count more than `file`, and both more than `defaults`.
    #[must_use]
    pub fn new(flags: OperatorFile, defaults: InjectionConfig, file: Option<PathBuf>) -> Self {
        Self { flags, defaults, file }
    }

    /// The file's text and the configuration that follows from it.
    ///
    /// # Errors
    /// If the file cannot be used, or two settings contradict each other.
    pub fn read(&self) -> Result<(String, InjectionConfig), OperatorConfigError> {
        let text = match &self.file {
            Some(path) => read(path)?,
            None => String::new(),
        };
        let file = match &self.file {
            Some(path) => parse(&text)
                .map_err(|reason| OperatorConfigError::Form { path: path.clone(), reason })?,
            None => OperatorFile::default(),
        };
        let config = self.flags.clone().or(file).configure(self.defaults.clone())?;
        if let Some(ca) = &config.vault.ca {
            Certificate::from_pem(ca.as_str().as_bytes())?;
        }
        Ok((text, config))
    }

    /// Follows the file until `stop` is cancelled. `text` is what is in force.
    pub async fn run(
        self,
        mut text: String,
        state: WebhookState,
        (note, is_used): (Note, FileIsUsed),
        stop: CancellationToken,
    ) {
        let follow = async {
            let Some(path) = &self.file else { return std::future::pending().await };
            let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
            let directory = parent.unwrap_or_else(|| Path::new("."));
            let mut warnings = WarnOnChange::default();
            loop {
                // Before the file is read, so that no change falls between the two.
                let watch = DirectoryWatch::new(directory, Depth::Tree, POLL_INTERVALS);
                match self.read() {
                    Ok((new, config)) => {
                        if new != text {
                            state.set_config(&config);
                            tracing::info!(file = %path.display(), "configuration loaded");
                            text = new;
                        }
                        note.clear();
                        is_used.0.store(true, Ordering::Release);
                    }
                    Err(error) => {
                        warnings.warn("the last good configuration stays in force", &error);
                        note.set();
                        is_used.0.store(false, Ordering::Release);
                    }
                }
                watch.changed().await;
            }
        };
        let _ = stop.run_until_cancelled(follow).await;
    }
}

fn read(path: &Path) -> Result<String, OperatorConfigError> {
    let failed = |source| OperatorConfigError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(OperatorConfigError::TooLarge(path.to_owned()));
    }
    fs::read_to_string(path).map_err(failed)
}

/// Parses the file. One with comments alone sets nothing.
fn parse(text: &str) -> Result<OperatorFile, String> {
    let file: Option<OperatorFile> =
        serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    Ok(file.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use injection::KeyNames;

    use super::*;
    use crate::args::default_config;

    fn config(text: &str, flags: &str) -> Result<InjectionConfig, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("webhook.yaml");
        #[expect(clippy::disallowed_methods, reason = "a test's input")]
        fs::write(&path, text).unwrap();
        let defaults = default_config("enclii-system".into(), KeyNames::All);
        let config = OperatorConfig::new(parse(flags).unwrap(), defaults, Some(path));
        config
            .read()
            .map(|(_, config)| config)
            .map_err(|error| runtime::logs::ErrorChain(&error).to_string())
    }

    #[test]
    fn flags_count_more_than_the_file_and_the_file_more_than_the_defaults() {
        let found = config("volumeSize: 9Mi\nagentCpuRequest: 7m\n", "volumeSize: 8Mi").unwrap();
        assert_eq!(found.volume_size.as_str(), "8Mi");
        assert_eq!(found.resources.cpu_request.as_str(), "7m");
        assert_eq!(found.resources.memory_limit.as_str(), "64Mi");
        for empty in ["", "# volumeSize: 8Mi\n", "---\n{}\n"] {
            assert_eq!(config(empty, "").unwrap().volume_size.as_str(), "32Mi", "{empty:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_says_what_and_where() {
        for (text, words) in [
            ("agentImages: x\n", "agentImages"),
            ("volumeSize: 8Mi\nvolumeSize: 9Mi\n", "volumeSize"),
            ("volumeSize: [", "webhook.yaml"),
            ("volumeSize: many\n", "many"),
            ("volumeSize: 65Mi\n", "over the agent's memory limit 64Mi"),
            ("source: vault\nvaultRole: api\n", "vaultAddress is missing"),
            (
                "vaultCa: |\n  -----BEGIN CERTIFICATE-----\n  AAAA\n  -----END CERTIFICATE-----\n",
                "parse vaultCa",
            ),
            ("- x\n", "webhook.yaml"),
        ] {
            let message = config(text, "").unwrap_err();
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    /// `ENCLII_RENEW=1 cargo test -p enclii-webhook --lib operator_config` writes the schema again.
    #[test]
    fn the_schema_and_the_guide_have_every_key() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let file = docs.join("webhook-config.schema.json");
        let schema = serde_json::to_string_pretty(&OperatorFile::schema()).unwrap() + "\n";
        if std::env::var_os("ENCLII_RENEW").is_some() {
            #[expect(clippy::disallowed_methods, reason = "a person asks for it")]
            fs::write(&file, &schema).unwrap();
        }
        assert_eq!(fs::read_to_string(file).unwrap(), schema, "run with ENCLII_RENEW=1");
        let guide = fs::read_to_string(docs.join("guide.md")).unwrap();
        for key in OperatorFile::keys() {
            let row = format!("| `{}` | {}", key.name, key.help);
            assert!(guide.contains(&row), "docs/guide.md lacks: {row}");
        }
    }
}
