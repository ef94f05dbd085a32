//! The command of a container: the agent's program comes before it.

use contract::layout::EXEC_WORDS;

use crate::app_container::AppContainer;
use crate::diagnostics::{Diagnostics, Violation};
use crate::pod_patch::PodPatch;

/// Has the program start the command. Its words are inserted, so that no word of the command is
/// copied into the patch.
pub(crate) fn patch(app: &AppContainer<'_>, diagnostics: &mut Diagnostics, patch: &mut PodPatch) {
    let command = app.container.command.as_deref().unwrap_or_default();
    let is_ours = |words: &[crate::pod::JsonStr<'_>]| {
        words.iter().zip(EXEC_WORDS).all(|(word, ours)| **word == *ours)
    };
    // Another webhook may have put a program of its own before ours.
    let found = command.windows(EXEC_WORDS.len()).position(is_ours);
    match found {
        _ if command.is_empty() => {
            diagnostics.deny(Violation::ExecWithoutCommand { at: app.at(format_args!("")) });
        }
        Some(at) if at + EXEC_WORDS.len() == command.len() => {
            diagnostics.deny(Violation::ExecWithoutCommand { at: app.at(format_args!("")) });
        }
        Some(_) => {}
        None => {
            let first = app.path.field("command").element(0);
            let words = EXEC_WORDS.into_iter().rev();
            words.for_each(|word| patch.add(&first, word));
        }
    }
}
