//! How the loop begins.

use std::{collections::BTreeSet, ops::Range, path::Path, sync::Arc, thread::Scope};

use ijepa_data::{Fingerprint, Loader};
use ijepa_model::{CheckpointError, checkpoint::TrainingState};
use serde_json::Value;

use super::{Run, device, prepared};
use crate::{
    device::is_cpu,
    error::TrainError,
    ranks::{Ranks, share, told},
    recipe::{OnNan, Settings},
    run::{
        agreement::check_alike,
        clock::Clock,
        differences::{Differences, changed, described},
        files::{BASELINES, ENVIRONMENT},
        folder::Folder,
        losses::Losses,
        observer::{Observer, Resumption},
        options::TrainOptions,
        span::{Next, Span},
        tables::{Beginning, Tables, last_two_logged},
        task::{Rhythm, Task},
        writer::Writer,
    },
};

/// A line about keys with their values before and now, if there are any.
fn said(changed: &[(String, String, String)]) -> Option<String> {
    let changes = changed.iter();
    let changes = changes.map(|(key, before, now)| format!("{key} was {before} and is {now}"));
    let changes: Vec<String> = changes.collect();
    (!changes.is_empty()).then(|| changes.join("; "))
}

/// The passes of a step that this process has.
fn own_passes(rhythm: &Rhythm, ranks: &dyn Ranks) -> Result<Range<usize>, TrainError> {
    let (passes, ranks, rank) = (rhythm.passes(), ranks.size(), ranks.rank());
    match passes < ranks {
        true => Err(TrainError::FewPasses { passes, ranks }),
        false => Ok(share(passes, ranks, rank)),
    }
}

/// Says of a run that begins, and not `from` a checkpoint, that it has made steps before.
fn without_checkpoint(folder: &Folder, from: Option<&Path>) -> Option<String> {
    if from.is_some() {
        return None;
    }
    let [_, last] = last_two_logged(folder.path())?;
    let steps = last + 1;
    Some(format!(
        "there is no checkpoint of the {steps} steps that this run has made; it begins anew"
    ))
}

/// Where a run goes on.
struct Start {
    /// Completed steps.
    step: u64,
    /// Images that they have seen.
    images: u64,
}

impl Start {
    fn of(state: &TrainingState, rhythm: &Rhythm) -> Self {
        // Official checkpoints count epochs only, and images by device.
        let epochs = state.epoch.saturating_mul(rhythm.steps_per_epoch);
        let step = state.step.unwrap_or(epochs);
        let batch_size = state.step.and(state.batch_size);
        let batch_size = batch_size.unwrap_or(rhythm.batch_size);
        Self {
            step,
            images: state.images.unwrap_or(step.saturating_mul(batch_size)),
        }
    }
}

/// What is missing of the images of training and of evaluations, each once. Observers know it
/// already, and whoever opened the data.
fn faults<L>(loader: &Loader, observers: &[&mut dyn Observer<L>]) -> BTreeSet<String> {
    let measured = observers.iter().flat_map(|observer| observer.faults());
    loader
        .source()
        .faults()
        .into_iter()
        .chain(measured)
        .collect()
}

/// What is to be known before the tables change: of the folder, and of what is different where the
/// run goes on.
fn warnings(
    folder: &Folder,
    from: Option<&Path>,
    differences: &Differences,
    data: &Fingerprint,
    goes_on: bool,
) -> Vec<String> {
    let warnings = [
        folder.warning(),
        differences.data(data),
        differences.batch_size(),
        folder.going_back(differences.step).filter(|_| goes_on),
        without_checkpoint(folder, from),
    ];
    warnings.into_iter().flatten().collect()
}

/// The step if the folder has its checkpoint, as rank 0 finds it, which is the only one to change
/// it.
fn saved(step: Option<u64>, folder: &Folder) -> Option<u64> {
    let saved = step.filter(|&step| folder.has(step));
    told(folder.ranks().as_ref(), &saved).swap_remove(0)
}

