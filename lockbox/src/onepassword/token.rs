//! Connect's access token, from its file to the header.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use contract::Redacted;
use reqwest::header::HeaderValue;
use runtime::bearer;

use super::config::SetupError;

/// The token, and the file that it comes from. The header value is marked sensitive, so `Debug`
/// does not print it.
#[derive(Debug)]
pub(super) struct Token {
    file: PathBuf,
    header: RwLock<HeaderValue>,
}

impl Token {
    pub(super) fn read(file: PathBuf) -> Result<Self, SetupError> {
        let header = RwLock::new(header(&file)?);
        Ok(Self { file, header })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.header.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again. Returns whether its token differs from `refused`.
    pub(super) fn renew(&self, refused: &HeaderValue) -> bool {
        match header(&self.file) {
            Ok(header) if header != *refused => {
                *self.header.write().unwrap_or_else(PoisonError::into_inner) = header;
                true
            }
            _ => false,
        }
    }
}

fn header(file: &Path) -> Result<HeaderValue, SetupError> {
    let token = std::fs::read(file)
        .map(Redacted::new)
        .map_err(|source| SetupError::Read { path: file.to_owned(), source })?;
    let token = token.expose().trim_ascii();
    if token.is_empty() {
        return Err(SetupError::Token(file.to_owned()));
    }
    bearer::header_value(token).map_err(|_| SetupError::Token(file.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn write(file: &Path, text: &str) {
        std::fs::File::create(file).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_new_token_in_the_file_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        assert!(matches!(Token::read(file.clone()), Err(SetupError::Read { .. })));
        for bad in ["", "  \n", "a\u{1}b"] {
            write(&file, bad);
            assert!(matches!(Token::read(file.clone()), Err(SetupError::Token(_))), "{bad:?}");
        }
        write(&file, "secret-token\n");
        let token = Token::read(file.clone()).unwrap();
        assert!(!format!("{token:?}").contains("secret-token"));
        let refused = token.header();
        assert!(!token.renew(&refused));
        write(&file, "another");
        assert!(token.renew(&refused));
        assert_eq!(token.header(), "Bearer another");
    }
}
