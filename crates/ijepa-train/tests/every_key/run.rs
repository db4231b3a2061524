//! A run of a few steps, and all that it leaves behind.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use ijepa_data::{DataError, DataSpec, Source};
use ijepa_model::Compute;
use ijepa_testkit::{Replaced, TURNED_JPEG, device, twelve_bits};
use ijepa_train::{
    EpochScores, Learner, PretrainPlan, Recipe, TrainError, TrainOptions, pretrain,
    ranks::threads,
    run::{Columns, Folder, Observer, ObserverError, Position},
};

/// What a run leaves behind but its times and its recipe.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) error: Option<String>,
    pub(crate) weights: Vec<Vec<u8>>,
    pub(crate) checkpoints: BTreeSet<String>,
    pub(crate) epochs: String,
    /// How encoder, predictor and target encoder were computed.
    pub(crate) computed: Vec<Compute>,
    metrics: String,
}

impl Outcome {
    pub(crate) fn of(recipe: &Recipe) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut scorer = Scorer::default();
        let error = train(folder.path(), recipe, &mut scorer).err();
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap_or_default();
        let text = |name: &str| String::from_utf8(read(name)).unwrap();
        let kept = fs::read_dir(folder.path().join("checkpoints"));
        let names = kept.into_iter().flatten().map(|entry| {
            let name = entry.unwrap().file_name();
            name.into_string().unwrap()
        });
        Self {
            error: error.map(|error| error.to_string()),
            weights: ["encoder", "predictor"]
                .map(|part| read(&format!("checkpoints/latest/{part}.safetensors")))
                .to_vec(),
            checkpoints: names.collect(),
            epochs: text("epochs.csv"),
            computed: scorer.computed,
            metrics: text("metrics.csv"),
        }
    }

    /// The cells of a column of `metrics.csv`.
    pub(crate) fn column(&self, name: &str) -> Vec<&str> {
        let mut lines = self.metrics.lines();
        let mut header = lines.next().unwrap().split(',');
        let column = header.position(|found| found == name).unwrap();
        let cells: Vec<&str> = lines
            .map(|line| line.split(',').nth(column).unwrap())
            .collect();
        assert!(!cells.is_empty());
        cells
    }

    pub(crate) fn losses(&self) -> Vec<f64> {
        let cells = self.column("loss").into_iter();
        cells.map(|cell| cell.parse().unwrap()).collect()
    }
}

fn train(folder: &Path, recipe: &Recipe, scorer: &mut Scorer) -> Result<(), TrainError> {
    train_in(&Folder::open(folder)?, recipe, &mut [scorer])?;
    Ok(())
}

fn train_in(
    folder: &Folder,
    recipe: &Recipe,
    observers: &mut [&mut dyn Observer<Learner>],
) -> Result<Learner, TrainError> {
    let spec: DataSpec = "scenes:kind=texture,n=48,size=32".parse().unwrap();
    let source = Arc::new(with_bad_images_and_files(spec.open().unwrap()));
    let plan = PretrainPlan::new(recipe.clone(), source.len())?;
    let options = TrainOptions::default();
    Ok(pretrain(&plan, source, folder, &device(), &options, observers)?.1)
}

/// Whether two ranks that train together share the moments of the optimizer.
pub(crate) fn is_shared(recipe: &Recipe) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    thread::scope(|scope| {
        let ranks = threads(2).into_iter().map(|ranks| {
            scope.spawn(move || {
                let folder = Folder::of_ranks(path, ranks).unwrap();
                let learner = train_in(&folder, recipe, &mut []).unwrap();
                learner.optimizer.is_shared()
            })
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().all(|rank| rank.join().unwrap())
    })
}

/// Images of which two cannot be read; some are files, of a turned camera and of twelve bits.
fn with_bad_images_and_files(source: Arc<dyn Source>) -> Replaced {
    let files = Replaced::with_files(source, |index| match index % 8 {
        1 => Some(TURNED_JPEG.to_vec()),
        5 => Some(twelve_bits()),
        _ => None,
    });
    let files: Arc<dyn Source> = Arc::new(files);
    let names = Arc::clone(&files);
    Replaced::new(files, move |index, _| {
        let name = names.name(index);
        (index % 24 == 7).then(|| Err(DataError::MissingImage { name }.into()))
    })
}

/// Gives every epoch a score and looks at the learner.
#[derive(Default)]
struct Scorer {
    computed: Vec<Compute>,
}

impl Observer<Learner> for Scorer {
    fn measure(
        &mut self,
        at: &Position,
        learner: &Learner,
        _: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        let Learner { model, target, .. } = learner;
        self.computed = vec![
            model.encoder.compute(),
            model.predictor.compute(),
            target.encoder().compute(),
        ];
        let knn = Some(at.epochs as f64);
        Ok(Columns::from(EpochScores {
            knn,
            ..EpochScores::default()
        }))
    }
}