impl<'s, 'e, 'o, T: Task> Run<'s, 'e, 'o, T> {
    /// Opens data and tables, writes what describes the run and says where it goes on.
    pub(super) fn begin(
        task: T,
        from: Option<&Path>,
        state: TrainingState,
        folder: &'s Folder,
        options: &TrainOptions,
        observers: &'s mut [&'o mut dyn Observer<T::Learner>],
        scope: &'s Scope<'s, 'e>,
    ) -> Result<Self, TrainError> {
        let (rhythm, ranks) = (task.rhythm(), Arc::clone(folder.ranks()));
        let passes = own_passes(&rhythm, ranks.as_ref())?;
        let rank = ranks.rank();
        let observers = if rank == 0 { observers } else { &mut [] };
        let Start { step, images } = Start::of(&state, &rhythm);
        let changed = match from {
            Some(from) => Self::resume(&task, from, &state, step, observers)?,
            None => None,
        };
        let loader = task.loader(step, rhythm.places(&passes), options)?;
        let data = Fingerprint::of(loader.source());
        Self::agree(&task, ranks.as_ref(), &data, step)?;
        let span = Span::begin(options, rhythm.total_steps, rhythm.keeping.every(), step);
        let goes_on = span.decide(step) == Next::Step;
        let environment = described(&options.environment, &data);
        Self::describe(&task, folder, environment, goes_on)?;
        let differences = Differences {
            state: &state,
            step,
            rhythm,
        };
        let prepared = prepared(&task, ranks.as_ref()).into_iter();
        let warnings = prepared.chain(warnings(folder, from, &differences, &data, goes_on));
        let known = changed.into_iter().chain(faults(&loader, observers));
        let beginning = Beginning {
            from: from.map(|_| step),
            goes_on,
            log_every: rhythm.keeping.log_every_steps as u64,
        };
        let tables = match rank {
            0 => Some(Self::open_tables(
                folder,
                beginning,
                (warnings, known),
                observers,
            )?),
            _ => None,
        };
        let mut evaluations = tables.iter().flat_map(|tables| &tables.evaluations);
        let known = evaluations.any(|row| row.step == step);
        let saved = saved(from.map(|_| step), folder);
        Ok(Self {
            span,
            loader,
            data,
            tables,
            clock: Clock::default(),
            losses: Losses::going_on(state.losses),
            began: step,
            step,
            images,
            saved,
            evaluated: known.then_some(step),
            unread: Vec::new(),
            seen: None,
            unlogged: None,
            measured: None,
            looks_collapsed: false,
            logged: None,
            resumed_loss: state.loss,
            watches: is_cpu(&device(&task)) || rhythm.on_nan == OnNan::Skip,
            left_out: 0,
            task,
            rhythm,
            ranks,
            passes,
            folder,
            writer: Writer::new(scope),
            observers,
        })
    }

    /// Checks that all ranks train the same on the same data from the same step on.
    fn agree(task: &T, ranks: &dyn Ranks, data: &Fingerprint, step: u64) -> Result<(), TrainError> {
        if ranks.size() == 1 {
            return Ok(());
        }
        let mut data = data.clone();
        if told(ranks, &data).iter().any(|seen| seen.sizes.is_empty()) {
            data.sizes.clear();
        }
        let seen = serde_json::to_string(&data).expect("it is plain data");
        check_alike(
            ranks,
            vec![
                ("settings", task.settings().to_toml()),
                ("parts of the program's own", task.own_parts().join(", ")),
                ("data", seen),
                ("steps made", step.to_string()),
            ],
        )
    }

    /// Tells the observers about the checkpoint `from` that is gone on with after `step` steps;
    /// says which settings are not what they were.
    fn resume(
        task: &T,
        from: &Path,
        state: &TrainingState,
        step: u64,
        observers: &mut [&mut dyn Observer<T::Learner>],
    ) -> Result<Option<String>, TrainError> {
        if let Some(tensor) = task.first_not_finite() {
            let path = from.to_owned();
            return Err(CheckpointError::NotFinite { path, tensor }.into());
        }
        let changed = changed(task, state, from)?;
        let said = said(&changed);
        let from = Resumption { step, changed };
        observers.iter_mut().for_each(|o| o.on_resume(&from));
        Ok(said)
    }

    /// Writes down what is trained, and how; of a run that does not go on it stays as it was.
    fn describe(
        task: &T,
        folder: &Folder,
        environment: Value,
        goes_on: bool,
    ) -> Result<(), TrainError> {
        if goes_on {
            // They are of where the run once ended.
            folder.remove(BASELINES)?;
        } else if folder.path().join(T::Settings::FILE).exists() {
            return Ok(());
        }
        folder.write(T::Settings::FILE, &task.settings().to_toml())?;
        folder.write(ENVIRONMENT, &format!("{environment:#}\n"))
    }

    /// The tables of a run, with what is to be known of it from here on: warnings that are new to
    /// the observers, and those that are `known`.
    fn open_tables(
        folder: &Folder,
        beginning: Beginning,
        (warnings, known): (impl Iterator<Item = String>, impl Iterator<Item = String>),
        observers: &mut [&mut dyn Observer<T::Learner>],
    ) -> Result<Tables, TrainError> {
        let step = beginning.from.unwrap_or(0);
        let measured_on = observers.iter().filter_map(|o| o.measured_on());
        let mut tables = Tables::open(folder.path(), beginning, measured_on.collect())?;
        let other_basis = tables.other_basis();
        for warning in warnings.chain(other_basis) {
            observers.iter_mut().for_each(|o| o.on_warning(&warning));
            tables.warned(step, &warning)?;
        }
        for warning in known.filter(|_| beginning.goes_on) {
            tables.warned(step, &warning)?;
        }
        // What no other can be compared with stays the best of its kind.
        folder.keep_also(tables.best_of_others(T::BEST_BY));
        let best = tables.best(T::BEST_BY);
        if beginning.goes_on {
            if best.is_some() || !tables.has_other_scores() {
                folder.point_best(best)?;
            }
            folder.go_on_from(step)?;
        }
        Ok(tables)
    }
}
