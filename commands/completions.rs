//! `dbgate completions` and `dbgate man`: files for packages, made from the description of the
//! command line.
//!
//! Their output is checked in under `completions/`. The scripts are static but for one function in
//! each, for values of arguments: when TAB is pressed it asks this program ([`live`]), which asks a
//! running gateway.

mod command_line;
mod fixed;
mod live;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::out;

/// The first word of a command line that a shell, not a person, has made.
const LIVE: &str = "__complete";

/// Answers a shell that asks what the gateway knows of the word under the cursor; `None` where the
/// command line is a person's.
pub(crate) fn live() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != LIVE {
        return None;
    }
    let words: Vec<OsString> = words.collect();
    Some(live::print(&words))
}

/// Prints the completions of one shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dbgate", &mut script);
    let script = with_live(args.shell, &String::from_utf8_lossy(&script));
    out::print(&script).context("cannot write the completions")?;
    Ok(ExitCode::SUCCESS)
}

/// The script with the function that asks the gateway, and the places where it is called.
fn with_live(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => {
            let asked = script.replacen(
                "    prev=\"$3\"\n",
                "    prev=\"$3\"\n    _dbgate_live \"${cur}\" && return 0\n",
                1,
            );
            include_str!("completions/live.bash").to_owned() + &asked
        }
        // Two colons would take all that follows for further values, options included.
        Shell::Zsh => script.replace("'*::", "'*:").replacen(
            "_dbgate() {\n",
            &format!(
                "{}_dbgate() {{\n    _dbgate_live && return 0\n",
                include_str!("completions/live.zsh")
            ),
            1,
        ),
        Shell::Fish => {
            let mut asked = include_str!("completions/live.fish").to_owned();
            for line in script.lines() {
                asked += line;
                // The value of an option for which clap knows neither words nor files.
                if line.ends_with(" -r") {
                    asked += " -f -a \"(__fish_dbgate_live)\"";
                }
                asked += "\n";
            }
            asked + "complete -c dbgate -f -a \"(__fish_dbgate_live)\"\n"
        }
        // These have what clap makes.
        _ => script.to_owned(),
    }
}

/// Writes one man page for each command.
pub(crate) fn man(args: &ManArgs) -> Result<ExitCode> {
    std::fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir))
        .with_context(|| format!("cannot write man pages to {}", args.dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
