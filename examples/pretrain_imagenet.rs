//! Pretrains I-JEPA: without arguments on rendered images, with a folder on ImageNet.
//!
//! Run:     cargo run --release --example pretrain_imagenet
//!          cargo run --release --example pretrain_imagenet -- FOLDER [RECIPE]
//!          cargo run --release --example pretrain_imagenet -- --max-steps N
//! Needs:   nothing, or a folder of images (class sub-folders or flat) and a recipe of
//!          `ijepa recipes list` (default in1k_vitb16_ep600)
//! Time:    about three minutes on two cores without arguments
//! Writes:  runs/quickstart: the files of every run (docs/runs.md), masks.png, loss.png,
//!          feature_std.png, pca_before.png and pca_after.png; with FOLDER runs/RECIPE without
//!          epochs.csv and without the two pca pictures; a run that was stopped goes on where it was
//! Prints:  loss and speed, and without arguments what the features are worth beside random weights
//!          and pixels
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use burn::tensor::Device;
use ijepa_data::{DataSpec, Preprocess, Reading, Source};
use ijepa_eval::{EpochEvaluation, ExtractConfig, pick_images};
use ijepa_masking::MaskRng;
use ijepa_model::{Checkpoint, VisionTransformer};
use ijepa_train::{
    DeviceSpec, Learner, PretrainPlan, Recipe, TrainOptions, pretrain,
    run::{Folder, Measured, Observer, Row},
};
use ijepa_viz::{PcaConfig, pca};
use image::{Rgb, RgbImage};

/// Rendered images of the quick start; `seed` keeps training and test images apart.
const TRAINING: &str = "scenes:kind=texture,n=20000,size=32,seed=0";
/// The label tasks that the features are tried on.
const TASKS: [&str; 2] = ["texture", "shape"];

struct Progress {
    total_steps: u64,
    loss: Vec<f64>,
    feature_std: Vec<f64>,
}

impl<L> Observer<L> for Progress {
    fn on_log(&mut self, row: &Row, measured: &Measured) {
        let number = |name| row.get(name).unwrap_or(f64::NAN);
        let loss = number("loss");
        self.loss.push(loss);
        self.feature_std.push(number("feature_std"));
        if row.step.is_multiple_of(500) {
            let (step, total) = (row.step, self.total_steps);
            let ratio = measured.monitors.get("loss_ratio").unwrap_or(f64::NAN);
            let speed = number("images_per_s");
            println!(
                "step {step:5} of {total}  loss {loss:.4} ({ratio:.2} of the position mean's)  \
                 {speed:.0} images/s"
            );
        }
    }
}

struct Arguments {
    data: String,
    recipe: String,
    out: String,
    /// Whether `data` is the user's own.
    folder: bool,
    max_steps: Option<u64>,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut max_steps = None;
    if let Some(flag) = words.iter().position(|word| word == "--max-steps") {
        let steps = words
            .drain(flag..)
            .nth(1)
            .ok_or("--max-steps needs a number")?;
        max_steps = Some(steps.parse()?);
    }
    let mut words = words.into_iter();
    Ok(match words.next() {
        Some(data) => {
            let recipe = words.next().unwrap_or("in1k_vitb16_ep600".to_owned());
            Arguments {
                out: format!("runs/{recipe}"),
                data,
                recipe,
                folder: true,
                max_steps,
            }
        }
        None => Arguments {
            data: TRAINING.to_owned(),
            recipe: "scenes_vit_nano".to_owned(),
            out: "runs/quickstart".to_owned(),
            folder: false,
            max_steps,
        },
    })
}

/// The masks of eight images, context and targets in colour.
fn draw_masks(plan: &PretrainPlan, path: PathBuf) -> Result<(), Box<dyn Error>> {
    let recipe = plan.recipe();
    let rng = &mut MaskRng::for_group(recipe.run.seed, 0, 0);
    let masks = recipe.mask_sampler()?.sample(8, rng).to_rgb(8, 12);
    let (width, height) = (masks.width as u32, masks.height as u32);
    let picture = RgbImage::from_raw(width, height, masks.pixels).ok_or("masks have pixels")?;
    Ok(picture.save(path)?)
}

/// A curve from the first logged step to the last, its lowest value at the bottom.
fn draw_curve(values: &[f64], path: PathBuf) -> Result<(), Box<dyn Error>> {
    if values.is_empty() {
        // Nothing was left to do, and the curve of before stays.
        return Ok(());
    }
    const SIZE: [u32; 2] = [640, 240];
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut picture = RgbImage::from_pixel(SIZE[0], SIZE[1], Rgb([255; 3]));
    let row = |value: f64| {
        let fraction = (value - low) / (high - low).max(f64::MIN_POSITIVE);
        ((1.0 - fraction) * f64::from(SIZE[1] - 1)) as u32
    };
    let mut last = None;
    for x in 0..SIZE[0] {
        let index = x as usize * values.len() / SIZE[0] as usize;
        let Some(&value) = values.get(index) else {
            break;
        };
        let y = row(value);
        let from = last.unwrap_or(y);
        for y in y.min(from)..=y.max(from) {
            picture.put_pixel(x, y, Rgb([30, 90, 200]));
        }
        last = Some(y);
    }
    Ok(picture.save(path)?)
}

