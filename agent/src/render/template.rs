//! Files that templates make, by a program of its own that runs only while it renders.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use contract::layout::{MAX_POD_BYTES, RENDER_PROGRAM};
use contract::rendered::{Contents, MAX_FILES, RenderedFile};
use contract::rendering::{
    MAX_ANSWER_HEADER_BYTES, RenderAnswer, RenderRequest, RenderSecret, RenderTemplate,
    TemplateLanguage,
};
use contract::stream::frame::{self, Decoder};
use contract::{FileName, Redacted};
use serde::Serialize;

use super::{RenderError, Secrets};
use crate::helper::{self, HelperError};

/// The time for all templates of a pod: half a million steps each take a fraction of a second,
/// unless the agent hardly gets any of the processor.
const RENDER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer: the files, and what is said of each.
const MAX_OUTPUT_BYTES: usize = MAX_POD_BYTES + MAX_FILES * (8 + MAX_ANSWER_HEADER_BYTES);

/// What renders templates.
#[derive(Clone, Debug)]
pub struct Renderer {
    program: PathBuf,
}

/// Why no template was rendered.
#[derive(Debug, thiserror::Error)]
pub enum RendererError {
    /// A template, which fails as often as it is tried.
    #[error(transparent)]
    Template(#[from] RenderError),
    /// The program, which may do it later.
    #[error("render templates")]
    Program(#[from] HelperError),
}

/// Renders with the program that lies beside the agent's own, as [`RENDER_PROGRAM`] does in the
/// image.
impl Default for Renderer {
    fn default() -> Self {
        let name = Path::new(RENDER_PROGRAM).file_name().unwrap_or_default();
        let beside = std::env::current_exe().ok().map(|agent| agent.with_file_name(name));
        Self::new(beside.unwrap_or_else(|| RENDER_PROGRAM.into()))
    }
}

impl Renderer {
    /// Renders with another program than the image's, for tests.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// The files that templates make of the secrets; `None` if there are no templates.
    pub fn render(
        &self,
        files: &[RenderedFile],
        secrets: &Secrets,
    ) -> Option<impl Future<Output = Result<Secrets, RendererError>> + Send + use<>> {
        let templates: Vec<_> = files.iter().filter_map(template).collect();
        if templates.is_empty() {
            return None;
        }
        let program = self.program.clone();
        let names: Vec<_> = templates.iter().map(|(file, ..)| file.clone()).collect();
        let input = request(&templates, secrets);
        Some(async move {
            let input = input.ok_or(HelperError::Answer)?;
            let answer = helper::ask(&program, input, (MAX_OUTPUT_BYTES, RENDER_TIMEOUT)).await?;
            read_answer(&names, &answer)
        })
    }
}

/// A file that a template makes, with the template's language and text.
type Template<'a> = (FileName, TemplateLanguage, &'a str);

fn template(file: &RenderedFile) -> Option<Template<'_>> {
    let (language, text) = match &file.contents {
        Contents::Template(text) => (TemplateLanguage::Jinja, text.as_str()),
        Contents::VaultTemplate(template) => {
            (TemplateLanguage::Vault(template.options.clone()), template.text.as_str())
        }
        // One that was not read is a file's name.
        Contents::TemplateFile(_) | Contents::Format(_) => return None,
    };
    Some((FileName::from(&file.file), language, text))
}

