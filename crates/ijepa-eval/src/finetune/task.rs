//! Fine-tuning as a task of the loop.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use ijepa_data::{Batch, Fingerprint, Loader, Reading, Skipped};
use ijepa_model::{
    CheckpointError, Classifier,
    checkpoint::{Snapshot, TrainingState},
};
use ijepa_train::{
    AdamW, ResolveError, SumOfGradients, TrainError, TrainOptions, TrainSummary, Update,
    first_not_finite,
    ranks::share,
    recipe::{OnNan, Reduce},
    run::{
        self, Columns, Folder, Gradients, Measured, Observer, ObserverError, Position, Rhythm, Row,
        Task, described_decoding,
    },
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    FinetuneData, FinetuneError, FinetunePlan, FinetuneRecipe, batch::Batches, checkpoint,
    evaluate::evaluate_checked, learner::Learner,
};
use crate::{
    Error,
    accuracy::Accuracy,
    features::{ExtractConfig, resize_of, weights_digest},
    stop::{Stoppable, unless_stopped},
};

/// The file of a run that has the digest of the encoder which it began with.
const BEGUN_WITH: &str = "encoder.blake3";

/// Accuracy on the test images after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochAccuracy {
    /// Completed epochs.
    pub epoch: u64,
    /// Completed steps.
    pub step: u64,
    /// Accuracy in percent.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

/// What a finished or stopped run reports.
#[derive(Debug, Clone)]
pub struct FinetuneSummary {
    /// What every run does.
    pub run: TrainSummary,
    /// Test images, without those that could not be read.
    pub test_images: usize,
    /// Completed epochs.
    pub epochs: u64,
    /// Accuracy of the last weights; `None` if the run was interrupted before it was measured.
    pub accuracy: Option<Accuracy>,
    /// The epoch with the best top-1 accuracy, the first of equals.
    pub best: Option<EpochAccuracy>,
}

/// Trains a classifier, as [`FinetunePlan::classifier`] begins it, on labels and judges it after
/// each epoch; the ranks of the folder share the passes of each batch. Low-rank pairs are part of
/// the weights of the classifier that it returns.
///
/// Everything random is a function of the seed, the step and the place in the batch, so a run
/// that is resumed, in passes of any size and with any number of workers, sees the same numbers.
///
/// # Errors
///
/// Any [`FinetuneError`]; checkpoints already written stay valid.
pub fn finetune(
    plan: &FinetunePlan,
    fresh: Classifier,
    data: &FinetuneData,
    folder: &Folder,
    device: &Device,
    options: &TrainOptions,
    observers: &mut [&mut dyn Observer<Classifier>],
) -> Result<(FinetuneSummary, Classifier), FinetuneError> {
    let batches = Batches {
        plan,
        normalization: fresh.normalization(),
        classes: data.classes().len(),
        device: device.clone().autodiff(),
    };
    let encoder = weights_digest(&fresh.encoder);
    let start = |from: Option<&Path>| -> Result<_, FinetuneError> {
        let (learner, state) = match from {
            Some(path) => {
                let opened = checkpoint::open(path, plan, data, &fresh, device)?;
                if let Some(run) = begun_with_other(&encoder, [Some(folder.path()), run_of(path)]) {
                    return Err(FinetuneError::OtherEncoder { run });
                }
                opened
            }
            None => {
                let learner = checkpoint::learner(plan, plan.trainable(fresh), device);
                (learner, TrainingState::default())
            }
        };
        folder.write(BEGUN_WITH, &format!("{encoder}\n"))?;
        let task = FineTuning {
            plan,
            data,
            batches,
            own_passes: share(plan.passes(), folder.ranks().size(), folder.ranks().rank()),
            learner,
        };
        Ok((task, state))
    };
    let mut test = TestAccuracy {
        plan,
        data,
        device,
        workers: options.workers,
        reading: plan.reading(options.reading),
        skipped: Vec::new(),
    };
    let mut all: Vec<&mut dyn Observer<Classifier>> = vec![&mut test];
    all.extend(observers.iter_mut().map(|observer| &mut **observer as _));
    let (run, task) = run::train(folder, options, &mut all, start)?;
    let test_images = data.test().len() - test.skipped.len();
    let classifier = task.learner.classifier.materialize();
    Ok((summary(run, plan, test_images), classifier))
}

fn summary(run: TrainSummary, plan: &FinetunePlan, test_images: usize) -> FinetuneSummary {
    let last = run.evaluations.last();
    let best = run.evaluations.iter().filter(|row| row.epoch.is_some());
    let best = best.filter_map(accuracy_of).reduce(|best, next| {
        match next.accuracy.top1 > best.accuracy.top1 {
            true => next,
            false => best,
        }
    });
    FinetuneSummary {
        epochs: run.steps / plan.steps_per_epoch,
        accuracy: last
            .filter(|last| last.step == run.steps)
            .and_then(accuracy_of)
            .map(|found| found.accuracy),
        best,
        test_images,
        run,
    }
}

/// The first of `runs` that says that it was begun with another encoder.
fn begun_with_other(encoder: &str, runs: [Option<&Path>; 2]) -> Option<PathBuf> {
    let known = |run: &Path| fs::read_to_string(run.join(BEGUN_WITH)).ok();
    let other = |run: &&Path| known(run).is_some_and(|known| known.trim() != encoder);
    runs.into_iter().flatten().find(other).map(Path::to_owned)
}

/// The run of a checkpoint.
fn run_of(checkpoint: &Path) -> Option<&Path> {
    checkpoint.parent()?.parent()
}

