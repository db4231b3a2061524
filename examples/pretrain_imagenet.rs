//! Pretrains I-JEPA: without arguments on rendered images, with a folder on ImageNet.
//!
//! Run:     cargo run --release --example pretrain_imagenet
//!          cargo run --release --example pretrain_imagenet -- FOLDER [RECIPE]
//! Needs:   nothing, or a folder of images (class sub-folders or flat) and a recipe of
//!          `ijepa recipes list` (default in1k_vitb16_ep600)
//! Time:    about thirteen minutes on two cores without arguments
//! Writes:  runs/quickstart: metrics.csv, checkpoints, TensorBoard events (FOLDER: runs/RECIPE);
//!          a run that was stopped goes on where it was
//! Prints:  loss and speed, and without arguments kNN accuracy before and after
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::{error::Error, sync::Arc};

use ijepa_data::{DataSpec, Source};
use ijepa_eval::{EpochEvaluation, ExtractConfig, KnnConfig, extract, knn};
use ijepa_model::{Checkpoint, VisionTransformer};
use ijepa_train::{
    DeviceSpec, Hook, HookError, MetricsRow, Monitors, PretrainPlan, Recipe, RunDir, TrainOptions,
    pretrain,
};

/// Rendered images of the quick start; `seed` keeps training and test images apart.
const TRAINING: &str = "scenes:kind=texture,n=20000,size=32,seed=0";
/// The label tasks that the features are tried on.
const TASKS: [&str; 2] = ["texture", "shape"];

struct Progress {
    total_steps: u64,
}

impl Hook for Progress {
    fn on_log(&mut self, row: &MetricsRow, monitors: &Monitors) -> Result<(), HookError> {
        if row.step.is_multiple_of(500) {
            println!(
                "step {:5} of {}  loss {:.4} ({:.2} of the position mean's)  {:.0} images/s",
                row.step, self.total_steps, row.loss, monitors.loss_ratio, row.images_per_s
            );
        }
        Ok(())
    }
}

fn open(spec: &str) -> Result<Arc<dyn Source>, Box<dyn Error>> {
    Ok(Arc::from(spec.parse::<DataSpec>()?.open()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    ijepa_model::kernels::keep_freed_memory();
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next();
    let (data, recipe, out) = match &folder {
        Some(folder) => {
            let recipe = arguments
                .next()
                .unwrap_or_else(|| "in1k_vitb16_ep600".to_owned());
            let out = format!("runs/{recipe}");
            (folder.clone(), recipe, out)
        }
        None => (
            TRAINING.to_owned(),
            "scenes_vit_nano".to_owned(),
            "runs/quickstart".to_owned(),
        ),
    };
    let device = DeviceSpec::best()?;
    println!("training {recipe} on {data} with {device}, writing {out}");
    let device = device.open()?;

    let source = open(&data)?;
    let plan = PretrainPlan::new(Recipe::load(&recipe)?, source.len())?;
    let mut run = RunDir::open(&out)?;
    let workers = std::thread::available_parallelism()?.get().min(8);
    let options = TrainOptions {
        workers,
        ..TrainOptions::default()
    };
    let mut progress = Progress {
        total_steps: plan.total_steps(),
    };
    let mut rank = EpochEvaluation::new(
        open("scenes:kind=texture,n=500,size=32,seed=2")?,
        None,
        ExtractConfig::default(),
        &device,
    );
    let mut hooks: Vec<&mut dyn Hook> = vec![&mut progress];
    if folder.is_none() {
        hooks.push(&mut rank);
    }
    let (summary, learner) = pretrain(&plan, source, &mut run, &device, &options, &mut hooks)?;
    println!(
        "{} steps, loss {:.4} -> {:.4}, {:.0} images/s",
        summary.steps, summary.loss_first, summary.loss_last, summary.images_per_s
    );
    if folder.is_some() {
        return Ok(());
    }

    println!("\n20-NN accuracy, 4000 training and 1000 test images, centred features");
    let untrained = plan
        .model()
        .encoder
        .init_with(plan.recipe().initialization(), &device);
    // Read back what was written: this is what any other program would load.
    let trained = Checkpoint::open(&out)?.feature_encoder(&device)?;
    drop(learner);
    for task in TASKS {
        let accuracy = |encoder: &VisionTransformer| -> Result<f64, Box<dyn Error>> {
            let features = |n: usize, seed: u64| -> Result<_, Box<dyn Error>> {
                let source = open(&format!("scenes:kind={task},n={n},size=32,seed={seed}"))?;
                let config = ExtractConfig::default();
                Ok(extract(encoder, source.as_ref(), &config, &device)?.features)
            };
            let config = KnnConfig {
                ks: vec![20],
                center: true,
                ..KnnConfig::default()
            };
            Ok(knn(&features(4000, 3)?, &features(1000, 4)?, &config, &device)?.k[&20].top1)
        };
        println!(
            "{task:8} {:5.1} % before, {:5.1} % after",
            accuracy(&untrained)?,
            accuracy(&trained)?
        );
    }
    Ok(())
}
