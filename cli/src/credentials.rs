//! The login sessions, one per switchyard, in a file that only its owner can read.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use contract::Redacted;
use contract::credential::{Credential, Text};
use jiff::Timestamp;
use runtime::atomic_file;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;

/// A login session at one switchyard.
#[derive(Debug, Deserialize)]
pub(crate) struct StoredSession {
    /// Its token.
    pub(crate) token: Credential,
    /// When it expires.
    pub(crate) expires_at: Timestamp,
    /// Who logged in.
    pub(crate) name: String,
}

/// The content of the file: sessions by address.
#[derive(Debug, Default, Deserialize)]
struct SessionFile {
    #[serde(default)]
    sessions: BTreeMap<String, StoredSession>,
}

/// The token of the session at `address`, unless it has expired.
pub(crate) fn session_token(address: &str) -> Result<Redacted, Error> {
    let Some(session) = find(address)? else { return Err(Error::NoToken) };
    if session.expires_at <= Timestamp::now() {
        let at = format!("{:.0}", session.expires_at);
        return Err(Error::SessionExpired { name: session.name, at });
    }
    Ok(session.token.redacted().clone())
}

/// The session at `address`, expired or not.
pub(crate) fn find(address: &str) -> Result<Option<StoredSession>, Error> {
    Ok(read(&default_path()?)?.sessions.remove(&canonicalize(address)))
}

/// Stores a session in place of the previous one. Returns the path of the file.
pub(crate) fn store(address: &str, session: StoredSession) -> Result<PathBuf, Error> {
    let path = default_path()?;
    let mut file = read(&path)?;
    file.sessions.insert(canonicalize(address), session);
    write(&path, &file)?;
    Ok(path)
}

/// Removes the session at `address`.
pub(crate) fn remove(address: &str) -> Result<(), Error> {
    let path = default_path()?;
    let mut file = read(&path)?;
    if file.sessions.remove(&canonicalize(address)).is_some() {
        write(&path, &file)?;
    }
    Ok(())
}

fn canonicalize(address: &str) -> String {
    address.trim_end_matches('/').to_lowercase()
}

/// The credentials file, if it exists.
pub(crate) fn file() -> Option<PathBuf> {
    default_path().ok().filter(|it| it.exists())
}

/// The path by the XDG base directory convention
/// (<https://specifications.freedesktop.org/basedir-spec>).
fn default_path() -> Result<PathBuf, Error> {
    let directory =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|it: &PathBuf| it.is_absolute());
    let base =
        directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")));
    let base = base.ok_or_else(|| {
        Error::System("find the configuration directory: set XDG_CONFIG_HOME or HOME".to_owned())
    })?;
    Ok(base.join("enclii/credentials.json"))
}

fn read(path: &Path) -> Result<SessionFile, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let bytes = match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SessionFile::default()),
        Err(error) => return Err(failed(error)),
    };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::Usage(format!(
            "other users can read {}: run chmod 600 on it, and log in again if they may have \
             read it",
            path.display()
        )));
    }
    // A parser's message may quote a token, so only the position is reported.
    serde_json::from_slice(&bytes).map_err(|error| Error::Parse {
        path: path.to_owned(),
        reason: format!(
            "line {} column {} is not valid; remove the file and log in again",
            error.line(),
            error.column()
        ),
    })
}

/// Replaces the file atomically.
fn write(path: &Path, file: &SessionFile) -> Result<(), Error> {
    #[derive(Serialize)]
    struct SessionEntry<'a> {
        token: Text<'a>,
        expires_at: Timestamp,
        name: &'a str,
    }
    #[derive(Serialize)]
    struct SessionFileBody<'a> {
        sessions: BTreeMap<&'a str, SessionEntry<'a>>,
    }
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let sessions = file
        .sessions
        .iter()
        .map(|(address, it)| {
            (
                address.as_str(),
                SessionEntry { token: it.token.text(), expires_at: it.expires_at, name: &it.name },
            )
        })
        .collect();
    let text = serde_json::to_vec_pretty(&SessionFileBody { sessions })
        .map(Zeroizing::new)
        .map_err(|error| Error::Encode(error.to_string()))?;
    let directory = path.parent().unwrap_or(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    atomic_file::write(path, &text, 0o600).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn session(token: &str) -> StoredSession {
        StoredSession {
            token: token.parse().unwrap(),
            expires_at: "2100-01-01T00:00:00Z".parse().unwrap(),
            name: "ada".into(),
        }
    }

    #[test]
    fn a_stored_session_is_found_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("enclii/credentials.json");
        assert!(read(&path).unwrap().sessions.is_empty());
        let mut all = SessionFile::default();
        all.sessions.insert(canonicalize("https://A.example:8443/"), session("enclii_1"));
        write(&path, &all).unwrap();
        all.sessions.insert(canonicalize("https://b.example"), session("enclii_2"));
        write(&path, &all).unwrap();
        let back = read(&path).unwrap().sessions;
        assert_eq!(back["https://a.example:8443"].token, session("enclii_1").token);
        assert_eq!(back["https://b.example"].token, session("enclii_2").token);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_other_users_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.json");
        let write =
            |text: &str| fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        write("{}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("other users can read"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write(r#"{"sessions":{"https://a":{"token":{"hunter2":1}}}}"#);
        let error = read(&path).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
