//! `ijepa convert`: from any kind of checkpoint to any other.

use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use ijepa_model::{
    Normalization,
    checkpoint::{EncoderRole, Format},
};
use ijepa_train::Recipe;
use serde_json::json;

use crate::{
    args,
    context::Context,
    error::CliError,
    report::{self, Report},
};

use super::inspect::kind;

/// Write a checkpoint in another format
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa convert IN1K-vit.h.14-300e.pth.tar vith14 --to hf")]
pub(crate) struct Convert {
    /// Run directory, native folder, official .pth.tar, Hugging Face folder, .safetensors or
    /// `hf:ORG/NAME[@REVISION][/FILE]`
    #[arg(value_name = "IN")]
    from: PathBuf,
    /// File (official, onnx) or folder (native, hf) to create
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Format to write
    #[arg(long, value_enum)]
    to: Kind,
    /// Encoder of a Hugging Face folder or an ONNX file [default: target, or the only one there is]
    #[arg(long, value_name = "ENCODER", value_parser = encoder())]
    encoder: Option<EncoderRole>,
    /// Licence that the model card of a Hugging Face folder or an ONNX file names, as the hub calls
    /// it, such as cc-by-nc-4.0 [default: what the card of IN says, else unknown]
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    /// Attention heads of an official file of unusual width, which does not record them
    #[arg(long, value_name = "N", value_parser = args::positive)]
    num_heads: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Native,
    Official,
    Hf,
    Onnx,
}

fn encoder() -> impl TypedValueParser<Value = EncoderRole> {
    let names = [EncoderRole::Target, EncoderRole::Context].map(EncoderRole::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<EncoderRole>())
}

impl Convert {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let one_encoder = matches!(self.to, Kind::Hf | Kind::Onnx);
        if self.encoder.is_some() && !one_encoder {
            return Err(CliError::EncoderOfWholeCheckpoint);
        }
        let given = self.license.is_some() && !one_encoder;
        args::refuse_given(&[("license", given)], "without --to hf or onnx")?;
        if self.out.exists() {
            return Err(CliError::Exists {
                path: self.out.clone(),
            });
        }
        let mut checkpoint = args::open_weights(&self.from, self.num_heads, context)?;
        checkpoint.check_finite()?;
        let statistics = checkpoint.normalization;
        if self.to == Kind::Official
            && let Some(other) = statistics.filter(|it| *it != Normalization::IMAGENET)
        {
            let Normalization { mean, std } = other;
            report::line(&format!(
                "warning: official files do not say how images are normalised: mean {mean:?}, std \
                 {std:?}; tell whoever uses it"
            ));
        }
        if let Some(decoding) = checkpoint
            .state
            .decoding
            .as_ref()
            .filter(|_| self.to != Kind::Native)
        {
            report::line(&format!(
                "warning: this format does not say how files were decoded in training: {decoding}; \
                 --orientation and --sixteen-bit read images so"
            ));
        }
        checkpoint.licence = self.license.clone().or(checkpoint.licence);
        let from = kind(checkpoint.kind);
        if self.to == Kind::Official {
            args::check_predicts(Recipe::of_checkpoint(&checkpoint)?.as_ref())?;
        }
        let role = self.encoder.unwrap_or(checkpoint.feature_role());
        let (format, to) = match self.to {
            Kind::Native => (Format::Native, "native"),
            Kind::Official => (Format::Official, "official"),
            Kind::Hf => (Format::HuggingFace(role), "hugging_face"),
            Kind::Onnx => (Format::Onnx(role), "onnx"),
        };
        checkpoint.save(&self.out, format, &args::host_device()?)?;
        let encoder = one_encoder.then_some(role.name());
        let which = encoder.map(|encoder| format!(", {encoder} encoder"));
        Ok(Report {
            text: format!(
                "wrote {} ({from} to {to}{})\n",
                self.out.display(),
                which.unwrap_or_default()
            ),
            json: json!({"from": from, "to": to, "encoder": encoder, "out": self.out.to_string_lossy()}),
        })
    }
}
