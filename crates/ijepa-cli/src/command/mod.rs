//! One file a command: its flags and its report.

mod ablate;
mod bench;
mod convert;
mod devices;
mod embed;
mod finetune;
mod inspect;
mod knn;
mod masks;
mod pretrain;
mod probe;
mod recipes;
mod report;
mod study;
mod sweep;
mod visualize;

use clap::Subcommand;

use crate::{error::CliError, report::Report};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Pretrain(pretrain::Pretrain),
    Knn(knn::Knn),
    Report(report::ReportRuns),
    Sweep(sweep::Sweep),
    Ablate(ablate::Ablate),
    Probe(probe::Probe),
    Finetune(finetune::Finetune),
    Masks(masks::Masks),
    #[command(subcommand)]
    Recipes(recipes::Recipes),
    Inspect(inspect::Inspect),
    Convert(convert::Convert),
    Embed(embed::Embed),
    Devices(devices::Devices),
    #[command(subcommand)]
    Visualize(visualize::Visualize),
    #[command(subcommand)]
    Bench(bench::Bench),
}

impl Command {
    pub(crate) fn run(&self) -> Result<Report, CliError> {
        match self {
            Self::Pretrain(command) => command.run(),
            Self::Knn(command) => command.run(),
            Self::Report(command) => command.run(),
            Self::Sweep(command) => command.run(),
            Self::Ablate(command) => command.run(),
            Self::Probe(command) => command.run(),
            Self::Finetune(command) => command.run(),
            Self::Masks(command) => command.run(),
            Self::Recipes(command) => command.run(),
            Self::Inspect(command) => command.run(),
            Self::Convert(command) => command.run(),
            Self::Embed(command) => command.run(),
            Self::Devices(command) => command.run(),
            Self::Visualize(command) => command.run(),
            Self::Bench(command) => command.run(),
        }
    }
}
