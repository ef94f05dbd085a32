//! The encoded message that tells pods which generations to hold: built once, sent to every pod
//! that waits for it, then wiped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use contract::stream::{MessageError, ServerMessage, Snapshot};
use contract::{Generation, GenerationTag, Redacted};
use tokio::sync::OnceCell;

use crate::policy::MemberFilter;
use crate::repository::{Bundle, BundleId};
use crate::secrets::{Secrets, SecretsError};

/// What a pod should hold of one bundle.
#[derive(Clone, Debug)]
pub(crate) struct BundleSelection {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) generation: Generation,
    /// Which of the bundle's members the pod may read.
    pub(crate) filter: MemberFilter,
}

/// What a frame holds, in the order in which the pod named its bundles.
type FrameKey = Vec<(BundleId, Generation, Option<GenerationTag>, MemberFilter)>;

/// The frames that some stream is sending right now. A frame lives no longer than that.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrameCache(Arc<Mutex<HashMap<FrameKey, Weak<SharedFrame>>>>);

/// A frame, empty until it is built.
pub(crate) type SharedFrame = OnceCell<Redacted>;

/// Why a frame cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// A value cannot be opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The pod's bundles do not fit into one message.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl FrameCache {
    /// The frame for these generations. It is wiped when the last caller drops it.
    ///
    /// # Errors
    /// If a value cannot be opened or the message is too large.
    pub(crate) async fn frame(
        &self,
        secrets: &Secrets,
        selection: &[BundleSelection],
    ) -> Result<Arc<SharedFrame>, FrameError> {
        let key = selection.iter().map(|it| {
            let tag = it.bundle.tag_of(it.generation);
            (it.bundle.id, it.generation, tag, it.filter.clone())
        });
        let frame = self.slot(key.collect());
        frame
            .get_or_try_init(|| async {
                let mut snapshot = Snapshot::default();
                for BundleSelection { bundle, generation, filter } in selection {
                    // Boxed, so that those who wait for the frame hold no room for making it.
                    let opened = Box::pin(secrets.open(bundle, *generation, filter)).await?;
                    snapshot.bundles.push(opened);
                }
                Ok::<_, FrameError>(ServerMessage::Hold(snapshot).encode()?)
            })
            .await?;
        Ok(frame)
    }

    fn slot(&self, key: FrameKey) -> Arc<SharedFrame> {
        let mut frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = frames.get(&key).and_then(Weak::upgrade) {
            return frame;
        }
        frames.retain(|_, frame| frame.strong_count() > 0);
        let frame = Arc::new(SharedFrame::new());
        frames.insert(key, Arc::downgrade(&frame));
        frame
    }
}
