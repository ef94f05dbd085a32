//! `enclii completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args;
use crate::error::Error;
use crate::output::Output;

const EXAMPLES: &str = "\
Install:
  bash        enclii completions bash > ~/.local/share/bash-completion/completions/enclii
  zsh         enclii completions zsh > ~/.zfunc/_enclii      (with `fpath+=~/.zfunc` before compinit in ~/.zshrc)
  fish        enclii completions fish > ~/.config/fish/completions/enclii.fish
  elvish      enclii completions elvish >> ~/.config/elvish/rc.elv
  powershell  enclii completions powershell >> $PROFILE
Or for one session of bash:  source <(enclii completions bash)";

/// Print a shell's completions.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::Args::command(), "enclii", &mut script);
    output.bytes(&script)
}
