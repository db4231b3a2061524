//! `ijepa visualize rcdm check`: whether a decoder listens to its vectors.

use clap::Args;
use ijepa_viz::rcdm::{Acceptance, accept};
use serde_json::{Value, json};

use super::made::MadeArgs;
use crate::{
    args::at_least_two,
    context::Context,
    error::CliError,
    features::{skipped_json, skipped_text},
    report::Report,
};

/// Test on images that it was not trained on whether a decoder follows its vectors
///
/// Three tests: the noise is found better with an image's own vector than with another's; images
/// made of a vector are nearer to it than to others when they are looked at again; they differ
/// less from each other than images made of nothing. A test that fails is reported, not an error.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa visualize rcdm check --decoder runs/decoder --weights runs/nano \
        --data cifar10:cifar-10/test --json"
)]
pub(crate) struct Check {
    #[command(flatten)]
    made: MadeArgs,
    /// Images to test with, spread over the data, at least 2
    #[arg(long, value_name = "N", default_value = "64", value_parser = at_least_two)]
    images: usize,
    /// Images made of each vector, at least 2
    #[arg(long, value_name = "K", default_value = "4", value_parser = at_least_two)]
    samples: usize,
}

impl Check {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let made = self.made.open(self.images, self.samples, context)?;
        let (compute, decoder) = (context.compute()?, &made.decoder);
        let found = accept(
            decoder,
            &made.conditioner,
            &made.shown,
            self.samples,
            made.sampling,
            &compute.device,
        )?;
        let mut json = json!(found);
        if let Value::Object(json) = &mut json {
            json.insert("passed".to_owned(), found.passed().into());
            json.insert("skipped".to_owned(), skipped_json(&made.shown.skipped));
            json.insert("condition".to_owned(), json!(decoder.config().condition));
            json.insert("device".to_owned(), compute.spec.to_string().into());
        }
        Ok(Report {
            text: text(&found) + &skipped_text(&made.shown.skipped),
            json,
        })
    }
}

fn text(found: &Acceptance) -> String {
    let verdict = |passed: bool| if passed { "passed" } else { "FAILED" };
    let noise = found.noise_error;
    let mut text = format!(
        "{}  error of the noise: own vector {:.5}, another's {:.5}, none {:.5}\n",
        verdict(noise.passed),
        noise.own,
        noise.other,
        noise.none,
    );
    text += &match found.similarity {
        Some(similar) => format!(
            "{}  cosine with the own vector {:.3}, with others {:.3}; nearest is own {:.1} %\n",
            verdict(similar.passed),
            similar.own,
            similar.others,
            100.0 * similar.nearest_is_own,
        ),
        None => "-       cosine: vectors of a file cannot be taken again\n".to_owned(),
    };
    let variance = found.variance;
    text + &format!(
        "{}  variance of a pixel: of one vector {:.4}, of nothing {:.4}\n",
        verdict(variance.passed),
        variance.conditional,
        variance.unconditional,
    )
}
