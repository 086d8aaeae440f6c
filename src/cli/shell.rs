//! What shells and man read: completions and the manual page.

use std::io::{self, Write};

use clap::{Command, ValueEnum};
use clap_complete::Shell as Target;

/// Shells with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions of a shell.
pub(super) fn completions(shell: Shell, mut command: Command, out: &mut impl Write) -> io::Result<()> {
    let target = match shell {
        Shell::Bash => Target::Bash,
        Shell::Zsh => Target::Zsh,
        Shell::Fish => Target::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(target, &mut command, "scx-lint", &mut script);
    // clap_complete 4.6 takes the dash in a program's name for the bound between commands in one half of the bash script and
    // not in the other, so that nothing after a subcommand would be completed.
    let script = String::from_utf8_lossy(&script).replace("scx__subcmd__lint", "scx__lint");
    out.write_all(script.as_bytes())
}

/// Prints the manual page, in roff: the options, then each subcommand's.
pub(super) fn man(command: Command, out: &mut impl Write) -> io::Result<()> {
    let subcommands: Vec<Command> = command.get_subcommands().cloned().collect();
    let page = clap_mangen::Man::new(command).source(concat!("scx-lint ", env!("CARGO_PKG_VERSION")));
    page.render(out)?;
    for subcommand in subcommands {
        if subcommand.get_name() == "help" {
            continue;
        }
        let name = subcommand.get_name().to_owned();
        let page = clap_mangen::Man::new(subcommand.bin_name(format!("scx-lint {name}")));
        writeln!(out, ".SH \"SCX-LINT {}\"", name.to_uppercase())?;
        page.render_description_section(out)?;
        page.render_synopsis_section(out)?;
        page.render_options_section(out)?;
    }
    Ok(())
}
