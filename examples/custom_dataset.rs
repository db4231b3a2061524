//! Training on data of your own, with a learning rate and a score of your own.
//!
//! Run:     cargo run --release --example custom_dataset
//! Needs:   nothing; images of four channels are made by code
//! Time:    seconds
//! Prints:  the score after every epoch, and the run's columns in `epochs.csv`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
};

use burn::tensor::Device;
use ijepa_data::{FetchError, Fetched, FloatImage, Source};
use ijepa_eval::{ExtractConfig, KnnConfig, Stoppable, extract, knn, unless_stopped};
use ijepa_train::{
    Learner, PretrainPlan, Recipe, TrainOptions, pretrain,
    run::{Columns, Folder, Observer, ObserverError, Position},
};

/// Fields of two kinds as a satellite sees them in red, green, blue and infrared: stripes that lie
/// or stand.
#[derive(Debug)]
struct Fields {
    places: Range<usize>,
    classes: [String; 2],
}

impl Fields {
    fn new(places: Range<usize>) -> Arc<Self> {
        let classes = ["lying", "standing"].map(str::to_owned);
        Arc::new(Self { places, classes })
    }
}

impl Source for Fields {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn name(&self, index: usize) -> String {
        format!("field {}", self.places.start + index)
    }

    fn fetch(&self, index: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let place = self.places.start + index;
        let (width, phase) = (3 + place % 5, place / 7);
        let sample = |at: usize| {
            let (row, col, channel) = (at / 4 / 32, at / 4 % 32, at % 4);
            let along = if place.is_multiple_of(2) { row } else { col };
            let stripe = ((along + phase) / width % 2) as f32;
            stripe * (1.0 - 0.2 * channel as f32)
        };
        let samples = (0..32 * 32 * 4).map(sample).collect();
        let image = FloatImage::new([32, 32], 4, samples)?;
        Ok(Fetched::Pixels(image.into()))
    }

    // Files would be waited for, many at once.
    fn is_computed(&self) -> bool {
        true
    }

    // Labels are for the score alone; without them these two methods are left out.
    fn label(&self, index: usize) -> Option<u32> {
        Some((self.places.start + index) as u32 % 2)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

/// How often the nearest of known fields is of the same kind.
struct Nearest {
    known: Arc<Fields>,
    others: Arc<Fields>,
    config: ExtractConfig,
    device: Device,
}

impl Observer<Learner> for Nearest {
    fn measure(
        &mut self,
        at: &Position,
        learner: &Learner,
        stop: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        let encoder = learner.target.encoder();
        let features = |source: &Arc<Fields>| {
            // Whoever stops the run does not wait for the end of this.
            let source = Stoppable {
                source: source.as_ref(),
                stop,
                retry: self.config.reading.retry,
            };
            let found = extract(encoder, &source, &self.config, &self.device);
            unless_stopped(stop, found.map(|found| found.features))
        };
        let (Some(known), Some(others)) = (features(&self.known)?, features(&self.others)?) else {
            return Ok(Columns::default());
        };
        let config = KnnConfig {
            ks: vec![1],
            ..KnnConfig::default()
        };
        let nearest = knn(&known, &others, &config, &self.device)?.k[&1].top1;
        println!("after step {}: {nearest:.1} %", at.step);
        Ok(Columns::of([("nearest", nearest)]))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, data) = (Device::flex(), Fields::new(0..256));
    let recipe = Recipe::preset("scenes_vit_nano")?.with_overrides(&[
        "data.channels=4",
        "data.mean=[0.4, 0.3, 0.2, 0.1]",
        "data.std=[0.5, 0.4, 0.3, 0.2]",
        "optimizer.steps_per_epoch=10",
        "optimizer.epochs=3",
        "optimizer.warmup_epochs=1",
    ])?;
    let config = ExtractConfig::of_recipe(&recipe);
    let steps = 30.0;
    let plan = PretrainPlan::new(recipe, data.len())?
        .with_learning_rate(move |step| 1e-3 * (1.0 - step as f64 / steps));
    let mut nearest = Nearest {
        known: data.clone(),
        others: Fields::new(256..320),
        config,
        device: device.clone(),
    };
    let folder = std::env::temp_dir().join(format!("ijepa-fields-{}", std::process::id()));
    let run = Folder::open(&folder)?;
    let options = TrainOptions::default();
    pretrain(&plan, data, &run, &device, &options, &mut [&mut nearest])?;
    let scores = std::fs::read_to_string(folder.join("epochs.csv"))?;
    println!("{}", scores.lines().next().unwrap_or_default());
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
