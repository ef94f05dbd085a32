//! The frame that tells pods what to hold: made once, sent to all who wait for it, then wiped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use contract::stream::{MessageError, ServerMessage, Snapshot};
use contract::{Generation, Redacted};
use tokio::sync::OnceCell;

use crate::policy::Which;
use crate::repository::{Bundle, BundleId};
use crate::secrets::{Secrets, SecretsError};

/// What a pod should hold of one bundle.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) bundle: Bundle,
    pub(super) generation: Generation,
    /// Which of its secrets.
    pub(super) which: Which,
}

/// Which generations a frame is about, in the order in which the pod named its bundles.
type Key = Vec<(BundleId, Generation, Which)>;

/// The frames that somebody has in hand right now. Nothing is kept beyond that.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds(Arc<Mutex<HashMap<Key, Weak<Frame>>>>);

/// A frame, or the place where it will be.
pub(super) type Frame = OnceCell<Redacted>;

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum HoldError {
    /// A value could not be opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The pod's bundles together are too much.
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl Holds {
    /// The frame for these generations. It stays for as long as its callers hold on to it.
    pub(super) async fn frame(
        &self,
        secrets: &Secrets,
        wanted: &[Wanted],
    ) -> Result<Arc<Frame>, HoldError> {
        let frame = self.place(
            wanted.iter().map(|it| (it.bundle.id, it.generation, it.which.clone())).collect(),
        );
        frame
            .get_or_try_init(|| async {
                let mut snapshot = Snapshot::default();
                for Wanted { bundle, generation, which } in wanted {
                    snapshot.bundles.push(secrets.open(bundle, *generation, which).await?);
                }
                Ok::<_, HoldError>(ServerMessage::Hold(snapshot).encode()?)
            })
            .await?;
        Ok(frame)
    }

    fn place(&self, key: Key) -> Arc<Frame> {
        let mut frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = frames.get(&key).and_then(Weak::upgrade) {
            return frame;
        }
        frames.retain(|_, frame| frame.strong_count() > 0);
        let frame = Arc::new(Frame::new());
        frames.insert(key, Arc::downgrade(&frame));
        frame
    }
}
