//! Decoder training as a task of the loop.

use std::{ops::Range, path::Path, sync::Arc};

use burn::tensor::{Device, Tensor};
use ijepa_data::{Batch, DataError, Loader, LoaderConfig, Reading, Source};
use ijepa_model::{
    CheckpointError,
    checkpoint::{Snapshot, TrainingState},
};
use ijepa_train::{
    AdamW, SumOfGradients, Summation, TrainError, TrainOptions, TrainSummary, first_not_finite,
    recipe::OnNan,
    run::{self, Columns, Folder, Gradients, Measured, Observer, Rhythm, Task},
};

use super::{
    ConditionKind, Conditioner, Decoder, DecoderRecipe, Diffusion, RcdmError, Standardization,
    Unet,
    checkpoint::Progress,
    learner::NoisyBatch,
    views::{CenterView, ViewSizes},
};

/// Images whose vectors' statistics standardise all vectors.
const MEASURED: usize = 2048;

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
    folder: &Folder,
    device: &Device,
    options: &TrainOptions,
    observers: &mut [&mut dyn Observer<Unet>],
) -> Result<(TrainSummary, Decoder), RcdmError> {
    recipe.validate()?;
    conditioner.check_images(source.as_ref())?;
    let device = device.clone().without_autodiff();
    let inputs = Inputs {
        recipe,
        conditioner,
        source,
        device,
    };
    let start = |from: Option<&Path>| -> Result<_, RcdmError> {
        let device = &inputs.device;
        let (progress, state) = match from {
            Some(path) => Progress::open(path, recipe, conditioner, device)?,
            None => {
                let standardization = inputs.measure(options)?;
                let progress = Progress::new(recipe, conditioner, standardization, device);
                (progress, TrainingState::default())
            }
        };
        let task = DecoderTraining {
            inputs,
            diffusion: Diffusion::default(),
            progress,
        };
        Ok((task, state))
    };
    let (summary, task) = run::train(folder, options, observers, start)?;
    Ok((summary, task.progress.decoder()))
}

/// What a run is given.
struct Inputs<'a> {
    recipe: &'a DecoderRecipe,
    conditioner: &'a Conditioner,
    source: Arc<dyn Source>,
    device: Device,
}

impl Inputs<'_> {
    fn sizes(&self) -> ViewSizes {
        ViewSizes {
            decoder: self.recipe.decoder.size,
            encoder: self.conditioner.image_size(),
        }
    }

    fn loader(&self, start_step: u64, options: &TrainOptions) -> Result<Loader, DataError> {
        let (run, data) = (&self.recipe.run, &self.recipe.data);
        let from_file = self.conditioner.kind() == ConditionKind::File;
        let augment = CenterView {
            size: self.sizes().common(),
            // A vector of a file is that of the image as it is.
            flip: data.flip && !from_file,
        };
        let config = LoaderConfig {
            seed: run.seed,
            start_step,
            workers: options.workers,
            reading: Reading {
                decoding: data.decoding,
                ..options.reading
            },
            max_bad_fraction: data.max_bad_fraction,
            ..LoaderConfig::new(run.batch_size, augment)
        };
        Loader::new(self.source.clone(), config)
    }

    /// The decoder's pixels of a batch, and the vectors as they are.
    fn look(&self, batch: &Batch) -> Result<(Vec<u8>, Tensor<2>), DataError> {
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
    fn measure(&self, options: &TrainOptions) -> Result<Standardization, DataError> {
        let mut loader = self.loader(0, options)?;
        let batch_size = self.recipe.run.batch_size;
        let images = MEASURED.min(self.source.len());
        let batches = (0..images.div_ceil(batch_size)).map(|_| {
            let (_, vectors) = self.look(&loader.next_batch()?)?;
            Ok::<_, DataError>(vectors)
        });
        let vectors = batches.collect::<Result<Vec<_>, _>>()?;
        Ok(Standardization::of(Tensor::cat(vectors, 0)))
    }
}

struct DecoderTraining<'a> {
    inputs: Inputs<'a>,
    diffusion: Diffusion,
    progress: Progress,
}

impl Task for DecoderTraining<'_> {
    type Settings = DecoderRecipe;
    type Network = Unet;
    type Learner = Unet;
    type Seen = ();

    const LEARNED: &'static [&'static str] = &["run.batch_size", "run.seed"];
    const BEST_BY: &'static [&'static str] = &[];

    fn settings(&self) -> &DecoderRecipe {
        self.inputs.recipe
    }

    fn rhythm(&self) -> Rhythm {
        let DecoderRecipe { optimizer, run, .. } = self.inputs.recipe;
        Rhythm {
            total_steps: optimizer.steps as u64,
            steps_per_epoch: (self.inputs.source.len() / run.batch_size).max(1) as u64,
            batch_size: run.batch_size as u64,
            pass_size: run.batch_size as u64,
            summation: Summation::Running,
            keeping: run.keeping,
            // Nothing is measured of a decoder but its loss.
            eval_every_epochs: u64::MAX,
            stop_if_collapsed: false,
            on_nan: OnNan::Stop,
            seed: run.seed,
            lr: Some(optimizer.lr),
        }
    }

    fn loader(
        &self,
        step: u64,
        _: Range<usize>,
        options: &TrainOptions,
    ) -> Result<Loader, TrainError> {
        Ok(self.inputs.loader(step, options)?)
    }

    fn gradients(
        &mut self,
        batch: &Batch,
        sum: SumOfGradients,
    ) -> Result<Gradients<()>, TrainError> {
        let Inputs { recipe, device, .. } = &self.inputs;
        let (pixels, vectors) = self.inputs.look(batch)?;
        let conditions = self.progress.config.standardization.apply(vectors);
        let (diffusion, step) = (&self.diffusion, batch.step);
        let noisy = NoisyBatch::new(&pixels, conditions, recipe, diffusion, step, device);
        Ok(self.progress.learner.gradients(noisy, sum))
    }

    fn apply(&mut self, _: u64, sum: SumOfGradients, groups: usize) -> Tensor<1> {
        let Inputs { recipe, device, .. } = &self.inputs;
        let learner = &mut self.progress.learner;
        learner.apply(sum, groups, &recipe.optimizer, device)
    }

    fn measure(&self, _: u64, (): &(), _: f64) -> Measured {
        Measured {
            settings: Columns::of([("lr", self.inputs.recipe.optimizer.lr)]),
            ..Measured::default()
        }
    }

    fn network(&self) -> &Unet {
        &self.progress.learner.unet
    }

    fn learner(&self) -> &Unet {
        &self.progress.learner.average
    }

    fn first_not_finite(&self) -> Option<String> {
        let learner = &self.progress.learner;
        let averaged = || first_not_finite(&learner.average, None);
        first_not_finite(&learner.unet, Some(&learner.optimizer)).or_else(averaged)
    }

    fn optimizer(&self) -> &AdamW {
        &self.progress.learner.optimizer
    }

    fn snapshot(&self, state: TrainingState) -> Result<Snapshot, CheckpointError> {
        self.progress.snapshot(state)
    }
}
