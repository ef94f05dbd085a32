//! The sinks' configuration file.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{Format, Record};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use super::SendError;
use super::file::FileSink;
use super::https::HttpsSink;
use super::syslog::SyslogSink;

/// The sinks could not be configured.
#[derive(Debug, thiserror::Error)]
pub enum SinksError {
    /// A file cannot be read.
    #[error("read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not valid.
    #[error("read {path}: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// A certificate or key is not usable.
    #[error("set up TLS for sink {sink}: {reason}")]
    Tls {
        /// The sink.
        sink: String,
        /// The cause.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinksFile {
    sinks: Vec<SinkEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkEntry {
    name: String,
    #[serde(default)]
    format: Format,
    file: Option<PathBuf>,
    https: Option<HttpsEntry>,
    syslog: Option<SyslogEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpsEntry {
    url: String,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SyslogEntry {
    address: String,
    ca: PathBuf,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// A configured sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkConfig {
    pub(super) name: String,
    target: SinkTarget,
}

#[derive(Clone, Debug)]
enum SinkTarget {
    File(FileSink),
    Https(HttpsSink),
    Syslog(SyslogSink),
}

impl SinkConfig {
    /// Sends a batch. The sink has confirmed it when this returns.
    pub(super) async fn send(&self, records: &[Record]) -> Result<(), SendError> {
        match &self.target {
            SinkTarget::File(sink) => sink.send(records).await,
            SinkTarget::Https(sink) => sink.send(records).await,
            SinkTarget::Syslog(sink) => sink.send(records).await,
        }
    }
}

/// Reads the file, and the certificates that it names.
///
/// # Errors
/// Where a file cannot be read, or says something that cannot be.
pub(crate) fn read(path: &Path) -> Result<Vec<SinkConfig>, SinksError> {
    let form = |reason: String| SinksError::Form { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path)
        .map_err(|source| SinksError::File { path: path.to_owned(), source })?;
    let SinksFile { sinks } =
        serde_saphyr::from_str(&text).map_err(|error| form(error.to_string()))?;
    let mut names = HashSet::new();
    let mut ready = Vec::new();
    for entry in sinks {
        let SinkEntry { name, format, file, https, syslog } = entry;
        if name.is_empty()
            || name.len() > 63
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(form(format!(
                "the sink's name {name:?} is not 1 to 63 letters, digits and '-'"
            )));
        }
        if !names.insert(name.clone()) {
            return Err(form(format!("two sinks have the name {name}")));
        }
        let target = match (file, https, syslog) {
            (Some(path), None, None) => SinkTarget::File(FileSink::new(path, format)),
            (None, Some(HttpsEntry { url, ca, certificate, key, token_file }), None) => {
                if !url.starts_with("https://") {
                    return Err(form(format!("sink {name}: the URL must start with https://")));
                }
                let tls = match (ca, client_certificate(&name, certificate, key).map_err(form)?) {
                    (Some(ca), client) => Some(tls(&name, &ca, client)?),
                    (None, None) => None,
                    (None, Some(_)) => {
                        return Err(form(format!(
                            "sink {name}: a client certificate needs ca, the CA of the server it \
                                is sent to"
                        )));
                    }
                };
                let sink = HttpsSink::new(url, tls, token_file, format);
                SinkTarget::Https(
                    sink.map_err(|reason| SinksError::Tls { sink: name.clone(), reason })?,
                )
            }
            (None, None, Some(SyslogEntry { address, ca, certificate, key })) => {
                let tls =
                    tls(&name, &ca, client_certificate(&name, certificate, key).map_err(form)?)?;
                let sink = SyslogSink::new(&address, tls, format);
                SinkTarget::Syslog(
                    sink.ok_or_else(|| form(format!("sink {name}: the address is HOST:PORT")))?,
                )
            }
            _ => {
                return Err(form(format!(
                    "sink {name}: give exactly one of file, https and syslog"
                )));
            }
        };
        ready.push(SinkConfig { name, target });
    }
    Ok(ready)
}

/// The client certificate and key files: both or neither.
fn client_certificate(
    sink: &str,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, String> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err(format!("sink {sink}: certificate and key must be given together")),
    }
}

fn tls(
    sink: &str,
    ca: &Path,
    client: Option<(PathBuf, PathBuf)>,
) -> Result<Arc<ClientConfig>, SinksError> {
    let failed = |reason: String| SinksError::Tls { sink: sink.to_owned(), reason };
    let bytes = |path: &Path| {
        std::fs::read(path).map_err(|source| SinksError::File { path: path.to_owned(), source })
    };
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, SinksError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(failed(format!("{} contains no certificate", path.display()))),
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key_bytes = zeroize::Zeroizing::new(bytes(&key)?);
            let key = PrivateKeyDer::from_pem_slice(&key_bytes)
                .map_err(|_| failed(format!("{} contains no key", key.display())))?;
            builder
                .with_client_auth_cert(certificates(&certificate)?, key)
                .map_err(|error| failed(error.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<SinkConfig>, SinksError> {
        use std::io::Write as _;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path())
    }

    #[test]
    fn invalid_configurations_are_refused_by_name() {
        let sinks = parse(
            "sinks:\n- name: archive\n  file: /var/log/enclii/audit.jsonl\n- name: siem\n  \
                format: cef\n  file: /x\n",
        )
        .unwrap();
        assert_eq!(
            sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(),
            ["archive", "siem"]
        );
        let table = [
            ("sinks:\n- name: a b\n  file: /x\n", "name"),
            ("sinks:\n- name: a\n  file: /x\n- name: a\n  file: /y\n", "two sinks"),
            ("sinks:\n- name: a\n", "exactly one of"),
            ("sinks:\n- name: a\n  file: /x\n  colour: red\n", "colour"),
            ("sinks:\n- name: a\n  format: xml\n  file: /x\n", "xml"),
            ("sinks:\n- name: a\n  https: {url: 'http://siem'}\n", "https://"),
            (
                "sinks:\n- name: a\n  https: {url: 'https://siem', ca: /x, certificate: /x}\n",
                "given together",
            ),
            (
                "sinks:\n- name: a\n  https: {url: 'https://siem', certificate: /x, key: /x}\n",
                "needs ca",
            ),
            (
                "sinks:\n- name: a\n  syslog: {address: 'siem:6514', ca: /x, key: /x}\n",
                "given together",
            ),
            (
                "sinks:\n- name: a\n  syslog: {address: 'siem:6514', ca: /does/not/exist}\n",
                "/does/not/exist",
            ),
            ("{", "read"),
        ];
        for (text, word) in table {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
