//! Arguments about the content of a file of secrets, and the file itself.

use std::path::{Path, PathBuf};

use contract::SecretName;

use crate::error::Error;
use crate::file_formats::{self, FileFormat, KeyRules, ParsedFile, ReadOptions};
use crate::input;

/// Which secret each key of a file becomes.
#[derive(Debug, clap::Args)]
pub(super) struct KeyArgs {
    /// Store the file's key OLD as the secret NEW, for a key that cannot be a name; may be given
    /// several times.
    #[arg(long, value_name = "OLD=NEW", value_parser = parse_rename)]
    rename: Vec<(String, SecretName)>,
    /// Leave out this key of the file; may be given several times.
    #[arg(long, value_name = "KEY")]
    skip: Vec<String>,
}

impl KeyArgs {
    pub(super) fn is_empty(&self) -> bool {
        self.rename.is_empty() && self.skip.is_empty()
    }

    /// Reads a file. `literal` takes the ciphertext of other tools as values.
    pub(super) fn read(
        self,
        path: &Path,
        format: Option<FileFormat>,
        literal: bool,
    ) -> Result<ParsedFile, Error> {
        let keys = KeyRules::new(self.rename, self.skip).map_err(Error::Usage)?;
        let options = ReadOptions { format, keys, literal };
        file_formats::read(input::file(path)?.expose(), &options, path)
            .map_err(|reason| Error::Parse { path: PathBuf::from(path), reason })
    }
}

fn parse_rename(text: &str) -> Result<(String, SecretName), String> {
    // A name has no '=', but a key may.
    let (key, name) = text.rsplit_once('=').ok_or("write OLD=NEW")?;
    let name = name.parse().map_err(|error: contract::name::NameError| error.to_string())?;
    Ok((key.to_owned(), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_are_parsed() {
        assert_eq!(parse_rename("a=b:c=D"), Ok(("a=b:c".to_owned(), "D".parse().unwrap())));
        assert!(parse_rename("A").is_err() && parse_rename("A=b:c").is_err());
    }
}
