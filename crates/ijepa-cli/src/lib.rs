//! The `ijepa` command: pretrains and evaluates I-JEPA.
//!
//! [`run`] is all of it, for programs of other names, such as the one of the Python package; a
//! library user calls the crates below, since every command only turns its arguments into a few
//! library calls and their result into text or JSON.

mod args;
mod bug;
mod command;
mod context;
#[cfg(test)]
#[cfg(unix)]
mod documented;
mod error;
mod exit_code;
mod features;
mod home;
#[cfg(feature = "hub")]
mod hub;
mod memory;
mod picture;
mod progress;
mod ranks;
mod report;
mod signals;

use std::{
    ffi::OsString,
    io::{self, Write},
    sync::Arc,
};

use clap::{CommandFactory, FromArgMatches, Parser};
use ijepa_train::ranks::Ranks;

use command::Command;
use context::Context;

/// Pretrain and evaluate I-JEPA image encoders, compute features with them and see what they learn
#[derive(Debug, Parser)]
#[command(name = "ijepa", version, arg_required_else_help = true)]
#[command(
    after_help = "Examples:\n  ijepa pretrain --recipe scenes_vit_nano --data scenes:n=20000,size=32 --out runs/nano\n  ijepa embed --weights IN1K-vit.h.14-300e.pth.tar \
                        --data folder:photos --out photos.safetensors"
)]
struct Cli {
    #[command(flatten)]
    context: Context,
    #[command(subcommand)]
    command: Command,
}

/// Carries out a command line, whose first argument is the program's name, and gives its exit code.
///
/// Panics of this process are recorded instead of printed from then on, and commands that train take
/// over its signals; a second Ctrl-C ends it.
pub fn run<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> u8 {
    ijepa_model::kernels::keep_freed_memory();
    let home = ijepa_model::files::home();
    let arguments = arguments.into_iter();
    let arguments = arguments.map(|argument| home::expanded(argument.into(), home.as_deref()));
    let matches = command().try_get_matches_from(arguments);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return answered(&error),
    };
    bug::record_panics();
    let ranks = match ijepa_train::ranks::start() {
        Ok(ranks) => ranks,
        Err(error) => {
            report::line(&format!("error: {error}"));
            return exit_code::USAGE;
        }
    };
    let code = bug::guard(|| carry_out(cli, &ranks));
    ranks::end(ranks.as_ref(), code)
}

/// Prints what the parser says instead of a command: help, the version or what is wrong.
fn answered(error: &clap::Error) -> u8 {
    // Nobody is left to be told that this cannot be printed.
    let _ = error.print().and_then(|()| io::stdout().flush());
    match error.use_stderr() {
        true => exit_code::USAGE,
        false => exit_code::SUCCESS,
    }
}

/// The command line; a number below 0 is a wrong value of its flag, not another flag.
pub(crate) fn command() -> clap::Command {
    with_negative_numbers(Cli::command())
}

fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    });
    let names = command.get_subcommands().map(clap::Command::get_name);
    let names: Vec<String> = names.map(str::to_owned).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, with_negative_numbers)
    })
}

/// Carries out the command and says what came of it; the exit code.
fn carry_out(mut cli: Cli, ranks: &Arc<dyn Ranks>) -> u8 {
    cli.context.train_with(Arc::clone(ranks));
    let Context { json, verbose, .. } = cli.context;
    let report = cli.command.run(&cli.context);
    let printed = report.and_then(|report| match cli.context.leads() {
        true => report.print(json),
        false => Ok(()),
    });
    match printed {
        Ok(()) => exit_code::SUCCESS,
        Err(error) => {
            if ranks::speaks(ranks.as_ref(), &error) {
                let what = error::describe(&error, verbose);
                report::line(&format!("{what}{}", ranks::signature(ranks.as_ref())));
            }
            error.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::command;

    /// With the common flags in every command.
    fn built() -> clap::Command {
        let mut command = command();
        command.build();
        command
    }

    #[test]
    fn flags_are_consistent_and_every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            if command.get_name() == "help" {
                return;
            }
            let help = command.clone().render_long_help().to_string();
            let runs_itself = !command.has_subcommands() || command.get_after_help().is_some();
            let examples = ["Example:\n  ijepa", "Examples:\n  ijepa"];
            let has_one = examples.iter().any(|example| help.contains(example));
            assert!(!runs_itself || has_one, "{path}");
            for sub in command.get_subcommands() {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        command().debug_assert();
        check(&built(), "ijepa");
    }

    /// A script can pass the same flags to every command, and no command gives one another meaning.
    #[test]
    fn every_command_takes_the_common_flags() {
        fn common(command: &clap::Command) -> Vec<&str> {
            let heading = |arg: &clap::Arg| arg.get_help_heading() == Some("Common flags");
            let common = command.get_arguments().filter(|arg| heading(arg));
            common.filter_map(clap::Arg::get_long).collect()
        }
        fn check(command: &clap::Command) {
            let expected = [
                "json",
                "quiet",
                "verbose",
                "device",
                "precision",
                "threads",
                "seed",
                "workers",
                "io-depth",
                "retries",
                "batch-size",
            ];
            assert_eq!(common(command), expected, "{}", command.get_name());
            command
                .get_subcommands()
                .filter(|sub| sub.get_name() != "help")
                .for_each(check);
        }
        check(&built());
    }
}
