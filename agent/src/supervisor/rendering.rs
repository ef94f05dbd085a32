//! Templates are rendered before a generation is looked at and written.

use std::future::{Future, pending};
use std::pin::Pin;

use contract::agent_config::Files;
use contract::stream::{AgentMessage, FailedStep};
use tokio::time::Instant;

use super::{Supervisor, log_fields};
use crate::error::error_chain;
use crate::plan::{FileContents, PlannedSecrets};
use crate::render::RendererError;
use crate::schedule;

/// A generation of which no files are made yet.
#[derive(Debug)]
pub(super) struct PlannedFiles {
    /// The files that the pod is to have, with its templates read.
    pub(super) wanted: Files,
    pub(super) secrets: PlannedSecrets,
    pub(super) received_at: Instant,
}

/// A generation whose templates are rendered. A newer one replaces it.
pub(super) struct Rendering {
    planned: PlannedFiles,
    texts: Pin<Box<dyn Future<Output = Result<FileContents, RendererError>> + Send>>,
}

impl Supervisor {
    /// Renders the templates of a generation, if it has any, and goes on with it.
    pub(super) fn render(&mut self, planned: PlannedFiles) {
        self.rendering = None;
        match self.renderer.render(&planned.wanted.rendered, planned.secrets.values()) {
            Some(texts) => self.rendering = Some(Rendering { planned, texts: Box::pin(texts) }),
            None => self.use_rendered(planned, FileContents::new()),
        }
    }

    /// Goes on with the generation, or keeps the files that are there.
    pub(super) fn finish_rendering(&mut self, texts: Result<FileContents, RendererError>) {
        let Some(Rendering { planned, .. }) = self.rendering.take() else { return };
        match texts {
            Ok(texts) => self.use_rendered(planned, texts),
            Err(RendererError::Template(error)) => {
                let detail = format!("plan files: {error}");
                self.reject(planned.secrets.held().to_vec(), detail);
            }
            Err(error @ RendererError::Program(_)) => self.not_rendered(planned, &error),
        }
    }

    /// The program may have what it needs another time.
    fn not_rendered(&mut self, planned: PlannedFiles, error: &RendererError) {
        let detail = error_chain(error);
        let wanted = planned.secrets.held().to_vec();
        self.last_reason.clone_from(&detail);
        self.status.not_written(&detail);
        tracing::error!(
            bundle = log_fields::bundles(&wanted),
            generation = log_fields::generations(&wanted),
            error = detail,
            "templates not rendered, the current files stay"
        );
        // Says nothing of the generation: one that failed to be planned is not sent again.
        self.report(AgentMessage::Failed { wanted, step: FailedStep::Write, detail });
        self.unrendered = Some((planned, Instant::now() + schedule::WRITE_RETRY_INTERVAL));
    }

    pub(super) fn retry_rendering(&mut self) {
        if let Some((planned, _)) = self.unrendered.take() {
            self.render(planned);
        }
    }
}

/// Waits for the templates, or forever if there are none.
pub(super) async fn rendering_finished(
    rendering: &mut Option<Rendering>,
) -> Result<FileContents, RendererError> {
    match rendering {
        Some(rendering) => rendering.texts.as_mut().await,
        None => pending().await,
    }
}
