//! The loop that trains a decoder.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use burn::tensor::{Device, Tensor};
use ijepa_data::{Batch, Loader, LoaderConfig, Skipped, Source};
use ijepa_train::{
    Clock, RunFolder, RunSpan, StepRow, StepTable, TrainError, TrainOptions, first_not_finite,
    recipe::Settings,
};

use super::{
    ConditionKind, Conditioner, Decoder, DecoderRecipe, Diffusion, RcdmError, Standardization,
    checkpoint::Progress,
    learner::{NoisyBatch, StepOutput},
    views::{CenterView, ViewSizes},
};

/// Images whose vectors' statistics standardise all vectors.
const MEASURED: usize = 2048;

/// What a run says while it lasts.
#[derive(Debug, Clone, PartialEq)]
pub enum DecoderEvent {
    /// It goes on from a checkpoint.
    Resumed {
        /// Completed steps.
        step: u64,
        /// Keys that change what is learned: name, value of the checkpoint, value now.
        changed: Vec<(String, String, String)>,
    },
    /// A step was logged; its loss is the mean squared error of the predicted velocity, mean since
    /// the last row.
    Step(StepRow),
}

/// What a finished or stopped run reports.
#[derive(Debug, Clone)]
pub struct DecoderSummary {
    /// Completed steps, those before a resumption included.
    pub steps: u64,
    /// Loss of the first logged steps of this process.
    pub loss_first: Option<f64>,
    /// Loss of the last logged steps.
    pub loss_last: Option<f64>,
    /// Images per second of this process, without the first step.
    pub images_per_s: f64,
    /// Time of this process.
    pub elapsed: Duration,
    /// Images that could not be read.
    pub skipped: Vec<Skipped>,
    /// Whether the run was told to stop before its end.
    pub interrupted: bool,
}

/// Trains a decoder of the vectors of `conditioner` on the images of `source`.
///
/// Everything random is a function of the seed, the step and the place in the batch, so a run
/// that is resumed, with any number of workers, sees the same numbers.
///
/// # Errors
///
/// Any [`RcdmError`]; checkpoints already written stay valid.
pub fn train_decoder(
    recipe: &DecoderRecipe,
    conditioner: &Conditioner,
    source: Arc<dyn Source>,
    run: &RunFolder,
    device: &Device,
    options: &TrainOptions,
    mut tell: impl FnMut(DecoderEvent),
) -> Result<(DecoderSummary, Decoder), RcdmError> {
    recipe.validate()?;
    conditioner.check_images(source.len())?;
    let device = device.clone().without_autodiff();
    let inputs = Inputs {
        recipe,
        conditioner,
        source,
        device,
        workers: options.workers,
    };
    let mut trainer = Trainer::start(inputs, run, options, &mut tell)?;
    let mut span = RunSpan::begin(options, recipe.optimizer.steps as u64);
    while span.goes_on(trainer.progress.step) {
        trainer.train_step(&mut tell)?;
    }
    trainer.save_if_needed()?;
    Ok(trainer.finish(&span))
}

/// What a run is given.
struct Inputs<'a> {
    recipe: &'a DecoderRecipe,
    conditioner: &'a Conditioner,
    source: Arc<dyn Source>,
    device: Device,
    workers: usize,
}

impl Inputs<'_> {
    fn sizes(&self) -> ViewSizes {
        ViewSizes {
            decoder: self.recipe.decoder.size,
            encoder: self.conditioner.image_size(),
        }
    }

    fn loader(&self, start_step: u64) -> Result<Loader, RcdmError> {
        let (run, data) = (&self.recipe.run, &self.recipe.data);
        let from_file = self.conditioner.kind() == ConditionKind::File;
        let config = LoaderConfig {
            batch_size: run.batch_size,
            seed: run.seed,
            start_step,
            workers: self.workers,
            augment: CenterView {
                size: self.sizes().common(),
                // A vector of a file is that of the image as it is.
                flip: data.flip && !from_file,
            },
            max_bad_fraction: data.max_bad_fraction,
        };
        Ok(Loader::new(self.source.clone(), config)?)
    }

    /// The decoder's pixels of a batch, and the vectors as they are.
    fn look(&self, batch: &Batch) -> Result<(Vec<u8>, Tensor<2>), RcdmError> {
        let views = self.sizes().split(&batch.images)?;
        let (images, seed) = (batch.indices.len(), self.recipe.run.seed);
        let masks = self.conditioner.masks(images, seed, batch.step);
        let (pixels, indices) = (&views.encoder, &batch.indices);
        let vectors = self
            .conditioner
            .vectors(pixels, indices, masks.as_ref(), &self.device);
        Ok((views.decoder, vectors))
    }

    /// Statistics of the vectors of the run's first batches.
    fn measure(&self) -> Result<Standardization, RcdmError> {
        let mut loader = self.loader(0)?;
        let batch_size = self.recipe.run.batch_size;
        let images = MEASURED.min(self.source.len());
        let batches = (0..images.div_ceil(batch_size)).map(|_| {
            let (_, vectors) = self.look(&loader.next_batch()?)?;
            Ok::<_, RcdmError>(vectors)
        });
        let vectors = batches.collect::<Result<Vec<_>, _>>()?;
        Ok(Standardization::of(Tensor::cat(vectors, 0)))
    }
}