/// What the program gets.
fn request(templates: &[Template<'_>], secrets: &Secrets) -> Option<Redacted> {
    fn header(header: &impl Serialize) -> Option<Vec<u8>> {
        serde_json::to_vec(header).ok()
    }
    let listed = secrets.iter().map(|(name, value)| RenderSecret::new(name, value.len()));
    let request = RenderRequest { secrets: listed.collect(), templates: templates.len() };
    let values: Vec<&[u8]> = secrets.values().map(Redacted::expose).collect();
    let mut frames = vec![frame::encode(&header(&request)?, &values)];
    for (file, language, text) in templates {
        let (file, language) = (file.as_str().to_owned(), language.clone());
        let header = header(&RenderTemplate { file, language })?;
        frames.push(frame::encode(&header, &[text.as_bytes()]));
    }
    let mut input = Vec::with_capacity(frames.iter().map(Redacted::len).sum());
    frames.iter().for_each(|frame| input.extend_from_slice(frame.expose()));
    Some(Redacted::new(input))
}

/// The files of an answer, which has one for each template or the first that fails.
fn read_answer(names: &[FileName], answer: &Redacted) -> Result<Secrets, RendererError> {
    let mut decoder = Decoder::default();
    decoder.push(answer.expose());
    let mut files = Secrets::new();
    for name in names {
        let frame = decoder.next_frame().ok().flatten().ok_or(HelperError::Answer)?;
        let RenderAnswer { file, error } =
            serde_json::from_slice(&frame.header).map_err(|_| HelperError::Answer)?;
        if file != name.as_str() {
            return Err(HelperError::Answer.into());
        }
        if let Some(source) = error {
            return Err(RenderError::Template { file, source }.into());
        }
        files.insert(name.clone(), frame.body);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use contract::SecretName;
    use contract::rendered::Format;
    use contract::rendering::{TemplateError, TemplateErrorKind};

    use super::*;
    use crate::error::error_chain;
    use crate::helper::stand_in::script;

    fn write(path: &Path, bytes: &[u8]) {
        io::Write::write_all(&mut fs::File::create(path).unwrap(), bytes).unwrap();
    }

    fn secrets() -> Secrets {
        let name = FileName::from(&"A".parse::<SecretName>().unwrap());
        Secrets::from([(name, Redacted::from(b"canary".as_slice()))])
    }

    fn files(names: &[&str]) -> Vec<RenderedFile> {
        let contents = || Contents::Template("<{{ A }}>".to_owned());
        let file = |name: &&str| RenderedFile { file: name.parse().unwrap(), contents: contents() };
        names.iter().map(file).collect()
    }

    fn answer(file: &str, error: Option<TemplateErrorKind>, bytes: &[u8]) -> Vec<u8> {
        let error = error.map(|kind| TemplateError { line: 3, kind });
        let header = serde_json::to_vec(&RenderAnswer { file: file.to_owned(), error }).unwrap();
        frame::encode(&header, &[bytes]).expose().to_vec()
    }

    #[tokio::test]
    async fn the_program_gets_secrets_and_templates_and_makes_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let (seen, said) = (folder.path().join("seen"), folder.path().join("said"));
        let answers = [answer("x", None, b"1"), answer("y", None, b"")].concat();
        write(&said, &answers);
        let program = script(&folder, &format!("cat >{}; cat {}", seen.display(), said.display()));
        let renderer = Renderer::new(program);
        let found = renderer.render(&files(&["x", "y"]), &secrets()).unwrap().await.unwrap();
        let found: Vec<_> = found.iter().map(|(name, it)| (name.as_str(), it.expose())).collect();
        assert_eq!(found, [("x", &b"1"[..]), ("y", b"")]);
        let mut decoder = Decoder::default();
        decoder.push(&fs::read(&seen).unwrap());
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push((frame.header, frame.body.expose().to_vec()));
        }
        let template = |file: &str| RenderTemplate {
            file: file.to_owned(),
            language: TemplateLanguage::Jinja,
        };
        let listed = vec![RenderSecret { name: "A".to_owned(), bytes: 6 }];
        assert_eq!(
            frames,
            [
                (json(&RenderRequest { secrets: listed, templates: 2 }), b"canary".to_vec()),
                (json(&template("x")), b"<{{ A }}>".to_vec()),
                (json(&template("y")), b"<{{ A }}>".to_vec()),
            ]
        );
    }

    fn json(message: &impl Serialize) -> Vec<u8> {
        serde_json::to_vec(message).unwrap()
    }

    #[tokio::test]
    async fn a_template_that_fails_is_told_from_a_program_that_does() {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let kind = || Some(TemplateErrorKind::TooLong);
        for (answers, expected) in [
            (
                [answer("x", None, b"1"), answer("y", kind(), b"")].concat(),
                "render template y: line 3: it takes more than 500000 steps",
            ),
            (answer("x", None, b"canary"), "render templates: the program's answer is none"),
            (answer("y", None, b"canary"), "render templates: the program's answer is none"),
            (b"canary".to_vec(), "render templates: the program's answer is none"),
        ] {
            write(&said, &answers);
            let program = script(&folder, &format!("cat >/dev/null; cat {}", said.display()));
            let renderer = Renderer::new(program);
            let result = renderer.render(&files(&["x", "y"]), &secrets()).unwrap().await;
            let error = result.unwrap_err();
            assert_eq!(error_chain(&error), expected);
            let is_template = matches!(error, RendererError::Template(_));
            assert_eq!(is_template, expected.contains("line 3"));
        }
        let renderer = Renderer::new("/nowhere".into());
        let error = renderer.render(&files(&["x"]), &secrets()).unwrap().await.unwrap_err();
        assert!(error_chain(&error).starts_with("render templates: start /nowhere: "));
        let contents = Contents::Format(Format::Json);
        let ready = RenderedFile { file: "x".parse().unwrap(), contents };
        assert!(renderer.render(&[ready], &secrets()).is_none());
    }
}
