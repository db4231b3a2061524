//! One feature vector for every image of a folder, and the most similar pair.
//!
//! Run:     cargo run --release --example extract_features -- WEIGHTS FOLDER
//!          (without arguments: an untrained encoder on rendered images)
//! Needs:   weights of any kind (.pth.tar, Hugging Face folder, run directory) and images
//! Time:    ViT-H/14 takes seconds an image on a CPU
//! Prints:  the size of the features and the two most similar images
#![expect(clippy::print_stdout, reason = "an example prints")]

use burn::tensor::Device;
use ijepa_data::DataSpec;
use ijepa_eval::{ExtractConfig, extract};
use ijepa_model::{Checkpoint, VisionTransformerConfig};
use ijepa_patches::cosine_map;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let device = Device::flex();
    let (encoder, config) = match arguments.next() {
        Some(weights) => {
            let checkpoint = Checkpoint::open(weights)?;
            for warning in &checkpoint.warnings {
                println!("{warning}");
            }
            // Statistics, sizes and decoding are those that the weights were trained with.
            let config = ExtractConfig::of(&checkpoint);
            (checkpoint.feature_encoder(&device)?, config)
        }
        None => {
            let config = VisionTransformerConfig::variant("vit_ti16")?.with_image_size([64, 64]);
            (config.init(&device), ExtractConfig::default())
        }
    };
    let spec = arguments
        .next()
        .unwrap_or_else(|| "scenes:n=16,size=64".to_owned());
    let source = spec.parse::<DataSpec>()?.open()?;

    let found = extract(&encoder, source.as_ref(), &config, &device)?;
    for skipped in &found.skipped {
        println!("left out: {}: {}", skipped.path, skipped.why);
    }
    let features = &found.features;
    println!(
        "{} features of {} values",
        features.images(),
        features.dim()
    );

    let pairs = |a: usize| {
        let others = &features.values()[..a * features.dim()];
        let cosines = cosine_map(features.row(a), others).into_iter();
        cosines.enumerate().map(move |(b, cosine)| (cosine, a, b))
    };
    let pairs = (0..features.images()).flat_map(pairs);
    let closest = pairs.max_by(|(one, ..), (other, ..)| one.total_cmp(other));
    if let Some((cosine, a, b)) = closest {
        let [first, second] = [a, b].map(|row| source.name(found.indices[row]));
        println!("most similar: {first} and {second} (cosine {cosine:.3})");
    }
    Ok(())
}
