//! Frames in, frames out.

use std::io::{self, Read, Write};

use contract::Redacted;
use contract::layout::{MAX_POD_BYTES, MAX_VALUE_BYTES};
use contract::rendered::{MAX_FILES, MAX_TEMPLATE_BYTES};
use contract::rendering::{
    RenderAnswer, RenderRequest, RenderSecret, RenderTemplate, TemplateError, TemplateLanguage,
};
use contract::stream::frame::{self, Frame, FrameError};
use zeroize::Zeroizing;

use crate::{Secrets, jinja, vault};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The input broke off.
    #[error("read request")]
    Read(#[source] io::Error),
    /// Longer than any request.
    #[error("read request")]
    Frame(#[from] FrameError),
    /// The parser's text might quote the request.
    #[error("read request: a header is not what the agent sends")]
    Header,
    /// More than a pod may have.
    #[error("read request: it is over the limits of a pod")]
    Long,
    /// The output is closed.
    #[error("write answer")]
    Write(#[source] io::Error),
}

/// The secrets of a request, whose templates follow.
pub struct Request {
    secrets: Secrets,
    templates: usize,
}

impl Request {
    /// The length of the values together, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.secrets.values().map(Redacted::len).sum()
    }
}

/// Reads what comes before the templates.
///
/// # Errors
/// When the input is no request.
pub fn read_request(input: &mut impl Read) -> Result<Request, ExchangeError> {
    let Frame { header, body } = read(input)?;
    let RenderRequest { secrets: listed, templates } =
        serde_json::from_slice(&header).map_err(|_| ExchangeError::Header)?;
    if templates > MAX_FILES {
        return Err(ExchangeError::Long);
    }
    let secrets = secrets(listed, &body).ok_or(ExchangeError::Header)?;
    Ok(Request { secrets, templates })
}

/// Reads the templates and writes an answer to each, until one fails.
///
/// # Errors
/// When the input is no request, or the output is closed. A template that fails is an answer.
pub fn answer(
    request: &Request,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<(), ExchangeError> {
    let Request { secrets, templates } = request;
    for _ in 0..*templates {
        let Frame { header, body } = read(input)?;
        let RenderTemplate { file, language } =
            serde_json::from_slice(&header).map_err(|_| ExchangeError::Header)?;
        if body.len() > MAX_TEMPLATE_BYTES {
            return Err(ExchangeError::Long);
        }
        let text = std::str::from_utf8(body.expose()).map_err(|_| ExchangeError::Header)?;
        let (error, bytes) = match render(&language, text, secrets) {
            Ok(bytes) => (None, bytes),
            Err(error) => (Some(error), Redacted::default()),
        };
        let has_failed = error.is_some();
        let answer = RenderAnswer { file, error };
        let header = serde_json::to_vec(&answer).map_err(|_| ExchangeError::Header)?;
        let frame = frame::encode(&header, &[bytes.expose()]);
        output.write_all(frame.expose()).map_err(ExchangeError::Write)?;
        if has_failed {
            break;
        }
    }
    output.flush().map_err(ExchangeError::Write)
}

/// The bytes of one file.
fn render(
    language: &TemplateLanguage,
    text: &str,
    secrets: &Secrets,
) -> Result<Redacted, TemplateError> {
    match language {
        TemplateLanguage::Jinja => jinja::render(text, secrets),
        TemplateLanguage::Vault(options) => vault::render(text, options, secrets),
    }
}

/// The secrets that a body holds, if it holds just these.
fn secrets(listed: Vec<RenderSecret>, body: &Redacted) -> Option<Secrets> {
    let mut rest = body.expose();
    let mut secrets = Secrets::new();
    for RenderSecret { name, bytes } in listed {
        let (value, after) = rest.split_at_checked(bytes)?;
        if value.len() > MAX_VALUE_BYTES {
            return None;
        }
        secrets.insert(name, Redacted::from(value));
        rest = after;
    }
    rest.is_empty().then_some(secrets)
}

/// The next frame, in memory of just its size.
fn read(input: &mut impl Read) -> Result<Frame, ExchangeError> {
    let mut lengths = [0; 8];
    input.read_exact(&mut lengths).map_err(ExchangeError::Read)?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let length = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    let (header, body) = (length([a, b, c, d]), length([e, f, g, h]));
    if header > frame::MAX_HEADER_BYTES {
        return Err(FrameError::Header(header).into());
    }
    if body > MAX_POD_BYTES {
        return Err(FrameError::Body(body).into());
    }
    let mut read = |length| {
        let mut bytes = Zeroizing::new(vec![0; length]);
        input.read_exact(&mut bytes).map_err(ExchangeError::Read)?;
        Ok::<_, ExchangeError>(std::mem::take(&mut *bytes))
    };
    Ok(Frame { header: read(header)?, body: Redacted::new(read(body)?) })
}

#[cfg(test)]
mod tests {
    use contract::rendering::TemplateErrorKind;
    use contract::stream::frame::Decoder;

    use super::*;

    fn request(secrets: &[(&str, &[u8])], templates: &[(&str, &str)]) -> Vec<u8> {
        let listed = secrets
            .iter()
            .map(|(name, value)| RenderSecret { name: (*name).to_owned(), bytes: value.len() });
        let header = RenderRequest { secrets: listed.collect(), templates: templates.len() };
        let values: Vec<&[u8]> = secrets.iter().map(|(_, value)| *value).collect();
        let header = serde_json::to_vec(&header).unwrap();
        let mut input = frame::encode(&header, &values).expose().to_vec();
        for (file, text) in templates {
            let file = (*file).to_owned();
            let header = RenderTemplate { file, language: TemplateLanguage::Jinja };
            let header = serde_json::to_vec(&header).unwrap();
            input.extend_from_slice(frame::encode(&header, &[text.as_bytes()]).expose());
        }
        input
    }

    fn exchange(mut input: &[u8], output: &mut Vec<u8>) -> Result<(), ExchangeError> {
        let request = read_request(&mut input)?;
        answer(&request, &mut input, output)
    }

    fn answers(input: &[u8]) -> Vec<(RenderAnswer, String)> {
        let mut output = Vec::new();
        exchange(input, &mut output).unwrap();
        let mut decoder = Decoder::default();
        decoder.push(&output);
        let mut found = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            let text = String::from_utf8(frame.body.expose().to_vec()).unwrap();
            found.push((serde_json::from_slice(&frame.header).unwrap(), text));
        }
        found
    }

    #[test]
    fn each_template_has_an_answer_until_one_fails() {
        let secrets: &[(&str, &[u8])] = &[("A", b"1"), ("B", b""), ("C", b"\xff")];
        let found = answers(&request(
            secrets,
            &[("x", "<{{ A }}{{ B }}>"), ("y", "y"), ("z", "\n{{ C }}"), ("w", "w")],
        ));
        let kind = TemplateErrorKind::NotText { name: "C".to_owned() };
        let answer = |file: &str, error| RenderAnswer { file: file.to_owned(), error };
        assert_eq!(
            found,
            [
                (answer("x", None), "<1>".to_owned()),
                (answer("y", None), "y".to_owned()),
                (answer("z", Some(TemplateError { line: 2, kind })), String::new()),
            ]
        );
        assert!(answers(&request(secrets, &[])).is_empty());
    }

    #[test]
    fn what_is_no_request_is_refused_without_being_quoted() {
        let whole = request(&[("A", b"canary")], &[("x", "canary {{ A }}")]);
        let mut longer = request(&[("A", b"canary")], &[]);
        longer[7] += 1;
        longer.push(b'x');
        for input in [
            &b""[..],
            &whole[..5],
            &whole[..20],
            &whole[..whole.len() - 1],
            &longer,
            &[0xff; 8],
            &[0, 0, 0, 2, 0x7f, 0, 0, 0],
            frame::encode(b"{\"canary\":1}", &[]).expose(),
            frame::encode(b"{\"secrets\":[],\"templates\":17}", &[]).expose(),
        ] {
            let error = exchange(input, &mut Vec::new()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }
}
