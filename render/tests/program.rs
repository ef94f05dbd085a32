//! The program, and what it is never to say.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::Write as _;
use std::process::{Command, ExitStatus, Stdio};

use contract::rendering::{
    RenderAnswer, RenderRequest, RenderSecret, RenderTemplate, TemplateErrorKind, TemplateLanguage,
};
use contract::stream::frame::{self, Decoder};
use contract::vault_template::VaultTemplateOptions;

/// What the program ends with, writes, and says of errors.
struct Ended {
    status: ExitStatus,
    said: Vec<u8>,
    errors: String,
}

fn run(input: &[u8]) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_enclii-render"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that has seen enough may have ended.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    Ended { status: output.status, said: output.stdout, errors }
}

fn request(secrets: &[(&str, &[u8])], template: &str) -> Vec<u8> {
    let listed = secrets
        .iter()
        .map(|(name, value)| RenderSecret { name: (*name).to_owned(), bytes: value.len() });
    let header = RenderRequest { secrets: listed.collect(), templates: 1 };
    let values: Vec<&[u8]> = secrets.iter().map(|(_, value)| *value).collect();
    let first = frame::encode(&serde_json::to_vec(&header).unwrap(), &values);
    let header = RenderTemplate { file: "app.ini".into(), language: TemplateLanguage::Jinja };
    let header = serde_json::to_vec(&header).unwrap();
    let second = frame::encode(&header, &[template.as_bytes()]);
    [first.expose(), second.expose()].concat()
}

fn answer(output: &Ended) -> (RenderAnswer, Vec<u8>) {
    assert!(output.status.success(), "{}", output.errors);
    let mut decoder = Decoder::default();
    decoder.push(&output.said);
    let frame = decoder.next_frame().unwrap().unwrap();
    (serde_json::from_slice(&frame.header).unwrap(), frame.body.expose().to_vec())
}

#[test]
fn help_and_version() {
    let output = |word: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_enclii-render")).arg(word).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(output("--help").1.contains("Usage: enclii-render"));
    assert_eq!(output("--version"), (Some(0), "enclii-render 0.1.0\n".to_owned()));
    assert_eq!(output("app.ini").0, Some(2));
}

#[test]
fn as_much_as_a_pod_may_have_fits() {
    let value = vec![b'x'; 1 << 20];
    let names: Vec<String> = (0..8).map(|at| format!("N{at}")).collect();
    let secrets: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_slice())).collect();
    let (found, file) = answer(&run(&request(&secrets, "{{ N7 }}")));
    assert_eq!(found.error, None);
    assert!(file == value, "{} bytes", file.len());
}

#[test]
fn errors_name_the_line_and_show_no_value() {
    let output = run(&request(&[("A", b"canary")], "\n{{ A.canary }}{{ A[A] }}"));
    let (found, file) = answer(&output);
    let error = found.error.unwrap();
    assert_eq!((error.line, error.kind), (2, TemplateErrorKind::other("undefined value")));
    assert!(file.is_empty() && output.errors.is_empty());
}

#[test]
fn a_request_that_is_none_is_refused_and_not_quoted() {
    for input in [Vec::new(), b"canary".to_vec(), frame::encode(b"canary", &[]).expose().to_vec()] {
        let Ended { status, said, errors } = run(&input);
        assert_eq!((status.code(), said.as_slice()), (Some(1), &b""[..]), "{errors}");
        assert!(errors.starts_with("enclii-render: read request"), "{errors}");
        assert!(!errors.contains("canary"), "{errors}");
    }
}

#[test]
fn a_template_that_multiplies_text_ends_the_program_alone() {
    let doubled = "{{ $x := \"canary\" }}".to_owned() + &"{{ $x = print $x $x }}".repeat(26);
    let header = RenderRequest { secrets: Vec::new(), templates: 1 };
    let first = frame::encode(&serde_json::to_vec(&header).unwrap(), &[]);
    let language = TemplateLanguage::Vault(VaultTemplateOptions::default());
    let header = RenderTemplate { file: "app.ini".into(), language };
    let second = frame::encode(&serde_json::to_vec(&header).unwrap(), &[doubled.as_bytes()]);
    let output = run(&[first.expose(), second.expose()].concat());
    assert!(!output.status.success(), "it had the memory");
    assert!(output.said.is_empty());
    assert!(!output.errors.contains("canary"), "{}", output.errors);
}
