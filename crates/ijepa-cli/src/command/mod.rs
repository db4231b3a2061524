//! One file a command: its flags and its report.

mod ablate;
mod bench;
mod completions;
mod convert;
mod data;
mod devices;
mod embed;
mod finetune;
mod inspect;
mod knn;
mod man;
mod masks;
mod pretrain;
mod probe;
#[cfg(feature = "hub")]
mod push;
mod recipes;
mod report;
mod search;
mod serve;
mod study;
mod sweep;
mod visualize;
#[cfg(feature = "hub")]
mod weights;

use clap::Subcommand;

use crate::{context::Context, error::CliError, report::Report};

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
    #[cfg(feature = "hub")]
    #[command(subcommand)]
    Weights(weights::Weights),
    #[cfg(feature = "hub")]
    Push(push::Push),
    Embed(embed::Embed),
    Search(search::Search),
    Serve(serve::Serve),
    Devices(devices::Devices),
    #[command(subcommand)]
    Data(data::Data),
    #[command(subcommand)]
    Visualize(visualize::Visualize),
    #[command(subcommand)]
    Bench(bench::Bench),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        match self {
            Self::Pretrain(command) => command.run(context),
            Self::Knn(command) => command.run(context),
            Self::Report(command) => command.run(context.alone("report")?),
            Self::Sweep(command) => command.run(context.alone("sweep")?),
            Self::Ablate(command) => command.run(context.alone("ablate")?),
            Self::Probe(command) => command.run(context),
            Self::Finetune(command) => command.run(context),
            Self::Masks(command) => command.run(context.alone("masks")?),
            Self::Recipes(command) => command.run(context.alone("recipes")?),
            Self::Inspect(command) => command.run(context.alone("inspect")?),
            Self::Convert(command) => command.run(context.alone("convert")?),
            Self::Embed(command) => command.run(context),
            Self::Search(command) => command.run(context.alone("search")?),
            #[cfg(feature = "hub")]
            Self::Weights(command) => command.run(context.alone("weights")?),
            #[cfg(feature = "hub")]
            Self::Push(command) => command.run(context.alone("push")?),
            Self::Serve(command) => command.run(context.alone("serve")?),
            Self::Devices(command) => command.run(context.alone("devices")?),
            Self::Data(command) => command.run(context.alone("data")?),
            Self::Visualize(command) => command.run(context.alone("visualize")?),
            Self::Bench(command) => command.run(context),
            Self::Completions(command) => command.run(context.alone("completions")?),
            Self::Man(command) => command.run(context.alone("man")?),
        }
    }
}
