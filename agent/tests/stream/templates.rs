//! Templates are rendered by another program, and what it cannot render changes no file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use agent::render::Renderer;
use contract::rendered::{Contents, RenderedFile};
use contract::rendering::{RenderAnswer, TemplateError, TemplateErrorKind};
use contract::stream::{AgentMessage, FailedStep, frame};

use crate::pod::{Agent, Pod, applied, write};
use crate::server::{Server, Session, TestCa, snapshot};

/// A pod with the file `app.ini`. In place of the real program, which has tests of its own, there
/// is one that takes the request and gives the answer that lies beside it.
struct TemplatePod {
    pod: Pod,
    directory: tempfile::TempDir,
    session: Session,
    _server: Server,
    _agent: Agent,
}

impl TemplatePod {
    async fn start() -> Self {
        let (ca, pod, directory) = (TestCa::new(), Pod::new(), tempfile::tempdir().unwrap());
        let program = directory.path().join("render");
        write(&program, b"#!/bin/sh\ncat >/dev/null; exec cat \"$(dirname \"$0\")/answer\"\n");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let server = Server::start(&ca).await;
        let mut config = pod.config(server.address(), &ca.pem, "none");
        let contents = Contents::Template("a={{ A }}\n{{ B }}\n".to_owned());
        config.files.rendered = vec![RenderedFile { file: "app.ini".parse().unwrap(), contents }];
        let agent = Pod::start_rendering(config, Renderer::new(program));
        let (session, _) = server.session().await;
        Self { pod, directory, session, _server: server, _agent: agent }
    }

    fn answer_path(&self) -> PathBuf {
        self.directory.path().join("answer")
    }

    /// What the program says from now on.
    fn answer(&self, bytes: &[u8], error: Option<TemplateError>) {
        let answer = RenderAnswer { file: "app.ini".to_owned(), error };
        let header = serde_json::to_vec(&answer).unwrap();
        write(&self.answer_path(), frame::encode(&header, &[bytes]).expose());
    }

    async fn failure(&mut self, expected: FailedStep) -> String {
        let message = self.session.receive().await;
        let AgentMessage::Failed { step, detail, .. } = message else { panic!("{message:?}") };
        assert_eq!(step, expected);
        detail
    }
}

#[tokio::test]
async fn a_template_that_fails_keeps_the_last_good_files() {
    let mut it = TemplatePod::start().await;
    it.answer(b"a=one\nb\n", None);
    it.session.send(&snapshot(1, &[("A", b"one"), ("B", b"b")])).await;
    assert_eq!(applied(&it.session.receive().await).0, 1);
    assert_eq!(it.pod.file("app.ini").as_deref(), Some(&b"a=one\nb\n"[..]));

    let kind = TemplateErrorKind::Undefined { name: Some("B".to_owned()) };
    it.answer(b"", Some(TemplateError { line: 2, kind }));
    it.session.send(&snapshot(2, &[("A", b"two")])).await;
    let expected = "plan files: render template app.ini: line 2: B is not a secret of the pod's \
                    bundles";
    assert_eq!(it.failure(FailedStep::Plan).await, expected);
    assert_eq!(it.pod.file("A").as_deref(), Some(&b"one"[..]));

    it.answer(b"a=three\nc\n", None);
    it.session.send(&snapshot(3, &[("A", b"three"), ("B", b"c")])).await;
    assert_eq!(applied(&it.session.receive().await).0, 3);
    assert_eq!(it.pod.file("app.ini").as_deref(), Some(&b"a=three\nc\n"[..]));
    assert_eq!(it.pod.file("A").as_deref(), Some(&b"three"[..]));
}

#[tokio::test]
async fn a_program_that_fails_is_tried_again() {
    let mut it = TemplatePod::start().await;
    it.session.send(&snapshot(1, &[("A", b"one")])).await;
    // Switchyard sends again what could not be written, and not what cannot be planned.
    let failure = it.failure(FailedStep::Write).await;
    assert!(failure.starts_with("render templates: the program ended without"), "{failure}");
    assert!(it.pod.file("A").is_none());
    it.answer(b"a=one\n", None);
    // Its own time comes half a minute later.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(applied(&it.session.receive().await).0, 1);
    assert_eq!(it.pod.file("app.ini").as_deref(), Some(&b"a=one\n"[..]));
}
