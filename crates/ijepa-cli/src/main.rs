//! The `ijepa` command: masks, recipes, checkpoints and features of I-JEPA.
//!
//! Every command turns its arguments into a few library calls and their result into a [`report::Report`].

mod args;
mod atomic_file;
mod bug;
mod command;
mod error;
mod exit_code;
mod features;
mod memory;
mod picture;
mod progress;
mod report;

use std::process::ExitCode;

use clap::Parser;

use command::Command;

/// I-JEPA: look at masks, recipes and checkpoints, and compute features.
#[derive(Debug, Parser)]
#[command(name = "ijepa", version, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  ijepa embed --weights IN1K-vit.h.14-300e.pth.tar \
                        --data folder:photos --out photos.safetensors"
)]
struct Cli {
    /// Print the result as one JSON object on stdout; everything else goes to stderr
    #[arg(long, global = true)]
    json: bool,
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
    let printed = cli.command.run().and_then(|report| report.print(cli.json));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::line(&error::describe(&error));
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
}
