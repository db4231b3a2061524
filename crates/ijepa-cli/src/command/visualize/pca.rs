//! `ijepa visualize pca`: patch features as colours.

use clap::Args;
use ijepa_eval::Components;
use ijepa_viz::{PcaConfig, pca};
use serde_json::json;

use super::shown::ShownArgs;
use crate::{
    args,
    context::Context,
    error::CliError,
    features::{EncoderChoice, WeightsArgs},
    report::Report,
};

/// Show the first three principal components of patch features as red, green and blue
///
/// Patches of one colour have similar features. Each image stands left of its colours.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa visualize pca --weights runs/nano \
    --data scenes:n=100,size=64 --images 8 --columns 4 --out pca.png\n  \
    ijepa visualize pca --weights IN1K-vit.h.14-300e.pth.tar --data folder:photos \
    --index 0,7 --per-image --out pca.png")]
pub(crate) struct Pca {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]
    #[arg(long, value_enum)]
    encoder: Option<EncoderChoice>,
    #[command(flatten)]
    shown: ShownArgs,
    /// Images side by side
    #[arg(long, value_name = "N", default_value = "1", value_parser = args::positive)]
    columns: usize,
    /// Components of each image by itself: more contrast, colours cannot be compared
    #[arg(long)]
    per_image: bool,
}

impl Pca {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let frozen = self.weights.load(self.encoder, context)?;
        let encoder = frozen.choice.name();
        let (picked, extraction) = self.shown.pick_for(&frozen, context)?;
        let config = PcaConfig {
            extract: extraction.config,
            components: if self.per_image {
                Components::OfEachImage
            } else {
                Components::Shared
            },
            columns: self.columns,
            scale: self.shown.scale,
        };
        let drawn = pca(
            &frozen.encoder,
            &picked.images,
            &config,
            &context.compute()?.device,
        )?;
        let scope = if self.per_image { "image" } else { "shared" };
        let mut text = format!(
            "{encoder} encoder; image, then red, green and blue: the first three principal \
             components ({scope})\n"
        );
        for image in &drawn.images {
            let [red, green, blue] = image.explained.map(|share| 100.0 * share);
            text += &format!(
                "{}: {red:.1} + {green:.1} + {blue:.1} % of the variance\n",
                image.name
            );
        }
        let images = drawn.images.iter().zip(&picked.images).map(|(drawn, image)| {
            json!({ "index": image.index, "path": image.name, "explained": drawn.explained })
        });
        let json = json!({
            "encoder": encoder,
            "components": scope,
            "images": images.collect::<Vec<_>>(),
        });
        let report = Report { text, json };
        self.shown
            .finish(&drawn.picture, &picked, &extraction, context, report)
    }
}
