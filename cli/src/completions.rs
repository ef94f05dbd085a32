//! `enclii completions`.

use clap_complete::Shell;

use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Install:
  bash        enclii completions bash > ~/.local/share/bash-completion/completions/enclii
  zsh         enclii completions zsh > ~/.zfunc/_enclii
              (with `fpath+=~/.zfunc` before compinit in ~/.zshrc)
  fish        enclii completions fish > ~/.config/fish/completions/enclii.fish
  elvish      enclii completions elvish >> ~/.config/elvish/rc.elv
  powershell  enclii completions powershell >> $PROFILE
Or for one session of bash:  source <(enclii completions bash)";

/// Print a shell's completion script.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// `cli` is the definition of the whole command line.
pub(crate) fn run(
    args: CompletionsArgs,
    mut cli: clap::Command,
    output: &Output,
) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "enclii", &mut script);
    output.bytes(&script)
}
