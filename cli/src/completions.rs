//! `enclii completions`.

use clap::ValueHint;
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
    cli: &clap::Command,
    output: &Output,
) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut offered(cli), "enclii", &mut script);
    output.bytes(&script)
}

/// What completions offer of a command: no hidden argument, and files only where a path is meant.
fn offered(command: &clap::Command) -> clap::Command {
    let arguments = command.get_arguments().filter(|it| !it.is_hide_set()).map(|argument| {
        let is_other_text = argument.get_action().takes_values()
            && argument.get_possible_values().is_empty()
            && argument.get_value_hint() == ValueHint::Unknown;
        match is_other_text {
            true => argument.clone().value_hint(ValueHint::Other),
            false => argument.clone(),
        }
    });
    let commands = command.get_subcommands().filter(|it| !it.is_hide_set()).map(offered);
    let about = command.get_about().cloned().unwrap_or_default();
    // Clap takes only static names. This process prints one script and ends.
    let name: &'static str = command.get_name().to_owned().leak();
    let shown = clap::Command::new(name).about(about).args(arguments).subcommands(commands);
    match command.get_version() {
        Some(_) => shown.version(env!("CARGO_PKG_VERSION")),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn nothing_hidden_is_offered() {
        fn check(command: &clap::Command) {
            assert!(command.get_arguments().all(|it| !it.is_hide_set()), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        let cli = crate::args::Cli::command();
        offered(&cli).debug_assert();
        assert!(cli.get_arguments().any(|it| it.is_hide_set()), "nothing is hidden at all");
        check(&offered(&cli));
    }
}
