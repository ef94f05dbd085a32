//! Readiness by name: an operator sees *what* a process is still waiting for.
//!
//! Each part that must be up before traffic has a [`Gate`]; the process is ready when all gates are
//! open. A gate may close again, for instance when a certificate expires, and open again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All gates of a process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    gates: Arc<Mutex<Vec<Gate>>>,
    notes: Arc<Mutex<Vec<Note>>>,
    stopping: Arc<AtomicBool>,
}

/// One condition that a process waits for. Clones share the condition.
#[derive(Clone, Debug)]
pub struct Gate {
    name: &'static str,
    open: Arc<AtomicBool>,
}

/// Something that an operator should know and that keeps no process from being ready. Clones share
/// it.
#[derive(Clone, Debug)]
pub struct Note {
    text: &'static str,
    is_set: Arc<AtomicBool>,
}

impl Note {
    /// Shows the note.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Release);
    }

    /// Hides it.
    pub fn clear(&self) {
        self.is_set.store(false, Ordering::Release);
    }
}

impl Readiness {
    /// The name that [`Readiness::pending`] has for a shutdown.
    pub const STOPPING: &str = "shutting down";

    /// No gates yet: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a closed gate, or returns the existing gate of that name.
    pub fn gate(&self, name: &'static str) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.iter().find(|gate| gate.name == name) {
            return gate.clone();
        }
        let gate = Gate { name, open: Arc::new(AtomicBool::new(false)) };
        gates.push(gate.clone());
        gate
    }

    /// Adds a note, hidden.
    pub fn note(&self, text: &'static str) -> Note {
        let note = Note { text, is_set: Arc::new(AtomicBool::new(false)) };
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note.clone());
        note
    }

    /// The notes that are shown.
    pub fn notes(&self) -> Vec<&'static str> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = notes.iter().filter(|note| note.is_set.load(Ordering::Acquire));
        shown.map(|note| note.text).collect()
    }

    /// Makes the process not ready for good.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// The names of the closed gates, in the order they were made. Empty means ready.
    pub fn pending(&self) -> Vec<&'static str> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = gates.iter().filter(|gate| !gate.is_ready());
        let stopping = self.stopping.load(Ordering::Acquire);
        stopping.then_some(Self::STOPPING).into_iter().chain(closed.map(|gate| gate.name)).collect()
    }

    /// Whether no gate is closed and the process is not stopping.
    pub fn is_ready(&self) -> bool {
        self.pending().is_empty()
    }
}

impl Gate {
    /// The name an operator sees.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Opens the gate.
    pub fn ready(&self) {
        if !self.open.swap(true, Ordering::AcqRel) {
            tracing::info!(gate = self.name, "ready");
        }
    }

    /// Closes the gate.
    pub fn not_ready(&self) {
        if self.open.swap(false, Ordering::AcqRel) {
            tracing::warn!(gate = self.name, "no longer ready");
        }
    }

    /// Whether the gate is open.
    pub fn is_ready(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let (certificate, store) = (readiness.gate("certificate"), readiness.gate("store"));
        assert_eq!(readiness.pending(), ["certificate", "store"]);
        certificate.ready();
        assert_eq!(readiness.pending(), ["store"]);
        store.ready();
        assert!(readiness.is_ready());
        certificate.not_ready();
        assert_eq!(readiness.pending(), ["certificate"]);
    }

    #[test]
    fn a_note_is_shown_while_it_is_set_and_closes_nothing() {
        let readiness = Readiness::new();
        let note = readiness.note("an old file is in force");
        assert!(readiness.notes().is_empty());
        note.set();
        assert_eq!(
            (readiness.notes(), readiness.is_ready()),
            (vec!["an old file is in force"], true)
        );
        note.clear();
        assert!(readiness.notes().is_empty());
    }

    #[test]
    fn one_name_is_one_gate() {
        let readiness = Readiness::new();
        readiness.gate("store").ready();
        assert!(readiness.gate("store").is_ready());
        assert_eq!(readiness.pending(), [""; 0]);
    }

    #[test]
    fn never_ready_again_once_stopping() {
        let readiness = Readiness::new();
        readiness.gate("store").ready();
        readiness.stop();
        assert_eq!(readiness.pending(), [Readiness::STOPPING]);
    }
}
