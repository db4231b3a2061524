//! The `ijepa` command: masks, recipes, checkpoints and features of I-JEPA.
//!
//! Every command turns its arguments into a few library calls and their result into a [`report::Report`].

mod args;
mod bug;
mod command;
mod error;
mod exit_code;
mod features;
mod memory;
mod picture;
mod progress;
mod report;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::CommonArgs;
use command::Command;

/// I-JEPA: look at masks, recipes and checkpoints, and compute features.
#[derive(Debug, Parser)]
#[command(name = "ijepa", version, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  ijepa embed --weights IN1K-vit.h.14-300e.pth.tar \
                        --data folder:photos --out photos.safetensors"
)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    ijepa_model::kernels::keep_freed_memory();
    let cli = Cli::parse();
    bug::record_panics();
    bug::guard(|| run(&cli))
}

fn run(cli: &Cli) -> ExitCode {
    let CommonArgs { json, verbose, .. } = cli.common;
    let printed = cli.command.run().and_then(|report| report.print(json));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::line(&error::describe(&error, verbose));
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn flags_are_consistent_and_every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            if command.get_name() == "help" {
                return;
            }
            let help = command.clone().render_long_help().to_string();
            let runs_itself = !command.has_subcommands() || command.get_after_help().is_some();
            assert!(!runs_itself || help.contains("Example:\n  ijepa"), "{path}");
            for sub in command.get_subcommands() {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        Cli::command().debug_assert();
        check(&Cli::command(), "ijepa");
    }

    /// A script can pass the same flags to every command.
    #[test]
    fn every_command_takes_the_common_flags() {
        fn check(command: &clap::Command) {
            let has = |flag: &&str| command.get_arguments().any(|arg| is_called(arg, flag));
            let common = [
                "json",
                "quiet",
                "verbose",
                "device",
                "precision",
                "threads",
                "seed",
                "workers",
                "batch-size",
            ];
            let missing: Vec<&str> = common.into_iter().filter(|flag| !has(flag)).collect();
            assert!(missing.is_empty(), "{}: {missing:?}", command.get_name());
            command
                .get_subcommands()
                .filter(|sub| sub.get_name() != "help")
                .for_each(check);
        }
        fn is_called(arg: &clap::Arg, name: &str) -> bool {
            let aliases = arg.get_visible_aliases().unwrap_or_default();
            arg.get_long() == Some(name) || aliases.contains(&name)
        }
        let mut command = Cli::command();
        command.build();
        check(&command);
    }
}
