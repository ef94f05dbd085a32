//! Renders files from the pod's secrets. The ready formats are pure; templates are another
//! program's.

mod format;
mod template;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use contract::agent_config::Files;
use contract::rendered::{Contents, MAX_TEMPLATE_BYTES, RenderedFile};
use contract::rendering::TemplateError;
use contract::{FileName, Redacted, SecretName};

pub use format::FormatError;
pub use template::{Renderer, RendererError};

/// The secrets, by the names of their files.
pub type Secrets = BTreeMap<FileName, Redacted>;

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
        file: String,
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

/// What a pod is to have, with the templates read from where the configuration says.
///
/// # Errors
/// When a template is unreadable, not UTF-8 or too long.
pub fn load(wanted: &Files) -> Result<Files, ReadTemplateError> {
    let load = |it: &RenderedFile| {
        let Contents::TemplateFile(path) = &it.contents else { return Ok(it.clone()) };
        let failed =
            |source| ReadTemplateError { file: it.file.clone(), path: path.clone(), source };
        let text = read(path).map_err(failed)?;
        Ok(RenderedFile { file: it.file.clone(), contents: Contents::Template(text) })
    };
    let rendered = wanted.rendered.iter().map(load).collect::<Result<_, _>>()?;
    Ok(Files { rendered, ..wanted.clone() })
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let limit = MAX_TEMPLATE_BYTES as u64;
    if File::open(path)?.take(limit + 1).read_to_string(&mut text)? as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// The bytes of each file in a ready format, from the secrets alone.
///
/// # Errors
/// When the secrets cannot be written in a format, or one of them has the name of a file.
pub fn ready_formats(files: &[RenderedFile], secrets: &Secrets) -> Result<Secrets, RenderError> {
    let mut found = Secrets::new();
    for RenderedFile { file, contents } in files {
        let name = FileName::from(file);
        if secrets.contains_key(&name) {
            return Err(RenderError::NameTaken(file.clone()));
        }
        if let Contents::Format(ready) = contents {
            let failed = |source| RenderError::Format { file: file.clone(), source };
            found.insert(name, format::render(*ready, secrets).map_err(failed)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use contract::annotations::FileMode;
    use contract::rendered::Format;

    use super::*;

    fn file(name: &str, contents: Contents) -> RenderedFile {
        RenderedFile { file: name.parse().unwrap(), contents }
    }

    #[test]
    fn formats_are_rendered_from_the_secrets_alone() {
        let name = FileName::from(&"A".parse::<SecretName>().unwrap());
        let secrets = Secrets::from([(name, Redacted::new(b"x".to_vec()))]);
        let files = [
            file("a.env", Contents::Format(Format::Dotenv)),
            file("b.json", Contents::Format(Format::Json)),
            file("c", Contents::Template("<{{ A }}>".to_owned())),
        ];
        let found = ready_formats(&files, &secrets).unwrap();
        let found: Vec<_> = found.iter().map(|(name, it)| (name.as_str(), it.expose())).collect();
        let expected: [(&str, &[u8]); 2] =
            [("a.env", b"A='x'\n"), ("b.json", b"{\n  \"A\": \"x\"\n}\n")];
        assert_eq!(found, expected);
        for contents in [Contents::Format(Format::Json), Contents::Template(String::new())] {
            let error = ready_formats(&[file("A", contents)], &secrets).unwrap_err();
            assert!(error.to_string().contains("a secret of the pod's bundles has that name"));
        }
    }

    #[test]
    fn templates_are_read_again_for_each_generation() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("t");
        let template = Contents::TemplateFile(path.to_str().unwrap().to_owned());
        let mut files = Files::new("/run/secrets".to_owned(), FileMode::OWNER);
        files.rendered = vec![file("c", template)];
        assert!(load(&files).unwrap_err().to_string().starts_with("read template of c from"));
        for text in ["one {{ A }}", "two {{ A }}"] {
            io::Write::write_all(&mut File::create(&path).unwrap(), text.as_bytes()).unwrap();
            let expected = [file("c", Contents::Template(text.to_owned()))];
            assert_eq!(load(&files).unwrap().rendered, expected);
        }
        let long = "x".repeat(MAX_TEMPLATE_BYTES + 1);
        io::Write::write_all(&mut File::create(&path).unwrap(), long.as_bytes()).unwrap();
        assert!(load(&files).is_err());
    }
}
