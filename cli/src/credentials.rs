//! The sessions of whoever is logged in: one for each switchyard, in a file that its owner alone
//! reads.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use contract::Redacted;
use contract::credential::{Credential, Text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Error;

/// A session at one switchyard.
#[derive(Debug, Deserialize)]
pub(crate) struct Kept {
    /// The session's token.
    pub(crate) token: Credential,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
    /// Who logged in.
    pub(crate) name: String,
}

/// The file's content: sessions by address.
#[derive(Debug, Default, Deserialize)]
struct Sessions {
    #[serde(default)]
    sessions: BTreeMap<String, Kept>,
}

/// The session at `address`, while it lasts.
pub(crate) fn session(address: &str) -> Result<Redacted, Error> {
    let Some(kept) = find(address)? else { return Err(Error::NoToken) };
    if kept.expires_at <= Timestamp::now() {
        return Err(Error::SessionEnded { name: kept.name, at: kept.expires_at.to_string() });
    }
    Ok(kept.token.redacted().clone())
}

/// The session at `address`, ended or not.
pub(crate) fn find(address: &str) -> Result<Option<Kept>, Error> {
    Ok(read(&place()?)?.sessions.remove(&canonical(address)))
}

/// Keeps a session, in the place of the one before.
pub(crate) fn keep(address: &str, kept: Kept) -> Result<PathBuf, Error> {
    let path = place()?;
    let mut all = read(&path)?;
    all.sessions.insert(canonical(address), kept);
    write(&path, &all)?;
    Ok(path)
}

/// Forgets the session at `address`.
pub(crate) fn forget(address: &str) -> Result<(), Error> {
    let path = place()?;
    let mut all = read(&path)?;
    if all.sessions.remove(&canonical(address)).is_some() {
        write(&path, &all)?;
    }
    Ok(())
}

fn canonical(address: &str) -> String {
    address.trim_end_matches('/').to_lowercase()
}

/// The file that sessions are kept in, where there is one.
pub(crate) fn file() -> Option<PathBuf> {
    place().ok().filter(|it| it.exists())
}

/// Where the base-directory convention puts it
/// (<https://specifications.freedesktop.org/basedir-spec>).
fn place() -> Result<PathBuf, Error> {
    let directory =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|it: &PathBuf| it.is_absolute());
    let base =
        directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")));
    let base = base.ok_or_else(|| {
        Error::Start(
            "neither XDG_CONFIG_HOME nor HOME names a directory for the session".to_owned(),
        )
    })?;
    Ok(base.join("enclii/credentials.json"))
}

fn read(path: &Path) -> Result<Sessions, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let bytes = match fs::read(path).map(Zeroizing::new) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sessions::default()),
        Err(error) => return Err(failed(error)),
    };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::Usage(format!(
            "others can read {}: take their rights away (chmod 600), and log in anew if they did",
            path.display()
        )));
    }
    // A parser's message may quote a token, so only its place is told.
    serde_json::from_slice(&bytes).map_err(|error| Error::Manifest {
        path: path.to_owned(),
        reason: format!(
            "line {} column {} is not of the form; remove the file and log in again",
            error.line(),
            error.column()
        ),
    })
}

/// Whole or not at all: another file, which takes the place of the one before.
fn write(path: &Path, all: &Sessions) -> Result<(), Error> {
    #[derive(Serialize)]
    struct One<'a> {
        token: Text<'a>,
        expires_at: Timestamp,
        name: &'a str,
    }
    #[derive(Serialize)]
    struct File<'a> {
        sessions: BTreeMap<&'a str, One<'a>>,
    }
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let sessions = all
        .sessions
        .iter()
        .map(|(address, it)| {
            (
                address.as_str(),
                One { token: it.token.text(), expires_at: it.expires_at, name: &it.name },
            )
        })
        .collect();
    let text = serde_json::to_vec_pretty(&File { sessions })
        .map(Zeroizing::new)
        .map_err(|error| Error::Start(error.to_string()))?;
    let directory = path.parent().unwrap_or(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let beside = directory.join(format!(".credentials.{}", std::process::id()));
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(token: &str) -> Kept {
        Kept {
            token: token.parse().unwrap(),
            expires_at: "2100-01-01T00:00:00Z".parse().unwrap(),
            name: "ada".into(),
        }
    }

    #[test]
    fn what_is_kept_is_found_and_is_the_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("enclii/credentials.json");
        assert!(read(&path).unwrap().sessions.is_empty());
        let mut all = Sessions::default();
        all.sessions.insert(canonical("https://A.example:8443/"), kept("enclii_1"));
        write(&path, &all).unwrap();
        all.sessions.insert(canonical("https://b.example"), kept("enclii_2"));
        write(&path, &all).unwrap();
        let back = read(&path).unwrap().sessions;
        assert_eq!(back["https://a.example:8443"].token, kept("enclii_1").token);
        assert_eq!(back["https://b.example"].token, kept("enclii_2").token);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials.json");
        let write =
            |text: &str| fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        write("{}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("others can read"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write(r#"{"sessions":{"https://a":{"token":{"hunter2":1}}}}"#);
        let error = read(&path).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
