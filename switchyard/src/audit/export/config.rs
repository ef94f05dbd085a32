//! The file that names the sinks.

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

/// The sinks cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SinksError {
    /// A file cannot be read.
    #[error("read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not of the form.
    #[error("read {path}: {reason}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Certificates or keys cannot be used.
    #[error("set up TLS for sink {sink}: {reason}")]
    Tls {
        /// The sink.
        sink: String,
        /// Why.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sinks: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    format: Format,
    file: Option<PathBuf>,
    https: Option<Https>,
    syslog: Option<Syslog>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Https {
    url: String,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Syslog {
    address: String,
    ca: PathBuf,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// One sink, ready to be sent to.
#[derive(Clone, Debug)]
pub(crate) struct SinkConfig {
    pub(super) name: String,
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    File(FileSink),
    Https(HttpsSink),
    Syslog(SyslogSink),
}

impl SinkConfig {
    /// Sends a batch; it has arrived when this returns.
    pub(super) async fn send(&self, records: &[Record]) -> Result<(), SendError> {
        match &self.target {
            Target::File(sink) => sink.send(records).await,
            Target::Https(sink) => sink.send(records).await,
            Target::Syslog(sink) => sink.send(records).await,
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
    let File { sinks } = serde_saphyr::from_str(&text).map_err(|error| form(error.to_string()))?;
    let mut names = HashSet::new();
    let mut ready = Vec::new();
    for entry in sinks {
        let Entry { name, format, file, https, syslog } = entry;
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
            (Some(path), None, None) => Target::File(FileSink::new(path, format)),
            (None, Some(Https { url, ca, certificate, key, token_file }), None) => {
                if !url.starts_with("https://") {
                    return Err(form(format!("sink {name}: the URL must start with https://")));
                }
                let tls = match (ca, pair(&name, certificate, key).map_err(form)?) {
                    (Some(ca), own) => Some(tls(&name, &ca, own)?),
                    (None, None) => None,
                    (None, Some(_)) => {
                        return Err(form(format!(
                            "sink {name}: with a certificate, ca says whom it is shown to"
                        )));
                    }
                };
                let sink = HttpsSink::new(url, tls, token_file, format);
                Target::Https(
                    sink.map_err(|reason| SinksError::Tls { sink: name.clone(), reason })?,
                )
            }
            (None, None, Some(Syslog { address, ca, certificate, key })) => {
                let tls = tls(&name, &ca, pair(&name, certificate, key).map_err(form)?)?;
                let sink = SyslogSink::new(&address, tls, format);
                Target::Syslog(
                    sink.ok_or_else(|| form(format!("sink {name}: the address is HOST:PORT")))?,
                )
            }
            _ => return Err(form(format!("sink {name}: name one of file, https and syslog"))),
        };
        ready.push(SinkConfig { name, target });
    }
    Ok(ready)
}

/// The files that say who sends: both, or none.
fn pair(
    sink: &str,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, String> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err(format!("sink {sink}: certificate and key come together")),
    }
}

fn tls(
    sink: &str,
    ca: &Path,
    own: Option<(PathBuf, PathBuf)>,
) -> Result<Arc<ClientConfig>, SinksError> {
    let failed = |reason: String| SinksError::Tls { sink: sink.to_owned(), reason };
    let bytes = |path: &Path| {
        std::fs::read(path).map_err(|source| SinksError::File { path: path.to_owned(), source })
    };
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, SinksError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(failed(format!("{} holds no certificate", path.display()))),
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key_bytes = zeroize::Zeroizing::new(bytes(&key)?);
            let key = PrivateKeyDer::from_pem_slice(&key_bytes)
                .map_err(|_| failed(format!("{} holds no key", key.display())))?;
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
    fn what_cannot_be_is_refused_by_name() {
        let sinks =
            parse("sinks:\n- name: archive\n  file: /var/log/enclii/audit.jsonl\n- name: siem\n  format: cef\n  file: /x\n").unwrap();
        assert_eq!(
            sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>(),
            ["archive", "siem"]
        );
        let table = [
            ("sinks:\n- name: a b\n  file: /x\n", "name"),
            ("sinks:\n- name: a\n  file: /x\n- name: a\n  file: /y\n", "two sinks"),
            ("sinks:\n- name: a\n", "one of"),
            ("sinks:\n- name: a\n  file: /x\n  colour: red\n", "colour"),
            ("sinks:\n- name: a\n  format: xml\n  file: /x\n", "xml"),
            ("sinks:\n- name: a\n  https: {url: 'http://siem'}\n", "https://"),
            (
                "sinks:\n- name: a\n  https: {url: 'https://siem', ca: /x, certificate: /x}\n",
                "come together",
            ),
            (
                "sinks:\n- name: a\n  https: {url: 'https://siem', certificate: /x, key: /x}\n",
                "ca says",
            ),
            (
                "sinks:\n- name: a\n  syslog: {address: 'siem:6514', ca: /x, key: /x}\n",
                "come together",
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
