//! One feature vector for every image of a folder, and the most similar pair.
//!
//! Run:     cargo run --release --example extract_features -- WEIGHTS FOLDER
//!          (without arguments: an untrained encoder on rendered images)
//! Needs:   weights of any kind (.pth.tar, Hugging Face folder, run directory) and images
//! Time:    ViT-H/14 takes seconds an image on a CPU
//! Prints:  the size of the features and the two most similar images
#![expect(clippy::print_stdout, reason = "an example prints")]

use burn::tensor::{Device, Tensor};
use ijepa_data::DataSpec;
use ijepa_eval::ExtractConfig;
use ijepa_model::{Checkpoint, Pooling, VisionTransformerConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let device = Device::flex();
    let (encoder, config) = match arguments.next() {
        Some(weights) => {
            let checkpoint = Checkpoint::open(weights)?;
            (
                checkpoint.feature_encoder(&device)?,
                ExtractConfig::of(&checkpoint),
            )
        }
        None => {
            let config = VisionTransformerConfig::variant("vit_ti16")?.with_image_size([64, 64]);
            (config.init(&device), ExtractConfig::default())
        }
    };
    let [height, width] = encoder.config().image_size;
    let spec = arguments
        .next()
        .unwrap_or_else(|| "scenes:n=16,size=64".to_owned());
    let source = spec.parse::<DataSpec>()?.open()?;

    let mut features = Vec::new();
    for index in 0..source.len() {
        let image = config
            .preprocess
            .apply(&source.read(index)?, [height, width])?;
        let pixels = image.pixels();
        let image = config
            .normalization
            .images(pixels, [1, height, width], &device);
        features.push(encoder.forward_pooled(image, Pooling::Mean));
    }
    let features: Tensor<2> = Tensor::cat(features, 0);
    println!("{:?} features", features.dims());

    let unit = features.clone() / features.square().sum_dim(1).sqrt();
    let cosines = unit.clone().matmul(unit.transpose());
    let cosines: Vec<f32> = cosines.into_data().convert::<f32>().try_into_vec()?;
    let pairs = (0..source.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
    let closest = pairs.max_by(|(a, b), (c, d)| {
        cosines[a * source.len() + b].total_cmp(&cosines[c * source.len() + d])
    });
    if let Some((a, b)) = closest {
        let cosine = cosines[a * source.len() + b];
        println!(
            "most similar: {} and {} (cosine {cosine:.3})",
            source.name(a),
            source.name(b)
        );
    }
    Ok(())
}
