//! Runs that several ranks, here threads, train together.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use ijepa_data::{DataError, DataSpec, FetchError, Fetched, Source};
use ijepa_testkit::device;
use ijepa_train::{
    EpochScores, Learner, PretrainPlan, Recipe, TrainError, TrainOptions, TrainSummary, pretrain,
    ranks::{Ranks, Single, threads},
    run::{Columns, Folder, Observer, ObserverError, Position},
};
use safetensors::SafeTensors;

/// Six groups a step.
const TINY: [&str; 12] = [
    "model.embed_dim=16",
    "model.depth=1",
    "model.num_heads=2",
    "model.image_size=24",
    "model.predictor_dim=8",
    "model.predictor_depth=1",
    "mask.group_size=3",
    "mask.min_keep=3",
    "run.batch_size=18",
    "optimizer.steps_per_epoch=2",
    "run.log_every_steps=1",
    "data.max_bad_fraction=0.1",
];

fn recipe(overrides: &[&str]) -> Recipe {
    let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
    let recipe = recipe.with_overrides(&TINY).unwrap();
    recipe.with_overrides(overrides).unwrap()
}

/// Rendered images, some of which are damaged and some of which cannot be had.
#[derive(Debug)]
struct Images {
    scenes: Box<dyn Source>,
    damaged: HashSet<usize>,
    away: HashSet<usize>,
}

impl Images {
    fn new() -> Self {
        let spec: DataSpec = "scenes:kind=texture,n=40,size=32".parse().unwrap();
        Self {
            scenes: spec.open().unwrap(),
            damaged: HashSet::new(),
            away: HashSet::new(),
        }
    }

    fn damaged() -> Self {
        Self {
            damaged: HashSet::from([5, 23, 31]),
            ..Self::new()
        }
    }
}