struct Trainer<'a> {
    inputs: Inputs<'a>,
    run: &'a RunFolder,
    loader: Loader,
    diffusion: Diffusion,
    progress: Progress,
    metrics: StepTable,
    saved_step: Option<u64>,
    clock: Clock,
    losses: Vec<Tensor<1>>,
    loss_first: Option<f64>,
    loss_last: Option<f64>,
}

impl<'a> Trainer<'a> {
    fn start(
        inputs: Inputs<'a>,
        run: &'a RunFolder,
        options: &TrainOptions,
        tell: &mut impl FnMut(DecoderEvent),
    ) -> Result<Self, RcdmError> {
        let from = run.start_from(&options.resume)?;
        let Inputs {
            recipe,
            conditioner,
            device,
            ..
        } = &inputs;
        let progress = match &from {
            Some(path) => {
                let (progress, changed) = Progress::open(path, recipe, conditioner, device)?;
                let step = progress.step;
                tell(DecoderEvent::Resumed { step, changed });
                progress
            }
            None => Progress::new(recipe, inputs.measure()?, device),
        };
        run.write("decoder.toml", &recipe.to_toml())?;
        run.write("environment.json", &format!("{:#}\n", options.environment))?;
        Ok(Self {
            loader: inputs.loader(progress.step)?,
            inputs,
            run,
            diffusion: Diffusion::default(),
            metrics: StepTable::open(run, progress.step)?,
            saved_step: from.map(|_| progress.step),
            progress,
            clock: Clock::start(),
            losses: Vec::new(),
            loss_first: None,
            loss_last: None,
        })
    }

    /// Loads a batch, trains on it, logs and saves as the recipe says.
    fn train_step(&mut self, tell: &mut impl FnMut(DecoderEvent)) -> Result<(), RcdmError> {
        let waiting = Instant::now();
        let batch = self.loader.next_batch()?;
        self.clock.waited(waiting.elapsed());

        let Inputs { recipe, device, .. } = &self.inputs;
        let (pixels, vectors) = self.inputs.look(&batch)?;
        let conditions = self.progress.config.standardization.apply(vectors);
        let (diffusion, step) = (&self.diffusion, self.progress.step);
        let noisy = NoisyBatch::new(&pixels, conditions, recipe, diffusion, step, device);
        let output = self.progress.learner.step(noisy, recipe);
        self.clock.stepped(recipe.run.batch_size);
        self.losses.push(output.loss.clone());

        let run = &recipe.run;
        let last = step + 1 == recipe.optimizer.steps as u64;
        // Rows end with a whole number of intervals, as checkpoints do, so that resuming repeats them.
        if last || (step + 1).is_multiple_of(run.log_every_steps as u64) {
            tell(DecoderEvent::Step(self.log(&output, batch.epoch)?));
        }
        self.progress.step += 1;
        let every = self.inputs.recipe.run.checkpoint_every_steps as u64;
        if last || self.progress.step.is_multiple_of(every) {
            self.save_if_needed()?;
        }
        Ok(())
    }

    /// Reads what the steps since the last row measured; the only place that waits for the device.
    fn log(&mut self, output: &StepOutput, epoch: u64) -> Result<StepRow, RcdmError> {
        let scalar = |value: Tensor<1>| f64::from(value.into_scalar::<f32>());
        let loss = scalar(Tensor::cat(std::mem::take(&mut self.losses), 0).mean());
        let grad_norm = scalar(output.grad_norm.clone());
        let step = self.progress.step;
        if !loss.is_finite() || !grad_norm.is_finite() {
            let tensor = first_not_finite(&self.progress.learner.unet);
            let tensor = tensor.unwrap_or_else(|| "the loss or its gradient".to_owned());
            return Err(TrainError::Diverged { step, tensor }.into());
        }
        let row = StepRow {
            epoch,
            step,
            images: (step + 1) * self.inputs.recipe.run.batch_size as u64,
            loss,
            lr: self.inputs.recipe.optimizer.lr,
            times: self.clock.lap(),
            grad_norm,
        };
        self.loss_first.get_or_insert(loss);
        self.loss_last = Some(loss);
        self.metrics.log(&row)?;
        Ok(row)
    }

    fn save_if_needed(&mut self) -> Result<(), RcdmError> {
        let (progress, recipe) = (&self.progress, self.inputs.recipe);
        if self.saved_step != Some(progress.step) {
            self.run.save(progress.step, recipe.run.keep_last, |path| {
                progress.save(path, recipe)
            })?;
            self.saved_step = Some(progress.step);
        }
        Ok(())
    }

    fn finish(self, span: &RunSpan) -> (DecoderSummary, Decoder) {
        let summary = DecoderSummary {
            steps: self.progress.step,
            loss_first: self.loss_first,
            loss_last: self.loss_last,
            images_per_s: self.clock.overall(),
            elapsed: span.elapsed(),
            skipped: self.loader.skipped().to_vec(),
            interrupted: span.interrupted(),
        };
        (summary, self.progress.decoder())
    }
}