/// Eight images and the first three principal components of their patches as colours.
fn draw_features(
    encoder: &VisionTransformer,
    path: &Path,
    device: &Device,
) -> Result<(), Box<dyn Error>> {
    let source = open("scenes:kind=texture,n=8,size=32,seed=4")?;
    let (indices, size) = (Vec::from_iter(0..8), encoder.config().image_size);
    let images = pick_images(
        source.as_ref(),
        &indices,
        Preprocess::Squash,
        size,
        Reading::default(),
    )?;
    let config = PcaConfig {
        columns: 4,
        scale: Some(4),
        ..PcaConfig::default()
    };
    let drawn = pca(encoder, &images.images, &config, device)?.picture;
    let (width, height) = (drawn.width as u32, drawn.height as u32);
    let picture = RgbImage::from_raw(width, height, drawn.pixels).ok_or("a picture has pixels")?;
    Ok(picture.save(path)?)
}

fn open(spec: &str) -> Result<Arc<dyn Source>, Box<dyn Error>> {
    Ok(spec.parse::<DataSpec>()?.open()?)
}

/// The encoder beside random weights and pixels, in pictures and on every task.
fn compare(
    plan: &PretrainPlan,
    out: &Path,
    [train, test]: [usize; 2],
    device: &Device,
) -> Result<(), Box<dyn Error>> {
    let initialization = plan.recipe().initialization();
    let untrained = plan.model().encoder.init_with(initialization, device);
    // Read back what was written: this is what any other program would load.
    let trained = Checkpoint::open(out)?.feature_encoder(device)?;
    for (name, encoder) in [("before", &untrained), ("after", &trained)] {
        draw_features(encoder, &out.join(format!("pca_{name}.png")), device)?;
    }
    println!(
        "principal components of patches, before and after, are in {}",
        out.display()
    );
    for task in TASKS {
        let images =
            |n: usize, seed: u64| open(&format!("scenes:kind={task},n={n},size=32,seed={seed}"));
        let (train, test) = (images(train, 3)?, Some(images(test, 4)?));
        let config = ExtractConfig::of_recipe(plan.recipe());
        let evaluation = EpochEvaluation::new(train, test, config, device);
        let found = evaluation.baselines(&trained, &untrained, &AtomicBool::new(false))?;
        println!("\n{task}\n{}", found.ok_or("there are test images")?);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    ijepa_model::kernels::keep_freed_memory();
    let Arguments {
        data,
        recipe,
        out,
        folder,
        max_steps,
    } = arguments()?;
    let spec = DeviceSpec::best()?;
    println!("training {recipe} on {data} with {spec}, writing {out}");
    let device = spec.open()?;

    let source = open(&data)?;
    let mut recipe = Recipe::load(&recipe)?;
    if !spec.backend.is_gpu() {
        recipe = recipe.with_overrides(&["run.precision=f32"])?;
    }
    let plan = PretrainPlan::new(recipe, source.len())?;
    let run = Folder::open(&out)?;
    let workers = std::thread::available_parallelism()?.get().min(8);
    let mut environment = spec.environment();
    environment["data"] = data.into();
    environment["total_steps"] = plan.total_steps().into();
    let options = TrainOptions {
        workers,
        max_steps,
        environment,
        ..TrainOptions::default()
    };
    let mut progress = Progress {
        total_steps: plan.total_steps(),
        loss: Vec::new(),
        feature_std: Vec::new(),
    };
    let mut rank = EpochEvaluation::new(
        open("scenes:kind=texture,n=500,size=32,seed=2")?,
        None,
        ExtractConfig::of_recipe(plan.recipe()),
        &device,
    );
    let mut observers: Vec<&mut dyn Observer<Learner>> = vec![&mut progress];
    if !folder {
        observers.push(&mut rank);
    }
    let (summary, learner) = pretrain(&plan, source, &run, &device, &options, &mut observers)?;
    println!(
        "{} steps, loss {:.4} -> {:.4}, {:.0} images/s",
        summary.steps, summary.loss_first, summary.loss_last, summary.images_per_s
    );
    let file = |name: &str| PathBuf::from(&out).join(name);
    draw_masks(&plan, file("masks.png"))?;
    draw_curve(&progress.loss, file("loss.png"))?;
    draw_curve(&progress.feature_std, file("feature_std.png"))?;
    println!("pictures of masks and curves are in {out}");
    drop(learner);
    if folder {
        return Ok(());
    }
    // A trial of a few steps is judged by fewer images.
    let images = match max_steps {
        Some(_) => [400, 100],
        None => [4000, 1000],
    };
    compare(&plan, Path::new(&out), images, &device)
}