impl Source for Images {
    fn len(&self) -> usize {
        self.scenes.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.scenes.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.scenes.name(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let name = self.name(index);
        if self.away.contains(&index) {
            return Err(FetchError::Missing(DataError::MissingImage { name }));
        }
        if self.damaged.contains(&index) {
            return Err(FetchError::Corrupt(DataError::MissingImage { name }));
        }
        self.scenes.fetch(index, buffer)
    }

    fn classes(&self) -> &[String] {
        self.scenes.classes()
    }
}

/// What each rank's part of a run comes to.
type Results = Vec<Result<TrainSummary, TrainError>>;

fn train(
    run: &Path,
    recipe: &Recipe,
    images: Images,
    options: &TrainOptions,
    ranks: Arc<dyn Ranks>,
) -> Result<TrainSummary, TrainError> {
    observed(run, recipe, images, options, ranks, &mut [])
}

fn observed(
    run: &Path,
    recipe: &Recipe,
    images: Images,
    options: &TrainOptions,
    ranks: Arc<dyn Ranks>,
    observers: &mut [&mut dyn Observer<Learner>],
) -> Result<TrainSummary, TrainError> {
    let plan = PretrainPlan::new(recipe.clone(), images.len())?;
    let folder = Folder::of_ranks(run, ranks)?;
    let source = Arc::new(images);
    Ok(pretrain(&plan, source, &folder, &device(), options, observers)?.0)
}

/// Trains on `size` ranks, of which each has its own recipe, images and options.
fn on_ranks(
    run: &Path,
    size: usize,
    given: impl Fn(usize) -> (Recipe, Images, TrainOptions) + Sync,
) -> Results {
    let given = &given;
    thread::scope(|scope| {
        let ranks = threads(size).into_iter().enumerate();
        let ranks: Vec<_> = ranks
            .map(|(rank, ranks)| {
                scope.spawn(move || {
                    let (recipe, images, options) = given(rank);
                    train(run, &recipe, images, &options, ranks)
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn until(step: u64) -> TrainOptions {
    TrainOptions {
        max_steps: Some(step),
        ..TrainOptions::default()
    }
}

/// Trains to `step` on `size` ranks, none of which may fail; one is a process on its own.
fn trained(run: &Path, overrides: &[&str], size: usize, step: u64) {
    let recipe = recipe(overrides);
    if size == 1 {
        train(
            run,
            &recipe,
            Images::damaged(),
            &until(step),
            Single::shared(),
        )
        .unwrap();
        return;
    }
    let results = on_ranks(run, size, |_| {
        (recipe.clone(), Images::damaged(), until(step))
    });
    for result in results {
        assert_eq!(result.unwrap().steps, step);
    }
}

/// The bytes of every tensor file of the newest checkpoint.
fn tensors(run: &Path) -> Vec<Vec<u8>> {
    let latest = run.join("checkpoints/latest");
    ["encoder", "predictor", "target_encoder", "optimizer"]
        .map(|part| fs::read(latest.join(format!("{part}.safetensors"))).unwrap())
        .to_vec()
}

fn column(run: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let at = header.split(',').position(|found| found == name).unwrap();
    let cells = rows.lines().map(|row| row.split(',').nth(at).unwrap());
    cells.map(str::to_owned).collect()
}

/// The largest difference of any two numbers of the encoders.
fn difference(a: &[u8], b: &[u8]) -> f32 {
    let [a, b] = [a, b].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let values = |bytes: &[u8]| -> Vec<f32> {
        let words = bytes.chunks(4);
        words
            .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
            .collect()
    };
    let pairs = a.tensors().into_iter().flat_map(|(name, tensor)| {
        let other = b.tensor(&name).unwrap();
        let pairs = values(tensor.data()).into_iter().zip(values(other.data()));
        pairs.collect::<Vec<_>>()
    });
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn any_number_of_ranks_learns_the_same_bits() {
    for accumulated in ["run.micro_batch=0", "run.micro_batch=6"] {
        let folder = tempfile::tempdir().unwrap();
        let overrides = [
            "optimizer.clip_grad=0.5",
            "model.drop_path=0.2",
            "model.position_noise=0.25",
            "objective.center_targets=true",
            accumulated,
        ];
        let run = |size: usize| {
            let run = folder.path().join(size.to_string());
            trained(&run, &overrides, size, 4);
            run
        };
        let alone = run(1);
        for size in [2, 3, 4, 5] {
            if size > 3 && accumulated.ends_with('6') {
                // Three passes.
                continue;
            }
            let together = run(size);
            assert!(
                tensors(&together) == tensors(&alone),
                "{size}, {accumulated}"
            );
            for name in ["loss", "grad_norm", "images", "ema"] {
                assert_eq!(column(&together, name), column(&alone, name), "{name}");
            }
            let skipped = |run: &Path| {
                let text = fs::read_to_string(run.join("skipped.csv")).unwrap();
                text.lines().map(str::to_owned).collect::<HashSet<_>>()
            };
            assert_eq!(skipped(&together), skipped(&alone));
        }
    }
}

#[test]
fn ranks_that_share_moments_learn_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, overrides: &[&str], size| {
        let run = folder.path().join(name);
        trained(&run, overrides, size, 4);
        tensors(&run)
    };
    let alone = run("alone", &["optimizer.clip_grad=0.5"], 1);
    let shared = ["optimizer.clip_grad=0.5", "run.shard_optimizer=true"];
    for size in [1, 2, 3] {
        let together = run(&format!("shared-{size}"), &shared, size);
        assert!(together == alone, "{size}");
    }
}

#[test]
fn shared_moments_go_on_whole_and_whole_ones_shared() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    trained(&whole, &[], 1, 5);
    for (size, shared, step) in [
        (4, true, 1),
        (2, true, 2),
        (3, false, 3),
        (2, true, 4),
        (1, true, 5),
    ] {
        let shared = format!("run.shard_optimizer={shared}");
        trained(&parts, &[&shared], size, step);
    }
    assert!(tensors(&parts) == tensors(&whole));
    assert_eq!(column(&parts, "loss"), column(&whole, "loss"));
}

/// Scores that fall after the first epoch.
struct Falling;

impl Observer<Learner> for Falling {
    fn measure(
        &mut self,
        at: &Position,
        _: &Learner,
        _: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        let knn = Some(-(at.epochs as f64));
        Ok(Columns::from(EpochScores {
            knn,
            ..EpochScores::default()
        }))
    }
}

/// Rank 0 evaluates, but cannot save alone: the best epoch is one that would not have been saved.
#[test]
fn ranks_that_share_moments_save_what_rank_0_finds_best() {
    let folder = tempfile::tempdir().unwrap();
    let rare = ["run.checkpoint_every_steps=100", "run.shard_optimizer=true"];
    thread::scope(|scope| {
        for ranks in threads(2) {
            scope.spawn(|| {
                let (recipe, options, ranks) = (recipe(&rare), until(4), ranks);
                let observers: &mut [&mut dyn Observer<Learner>] = &mut [&mut Falling];
                observed(
                    folder.path(),
                    &recipe,
                    Images::new(),
                    &options,
                    ranks,
                    observers,
                )
                .unwrap();
            });
        }
    });
    let best = fs::read_link(folder.path().join("checkpoints/best")).unwrap();
    assert_eq!(best.to_str(), Some("step-2"));
    assert!(folder.path().join("checkpoints/step-4").is_dir());
}

/// An update is the gradient over its size, which makes much of the rounding of small ones unless
/// `optimizer.eps` is larger than these.
#[test]
fn the_fast_order_learns_the_same_but_for_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let run = |size: usize| {
        let run = folder.path().join(size.to_string());
        trained(&run, &["run.reduce=fast", "optimizer.eps=1e-3"], size, 4);
        tensors(&run)
    };
    let (alone, together) = (run(1), run(3));
    assert!(difference(&together[0], &alone[0]) < 1e-6);
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    trained(&whole, &[], 1, 4);
    for (size, step) in [(4, 1), (2, 3), (1, 4)] {
        trained(&parts, &[], size, step);
    }
    assert!(tensors(&parts) == tensors(&whole));
    assert_eq!(column(&parts, "loss"), column(&whole, "loss"));
}

/// Of the images of the second step one is away, which one rank finds out; what the first step
/// has learned is saved.
#[test]
fn a_rank_that_fails_ends_all_after_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let order = ijepa_data::epoch_order(recipe(&[]).run.seed, 0, 40);
    let last = order[2 * 18 - 1] as usize;
    let results = on_ranks(folder.path(), 3, |_| {
        let away = HashSet::from([last]);
        let images = Images {
            away,
            ..Images::new()
        };
        (recipe(&[]), images, until(4))
    });
    let errors: Vec<TrainError> = results.into_iter().map(Result::unwrap_err).collect();
    assert!(
        matches!(errors[0], TrainError::OtherRank { rank: 2 }),
        "{errors:?}"
    );
    assert!(
        matches!(errors[1], TrainError::OtherRank { rank: 2 }),
        "{errors:?}"
    );
    assert!(matches!(errors[2], TrainError::Data(_)), "{errors:?}");
    assert!(folder.path().join("checkpoints/step-1").is_dir());
    let run = folder.path();
    train(
        run,
        &recipe(&[]),
        Images::new(),
        &until(4),
        Single::shared(),
    )
    .unwrap();
    let whole = tempfile::tempdir().unwrap();
    train(
        whole.path(),
        &recipe(&[]),
        Images::new(),
        &until(4),
        Single::shared(),
    )
    .unwrap();
    assert!(tensors(run) == tensors(whole.path()));
}

/// Two of one rank and one of the other.
#[test]
fn unreadable_images_of_all_ranks_end_all() {
    let folder = tempfile::tempdir().unwrap();
    let order = ijepa_data::epoch_order(recipe(&[]).run.seed, 0, 40);
    let results = on_ranks(folder.path(), 2, |_| {
        let strict = recipe(&["data.max_bad_fraction=0.03"]);
        let damaged = [2, 7, 11].map(|place| order[place] as usize).into();
        let images = Images {
            damaged,
            ..Images::new()
        };
        (strict, images, until(4))
    });
    for result in results {
        let error = result.unwrap_err();
        let TrainError::Data(DataError::TooManyBad { bad, allowed, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!((*bad, *allowed), (3, 2));
    }
}

#[test]
fn a_request_to_stop_of_one_rank_stops_all() {
    let folder = tempfile::tempdir().unwrap();
    let results = on_ranks(folder.path(), 3, |rank| {
        let options = TrainOptions {
            stop: Arc::new(AtomicBool::new(rank == 1)),
            ..until(4)
        };
        (recipe(&[]), Images::new(), options)
    });
    for result in results {
        let summary = result.unwrap();
        assert!(summary.interrupted);
        assert_eq!(summary.steps, 0);
    }
    assert!(folder.path().join("checkpoints/step-0").is_dir());
}

#[test]
fn ranks_that_cannot_work_together_do_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let results = on_ranks(folder.path(), 3, |rank| {
        let seed = format!("run.seed={}", rank / 2);
        (recipe(&[&seed]), Images::new(), until(4))
    });
    for result in results {
        let error = result.unwrap_err();
        assert!(
            matches!(error, TrainError::RanksDiffer { rank: 2 }),
            "{error}"
        );
    }
    let results = on_ranks(folder.path(), 2, |_| {
        (recipe(&["run.micro_batch=18"]), Images::new(), until(4))
    });
    for result in results {
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("a step has 1 passes"), "{message}");
    }
}
