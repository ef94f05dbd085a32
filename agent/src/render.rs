//! Renders files from the pod's secrets. Pure, but for the reading of templates.

mod format;
mod template;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use contract::rendered::{Contents, MAX_TEMPLATE_BYTES, RenderedFile};
use contract::{FileName, Redacted, SecretName};

pub use format::FormatError;
pub use template::TemplateError;

/// The secrets, by the names of their files.
type Secrets = BTreeMap<FileName, Redacted>;

/// Why a file was not rendered. Holds names, and never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A format that cannot hold the values.
    #[error("render file {file}: {source}")]
    Format {
        /// The file.
        file: SecretName,
        /// Why.
        source: FormatError,
    },
    /// The template.
    #[error("render template {file}: {source}")]
    Template {
        /// The file.
        file: SecretName,
        /// Why.
        source: TemplateError,
    },
    /// A secret has a file of that name.
    #[error("render file {0}: a secret of the pod's bundles has that name; rename the file")]
    NameTaken(SecretName),
}

/// A template could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read template of {file} from {path}")]
pub struct ReadTemplateError {
    file: SecretName,
    path: String,
    source: io::Error,
}

/// The files with their templates, read from where the configuration says.
///
/// # Errors
/// When a template is unreadable, not UTF-8 or too long.
pub fn load(files: &[RenderedFile]) -> Result<Vec<RenderedFile>, ReadTemplateError> {
    let load = |it: &RenderedFile| {
        let Contents::TemplateFile(path) = &it.contents else { return Ok(it.clone()) };
        let failed =
            |source| ReadTemplateError { file: it.file.clone(), path: path.clone(), source };
        let text = read(path).map_err(failed)?;
        Ok(RenderedFile { file: it.file.clone(), contents: Contents::Template(text) })
    };
    files.iter().map(load).collect()
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let limit = MAX_TEMPLATE_BYTES as u64;
    if File::open(path)?.take(limit + 1).read_to_string(&mut text)? as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// The bytes of one file.
///
/// # Errors
/// When the secrets cannot be written in the format, or the template fails.
pub fn render(file: &RenderedFile, secrets: &Secrets) -> Result<Redacted, RenderError> {
    let name = || file.file.clone();
    let format = |format| {
        format::render(format, secrets)
            .map_err(|source| RenderError::Format { file: name(), source })
    };
    match &file.contents {
        Contents::Format(ready) => format(*ready),
        Contents::Template(text) => template::render(text, secrets)
            .map_err(|source| RenderError::Template { file: name(), source }),
        Contents::TemplateFile(_) => {
            Err(RenderError::Template { file: name(), source: TemplateError::NotRead })
        }
    }
}
