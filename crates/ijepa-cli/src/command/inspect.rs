//! `ijepa inspect`: what a checkpoint holds.

use std::{fmt::Write, path::PathBuf};

use clap::Args;
use ijepa_model::{
    Checkpoint, CheckpointError, Target, VisionTransformerConfig,
    checkpoint::{CheckpointKind, Mismatch, Moments, StateDict, TrainingState},
};
use serde_json::{Value, json};

use crate::{args, context::Context, error::CliError, report::Report};

/// Say what a checkpoint holds and whether it fits an architecture
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa inspect IN1K-vit.h.14-300e.pth.tar --arch vit_h14")]
pub(crate) struct Inspect {
    /// Run directory, native folder, official .pth.tar, Hugging Face folder, .safetensors or
    /// `hf:ORG/NAME[@REVISION][/FILE]`
    path: PathBuf,
    /// Architecture to compare the encoders with, such as vit_h14 [default: the sizes found]
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// Attention heads of an official file of unusual width, which does not record them [default:
    /// those of --arch]
    #[arg(long, value_name = "N", value_parser = args::positive)]
    num_heads: Option<usize>,
}

impl Inspect {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let named = self.arch.as_deref().map(args::variant).transpose()?;
        let checkpoint = self.open(named.as_ref(), context)?;
        let expected = expected(named, &checkpoint.encoder_config);
        let mismatches = checkpoint.mismatches(&expected, &args::host_device()?);
        // What does not fit is said without reading it, as it is not loaded either.
        if mismatches.iter().all(|(_, mismatch)| mismatch.is_empty()) {
            checkpoint.check_finite()?;
            checkpoint.check_moments()?;
        }
        Ok(Report {
            text: self.text(&checkpoint, &mismatches, context.verbose),
            json: self.json(&checkpoint, &mismatches),
        })
    }

    /// The checkpoint; what nothing says of its heads are those of the architecture `named`.
    fn open(
        &self,
        named: Option<&VisionTransformerConfig>,
        context: &Context,
    ) -> Result<Checkpoint, CheckpointError> {
        match (
            args::open_weights(&self.path, self.num_heads, context),
            named,
        ) {
            (Err(unknown @ CheckpointError::NumHeads { .. }), Some(named)) => {
                let opened = args::open_weights(&self.path, Some(named.num_heads), context);
                // Of another width, which these heads need not divide.
                opened.map_err(|_| unknown)
            }
            (opened, _) => opened,
        }
    }

    fn text(
        &self,
        checkpoint: &Checkpoint,
        mismatches: &[(&str, Mismatch)],
        verbose: bool,
    ) -> String {
        let mut text = format!(
            "{}\nkind           {}\nsizes          {}\n",
            checkpoint.path.display(),
            kind(checkpoint.kind),
            sizes(&checkpoint.encoder_config)
        );
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:14} {value}");
        };
        if let Some(predictor) = &checkpoint.predictor_config {
            let (dim, depth) = (predictor.dim, predictor.depth);
            let target = match predictor.target {
                Target::Features => "features",
                Target::Pixels => "pixels",
            };
            let sizes = format!("width {dim}, {depth} blocks, predicts {target}");
            line("predictor", sizes);
        }
        let state = &checkpoint.state;
        line("epoch", or_unknown(epochs(state)));
        line("step", or_unknown(state.step));
        line("recipe", yes_or_no(state.recipe.is_some()));
        if !state.own_parts.is_empty() {
            line("program's own", state.own_parts.join(", "));
        }
        line("optimizer", optimizer(checkpoint.moments.as_ref()));
        line("scaler", yes_or_no(state.scaler.is_some()));
        for (name, dict) in checkpoint.state_dicts() {
            let (tensors, parameters) = (dict.len(), parameters(dict));
            line(name, format!("{tensors} tensors, {parameters} parameters"));
            if verbose {
                for (name, tensor) in dict.iter() {
                    line("", format!("{name} {:?}", tensor.shape()));
                }
            }
        }
        let against = match &self.arch {
            Some(arch) => arch.as_str(),
            None => "its own sizes",
        };
        for (name, mismatch) in mismatches {
            if mismatch.is_empty() {
                line("fit", format!("{name} fits {against}"));
            } else {
                line("fit", format!("{name} does not fit {against}:"));
                for difference in mismatch.lines() {
                    line("", difference);
                }
            }
        }
        text
    }

    fn json(&self, checkpoint: &Checkpoint, mismatches: &[(&str, Mismatch)]) -> Value {
        let state = &checkpoint.state;
        let networks = checkpoint.state_dicts().map(|(name, dict)| {
            let tensor = |(name, tensor): (&str, &ijepa_model::checkpoint::LazyTensor)| {
                json!({"name": name, "shape": tensor.shape()})
            };
            let tensors: Vec<Value> = dict.iter().map(tensor).collect();
            json!({"name": name, "parameters": parameters(dict), "tensors": tensors})
        });
        let fit = mismatches.iter().map(|(name, mismatch)| {
            let misshaped = mismatch.misshaped.iter().map(
                |(name, found, expected)| json!({"name": name, "found": found, "expected": expected}),
            );
            json!({
                "network": name,
                "missing": mismatch.missing,
                "unexpected": mismatch.unexpected,
                "misshaped": misshaped.collect::<Vec<Value>>(),
            })
        });
        json!({
            "path": checkpoint.path.to_string_lossy(),
            "kind": checkpoint.kind,
            "encoder": checkpoint.encoder_config,
            "predictor": checkpoint.predictor_config,
            "epoch": epochs(state),
            "step": state.step,
            "recipe": state.recipe,
            "own_parts": state.own_parts,
            "optimizer": checkpoint.moments.as_ref().map(|moments| {
                json!({"step": moments.step, "tensors": moments.tensors.len()})
            }),
            "scaler": state.scaler,
            "normalization": checkpoint.normalization,
            "resize": checkpoint.resize,
            "warnings": checkpoint.warnings,
            "networks": networks.collect::<Vec<Value>>(),
            "arch": self.arch,
            "fits": mismatches.iter().all(|(_, mismatch)| mismatch.is_empty()),
            "mismatches": fit.collect::<Vec<Value>>(),
        })
    }
}

