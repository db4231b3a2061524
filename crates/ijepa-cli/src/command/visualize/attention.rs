//! `ijepa visualize attention`: where an encoder looks.

use clap::Args;
use ijepa_viz::{AttentionConfig, AttentionMap, attention};
use serde_json::json;

use super::shown::{ShownArgs, numbers};
use crate::{
    context::Context,
    error::CliError,
    features::{EncoderChoice, WeightsArgs},
    report::Report,
};

/// Show how much each patch is attended to: the image, the mean over all heads, each head
///
/// I-JEPA has no class token, so maps are means over the patches that ask, or the attention of one
/// of them with --query. Every panel spans its own range, dark to light; 1 is even attention.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa visualize attention --weights runs/nano \
    --data scenes:n=100,size=64 --out attention.png\n  \
    ijepa visualize attention --weights vith14 --data folder:photos --layer 20 --heads 0,3 \
    --query 7,9 --out attention.png"
)]
pub(crate) struct Attention {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]
    #[arg(long, value_enum)]
    encoder: Option<EncoderChoice>,
    #[command(flatten)]
    shown: ShownArgs,
    /// Block of the encoder, counted from 0 as in the names of its weights [default: the last]
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// Heads to show, counted from 0 [default: all]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    heads: Vec<usize>,
    /// Patch whose attention is shown, counted from 0 [default: mean over all patches]
    #[arg(long, value_name = "ROW,COL", value_parser = numbers::<2>)]
    query: Option<[usize; 2]>,
}

impl Attention {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let frozen = self.weights.load(self.encoder, context)?;
        let encoder = frozen.choice.name();
        let (picked, extraction) = self.shown.pick_for(&frozen, context)?;
        let config = AttentionConfig {
            extract: extraction.config,
            layer: self.layer,
            heads: self.heads.clone(),
            query: self.query,
            scale: self.shown.scale,
        };
        let drawn = attention(
            &frozen.encoder,
            &picked.images,
            &config,
            &context.compute()?.device,
        )?;
        let of = match self.query {
            Some([row, col]) => format!("of patch {row},{col}"),
            None => "mean over all patches".to_owned(),
        };
        let mut text = format!(
            "{encoder} encoder, layer {}, {of}; image, mean over the heads, then each head\n\
             panel: dark to light over even attention; mean distance in patches; patches attended\n",
            drawn.layer
        );
        for image in &drawn.images {
            text += &format!("{}\n{}", image.path, line("mean", &image.mean));
            for head in &image.heads {
                text += &line(&format!("head {}", head.head), &head.map);
            }
        }
        let json = json!({
            "encoder": encoder,
            "layer": drawn.layer,
            "query": self.query,
            "images": drawn.images,
        });
        let report = Report { text, json };
        self.shown
            .finish(&drawn.picture, &picked, &extraction, context, report)
    }
}

fn line(name: &str, map: &AttentionMap) -> String {
    let [least, most] = map.range;
    format!(
        "  {name:8} {least:.2} to {most:.2}; {:.1}; {:.1}\n",
        map.distance, map.patches_attended
    )
}
