//! Training with masks of your own: the left half is the context, the right half the target.
//!
//! Run:     cargo run --release --example custom_sampler
//! Needs:   nothing; images are rendered
//! Time:    seconds
//! Prints:  a picture of the masks and the loss of a few steps
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;

use burn::tensor::Device;
use ijepa_data::DataSpec;
use ijepa_masking::{MaskGroup, MaskRng, MaskSampler, PatchGrid, PatchIndices};
use ijepa_train::{PretrainPlan, Recipe, TrainOptions, pretrain, run};

/// Shows one half of the image, a random one, and asks for the other.
struct Halves {
    grid: PatchGrid,
}

impl MaskSampler for Halves {
    fn grid(&self) -> PatchGrid {
        self.grid
    }

    fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup {
        let (rows, cols) = (self.grid.rows(), self.grid.cols());
        let half = |left: bool| {
            let from = if left { 0 } else { cols / 2 };
            (0..rows)
                .flat_map(move |row| (from..from + cols / 2).map(move |col| row * cols + col))
                .map(|patch| patch as u32)
        };
        let (mut context, mut target) = (Vec::new(), Vec::new());
        for _ in 0..images {
            // All randomness comes from `rng`, so runs can be resumed and repeated.
            let left = rng.position(2) == 0;
            context.extend(half(left));
            target.extend(half(!left));
        }
        let kept = rows * (cols / 2);
        MaskGroup {
            grid: self.grid,
            contexts: vec![PatchIndices::new(kept, context)],
            targets: vec![PatchIndices::new(kept, target)],
            relaxations: 0,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sampler = Halves {
        grid: PatchGrid::new(8, 8)?,
    };
    println!(
        "{}",
        sampler
            .sample(1, &mut MaskRng::for_group(0, 0, 0))
            .to_text(0)
    );

    let spec: DataSpec = "scenes:n=64,size=32".parse()?;
    let source = spec.open()?;
    let recipe = Recipe::preset("scenes_vit_nano")?;
    let plan = PretrainPlan::new(recipe, 64)?.with_sampler(Arc::new(sampler));
    let folder = std::env::temp_dir().join(format!("ijepa-halves-{}", std::process::id()));
    let run = run::Folder::open(&folder)?;
    let options = TrainOptions {
        max_steps: Some(20),
        ..TrainOptions::default()
    };
    let (summary, _) = pretrain(&plan, source, &run, &Device::flex(), &options, &mut [])?;
    println!("loss {:.3} -> {:.3}", summary.loss_first, summary.loss_last);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
