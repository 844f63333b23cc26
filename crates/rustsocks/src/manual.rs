//! What is made of the command line's own description: shell completions and man pages.

use std::path::Path;
use std::process::ExitCode;

use clap::{Command, ValueEnum};
use clap_complete::Shell;

use crate::cli::{complain, say};

/// Shells that completions can be made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions for a shell.
pub(crate) fn completions(shell: CompletedShell, mut command: Command) -> ExitCode {
    let shell = match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "rustsocks", &mut script);
    say(&String::from_utf8_lossy(&script), ExitCode::SUCCESS)
}

/// Writes a man page for each command into a folder.
pub(crate) fn man_pages(folder: &Path, command: Command) -> ExitCode {
    let written =
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    match written {
        Ok(()) => say(&format!("{}: man pages written\n", folder.display()), ExitCode::SUCCESS),
        Err(error) => {
            complain(&format_args!("{}: {error}", folder.display()));
            ExitCode::from(4)
        }
    }
}