/// The sizes that encoders of the sizes `found` are compared with.
fn expected(
    named: Option<VisionTransformerConfig>,
    found: &VisionTransformerConfig,
) -> VisionTransformerConfig {
    let Some(named) = named else {
        return found.clone();
    };
    // An architecture has no image size of its own.
    let resized = named.clone().with_image_size(found.image_size);
    match resized.grid() {
        Ok(_) => resized,
        Err(_) => named,
    }
}

/// Trainable values: positions are fixed.
fn parameters(dict: &StateDict) -> usize {
    dict.iter()
        .filter(|(name, _)| !name.ends_with("pos_embed"))
        .map(|(_, tensor)| tensor.shape().iter().product::<usize>())
        .sum()
}

pub(super) fn kind(kind: CheckpointKind) -> &'static str {
    match kind {
        CheckpointKind::Native => "native",
        CheckpointKind::Official => "official",
        CheckpointKind::HuggingFace => "hugging_face",
    }
}

fn sizes(config: &VisionTransformerConfig) -> String {
    let [height, width] = config.image_size;
    format!(
        "width {}, {} blocks, {} heads, {height}x{width} images, patches of {}",
        config.embed_dim, config.depth, config.num_heads, config.patch_size
    )
}

fn optimizer(moments: Option<&Moments>) -> String {
    moments.map_or_else(
        || "no".to_owned(),
        |moments| {
            format!(
                "{} moments after {} updates",
                moments.tensors.len(),
                moments.step
            )
        },
    )
}

/// Completed epochs of a run; weights alone do not say.
fn epochs(state: &TrainingState) -> Option<u64> {
    let is_run = state.epoch > 0 || state.step.is_some();
    is_run.then_some(state.epoch)
}

fn or_unknown(value: Option<u64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