/// A row of `epochs.csv`.
fn accuracy_of(row: &Row) -> Option<EpochAccuracy> {
    Some(EpochAccuracy {
        epoch: row.epoch.map_or(0, |epoch| epoch + 1),
        step: row.step,
        accuracy: Accuracy {
            top1: row.get("top1")?,
            top5: row.get("top5")?,
        },
    })
}

struct FineTuning<'a> {
    plan: &'a FinetunePlan,
    data: &'a FinetuneData,
    batches: Batches<'a>,
    /// The passes of a batch that are this rank's.
    own_passes: Range<usize>,
    learner: Learner,
}

impl Task for FineTuning<'_> {
    type Settings = FinetuneRecipe;
    type Network = Classifier;
    type Learner = Classifier;
    type Seen = ();

    const LEARNED: &'static [&'static str] = &["run.batch_size", "run.precision", "run.seed"];
    const BEST_BY: &'static [&'static str] = &[];

    fn settings(&self) -> &FinetuneRecipe {
        &self.plan.recipe
    }

    fn rhythm(&self) -> Rhythm {
        let run = &self.plan.recipe.run;
        Rhythm {
            total_steps: self.plan.total_steps,
            steps_per_epoch: self.plan.steps_per_epoch,
            batch_size: run.batch_size as u64,
            pass_size: self.plan.pass_size() as u64,
            summation: Reduce::Auto.summation(&self.batches.device),
            keeping: run.keeping,
            eval_every_epochs: run.eval_every_epochs as u64,
            stop_if_collapsed: false,
            on_nan: OnNan::Stop,
            seed: run.seed,
            lr: Some(self.plan.schedule.lr),
        }
    }

    /// All of the batch on every rank: a pass has images from both ends of it.
    fn loader(
        &self,
        step: u64,
        _: Range<usize>,
        options: &TrainOptions,
    ) -> Result<Loader, TrainError> {
        let config = self.plan.loader(options, step);
        let config = config.map_err(ResolveError::from)?;
        Ok(Loader::new(self.data.train().clone(), config)?)
    }

    fn gradients(
        &mut self,
        batch: &Batch,
        sum: SumOfGradients,
    ) -> Result<Gradients<()>, TrainError> {
        let indices = batch.indices.iter();
        let labels: Vec<u32> = indices.map(|&index| self.data.label(index)).collect();
        let own = self.own_passes.clone();
        let passes = self.batches.passes(batch, &labels, own);
        Ok(self.learner.gradients(passes, sum))
    }

    fn apply(&mut self, step: u64, sum: SumOfGradients, groups: usize) -> Tensor<1> {
        let optimizer = &self.plan.recipe.optimizer;
        let with = Update {
            lr: self.plan.lr(step),
            weight_decay: optimizer.weight_decay,
            clip_grad: optimizer.clip_grad,
        };
        self.learner.apply(sum, groups, with)
    }

    fn measure(&self, step: u64, (): &(), _: f64) -> Measured {
        Measured {
            settings: Columns::of([("lr", self.plan.lr(step))]),
            ..Measured::default()
        }
    }

    fn network(&self) -> &Classifier {
        &self.learner.classifier
    }

    fn learner(&self) -> &Classifier {
        &self.learner.classifier
    }

    fn first_not_finite(&self) -> Option<String> {
        first_not_finite(&self.learner.classifier, Some(&self.learner.optimizer))
    }

    fn optimizer(&self) -> &AdamW {
        &self.learner.optimizer
    }

    fn snapshot(&self, state: TrainingState) -> Result<Snapshot, CheckpointError> {
        let state = TrainingState {
            decoding: described_decoding(self.plan.recipe.data.decoding),
            resize: Some(resize_of(self.plan.preprocess())),
            ..state
        };
        checkpoint::snapshot(&self.learner, state)
    }
}

/// Classifies the test images.
struct TestAccuracy<'a> {
    plan: &'a FinetunePlan,
    data: &'a FinetuneData,
    device: &'a Device,
    workers: usize,
    reading: Reading,
    /// Test images that could not be read the last time.
    skipped: Vec<Skipped>,
}

impl TestAccuracy<'_> {
    /// How test images are read.
    fn extract(&self) -> ExtractConfig {
        ExtractConfig {
            workers: self.workers,
            reading: self.reading,
            ..self.plan.evaluation()
        }
    }
}

impl Observer<Classifier> for TestAccuracy<'_> {
    fn measure(
        &mut self,
        at: &Position,
        classifier: &Classifier,
        stop: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        if at.step == 0 {
            // An untrained head guesses.
            return Ok(Columns::default());
        }
        let source = self.data.test().as_ref();
        let found = evaluate_checked(
            classifier,
            &Stoppable {
                source,
                stop,
                retry: self.reading.retry,
            },
            &self.extract(),
            self.device,
        );
        let failed = |error| Error::from(FinetuneError::Evaluate(error));
        let Some((accuracy, skipped)) = unless_stopped(stop, found.map_err(failed))? else {
            return Ok(Columns::default());
        };
        self.skipped = skipped;
        let Accuracy { top1, top5 } = accuracy;
        Ok(Columns::of([("top1", top1), ("top5", top5)]))
    }

    fn skipped(&self) -> Vec<Skipped> {
        self.skipped.clone()
    }

    fn faults(&self) -> Vec<String> {
        self.data.test().faults()
    }

    fn measured_on(&self) -> Option<Value> {
        let test = Fingerprint::of(self.data.test().as_ref());
        Some(json!({ "test": test, "images": self.extract().pixels() }))
    }
}
