//! Schedules against values written by the reference code.

use std::path::PathBuf;

use ijepa_train::recipe::{DecaySchedule, Recipe};
use ijepa_train::schedule::{ScheduleConfig, Schedules, WarmupCosine};
use safetensors::SafeTensors;

/// Both sides compute in f64; only the last bits of the cosine may differ.
const TOLERANCE: f64 = 1e-12;

fn golden(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let bytes = tensors.tensor(name).expect("a golden tensor").data();
    let words = bytes.chunks_exact(8);
    words
        .map(|word| f64::from_le_bytes(word.try_into().expect("8 bytes")))
        .collect()
}

fn assert_follows(what: &str, expected: &[f64], actual: impl Fn(u64) -> f64) {
    assert!(!expected.is_empty(), "{what}");
    for (step, expected) in expected.iter().enumerate() {
        let actual = actual(step as u64);
        assert!(
            (actual - expected).abs() <= TOLERANCE,
            "{what} at step {step}: {actual} is not {expected}"
        );
    }
}

/// Four epochs of five steps, one of them warm-up.
fn short() -> ScheduleConfig {
    ScheduleConfig {
        steps_per_epoch: 5,
        epochs: 4,
        warmup_epochs: 1.0,
        ipe_scale: 1.0,
        start_lr: 2e-4,
        lr: 1e-3,
        final_lr: 1e-6,
        weight_decay: 0.04,
        final_weight_decay: 0.4,
        decay_schedule: DecaySchedule::Cosine,
        ema_start: 0.996,
        ema_end: 1.0,
        anneal: 0.0,
    }
}

#[test]
fn all_reference_cases_are_reproduced() {
    let cases: serde_json::Value = serde_json::from_slice(&golden("schedules.json")).unwrap();
    let bytes = golden("schedules.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let cases = cases["cases"].as_object().unwrap();
    assert_eq!(cases.len(), 5);
    for (name, case) in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let schedules = Schedules::new(ScheduleConfig {
            steps_per_epoch: number("ipe") as usize,
            epochs: number("epochs") as usize,
            warmup_epochs: number("warmup_epochs"),
            ipe_scale: number("ipe_scale"),
            start_lr: number("start_lr"),
            lr: number("lr"),
            final_lr: number("final_lr"),
            weight_decay: number("wd"),
            final_weight_decay: number("final_wd"),
            decay_schedule: DecaySchedule::Cosine,
            ema_start: case["ema"][0].as_f64().unwrap(),
            ema_end: case["ema"][1].as_f64().unwrap(),
            anneal: 0.0,
        });
        let expected = |what: &str| numbers(&tensors, &format!("{name}.{what}"));
        assert_eq!(expected("lr").len(), 300, "{name}");
        assert_follows(&format!("{name} lr"), &expected("lr"), |s| schedules.lr(s));
        assert_follows(&format!("{name} wd"), &expected("wd"), |s| {
            schedules.weight_decay(s)
        });
        assert_follows(&format!("{name} ema"), &expected("m"), |s| schedules.ema(s));
    }
}

#[test]
fn a_reference_training_run_is_reproduced() {
    let lr = [
        0.00036,
        0.0005200000000000001,
        0.00068,
        0.00084,
        0.001,
        0.000989084726566536,
        0.0009568159560924792,
        0.0009046039886902864,
        0.0008347307378762498,
        0.0007502500000000002,
        0.0006548539886902864,
        0.000552711967402193,
        0.00044828803259780724,
        0.0003461460113097139,
        0.00025075000000000016,
        0.0001662692621237505,
        9.639601130971382e-05,
        4.418404390752081e-05,
        1.191527343346406e-05,
        1e-06,
    ];
    let weight_decay = [
        0.04221609869287518,
        0.04880982706687231,
        0.059618825646093776,
        0.07437694101250947,
        0.09272077938642143,
        0.11419865458735484,
        0.13828171004688156,
        0.16437694101250946,
        0.19184179629275844,
        0.22,
        0.2481582037072416,
        0.2756230589874905,
        0.30171828995311845,
        0.32580134541264516,
        0.3472792206135786,
        0.36562305898749053,
        0.3803811743539062,
        0.39119017293312763,
        0.3977839013071248,
        0.4,
    ];
    let ema: Vec<f64> = (0..20)
        .map(|step| 0.996 + 0.0002 * f64::from(step))
        .collect();
    let schedules = Schedules::new(short());
    assert_eq!((schedules.warmup_steps(), schedules.peak_lr()), (5, 1e-3));
    assert_follows("lr", &lr, |step| schedules.lr(step));
    assert_follows("weight decay", &weight_decay, |step| {
        schedules.weight_decay(step)
    });
    assert_follows("ema", &ema, |step| schedules.ema(step));
}

#[test]
fn a_linear_decay_is_a_line_and_a_constant_one_keeps_its_first_value() {
    let with = |decay_schedule| {
        Schedules::new(ScheduleConfig {
            decay_schedule,
            ..short()
        })
    };
    let line: Vec<f64> = (1..=20).map(|t| 0.04 + 0.018 * f64::from(t)).collect();
    let linear = with(DecaySchedule::Linear);
    assert_follows("linear", &line, |step| linear.weight_decay(step));
    let constant = with(DecaySchedule::Constant);
    assert_follows("constant", &[0.04; 20], |step| constant.weight_decay(step));
}

#[test]
fn a_falling_weight_decay_ends_at_its_final_value() {
    for decay_schedule in [DecaySchedule::Cosine, DecaySchedule::Linear] {
        let schedules = Schedules::new(ScheduleConfig {
            decay_schedule,
            weight_decay: 0.4,
            final_weight_decay: 0.04,
            ..short()
        });
        assert!(schedules.weight_decay(0) < 0.4);
        assert!(schedules.weight_decay(0) > 0.3);
        assert_eq!(schedules.weight_decay(19), 0.04);
    }
}

#[test]
fn longer_schedules_do_not_lengthen_the_run() {
    let schedules = Schedules::new(ScheduleConfig {
        ipe_scale: 1.25,
        ..short()
    });
    assert!(schedules.lr(19) > 1e-5);
    assert_eq!(schedules.lr(24), 1e-6);
}

#[test]
fn a_warm_up_as_long_as_the_run_stays_finite() {
    let schedules = Schedules::new(ScheduleConfig {
        warmup_epochs: 40.0,
        ..short()
    });
    assert_eq!(schedules.lr(19), 2e-4 + 20.0 / 200.0 * 8e-4);
    let exact = Schedules::new(ScheduleConfig {
        warmup_epochs: 4.0,
        ..short()
    });
    assert_eq!(exact.lr(19), 1e-3);
}

#[test]
fn fractions_of_a_step_are_dropped() {
    let schedules = Schedules::new(ScheduleConfig {
        warmup_epochs: 0.75,
        ipe_scale: 1.24,
        ..short()
    });
    assert_eq!(schedules.warmup_steps(), 3);
    assert_eq!(schedules.lr(2), 1e-3);
    assert_eq!(schedules.lr(23), 1e-6);
}

#[test]
fn a_final_rate_above_the_peak_is_kept_throughout() {
    let schedules = Schedules::new(ScheduleConfig {
        final_lr: 2e-3,
        ..short()
    });
    assert_follows("lr", &[2e-3; 15], |step| schedules.lr(step + 5));
}

#[test]
fn a_recipe_gives_every_value_of_its_schedules() {
    let recipe = Recipe::default()
        .with_overrides(&[
            "optimizer.epochs=4",
            "optimizer.warmup_epochs=1",
            "optimizer.ipe_scale=1.5",
            "optimizer.start_lr=3e-4",
            "optimizer.lr=2e-3",
            "optimizer.final_lr=2e-6",
            "optimizer.weight_decay=0.05",
            "optimizer.final_weight_decay=0.5",
            "optimizer.weight_decay_schedule=linear",
            "ema.start=0.99",
            "ema.end=0.999",
        ])
        .unwrap();
    assert_eq!(
        ScheduleConfig::new(&recipe, 7),
        ScheduleConfig {
            steps_per_epoch: 7,
            epochs: 4,
            warmup_epochs: 1.0,
            ipe_scale: 1.5,
            start_lr: 3e-4,
            lr: 2e-3,
            final_lr: 2e-6,
            weight_decay: 0.05,
            final_weight_decay: 0.5,
            decay_schedule: DecaySchedule::Linear,
            ema_start: 0.99,
            ema_end: 0.999,
            anneal: 0.0,
        }
    );
}

#[test]
fn terms_beside_the_prediction_fall_over_their_share_of_the_schedules() {
    let terms = |anneal, ipe_scale| {
        let config = ScheduleConfig {
            anneal,
            ipe_scale,
            ..short()
        };
        let schedules = Schedules::new(config);
        [0, 5, 10, 15, 19].map(|step| schedules.terms(step))
    };
    assert_eq!(terms(0.0, 1.0), [1.0; 5]);
    let near = |found: [f64; 5], expected: [f64; 5]| {
        let distance = found.into_iter().zip(expected).map(|(a, b)| (a - b).abs());
        assert!(distance.into_iter().all(|d| d < 1e-12), "{found:?}");
    };
    near(terms(0.5, 1.0), [1.0, 0.5, 0.0, 0.0, 0.0]);
    let last = 0.5 + 0.5 * (0.95 * std::f64::consts::PI).cos();
    let half = 0.5 + 0.5 * 0.5f64.sqrt();
    near(terms(1.0, 1.0), [1.0, half, 0.5, 1.0 - half, last]);
    assert_eq!(terms(0.5, 2.0)[2], 0.5);
}

#[test]
#[should_panic(expected = "a run has at least one step")]
fn a_run_without_steps_is_refused() {
    Schedules::new(ScheduleConfig {
        steps_per_epoch: 0,
        ..short()
    });
}

#[test]
#[should_panic(expected = "schedules last at least as long as the run")]
fn schedules_shorter_than_the_run_are_refused() {
    Schedules::new(ScheduleConfig {
        ipe_scale: 0.5,
        ..short()
    });
}

#[test]
fn rates_for_256_images_scale_with_the_batch() {
    let rates = |overrides: &[&str]| {
        let recipe = Recipe::default().with_overrides(overrides).unwrap();
        let schedules = Schedules::new(ScheduleConfig::new(&recipe, 10));
        [0, 150, 400, 2999].map(|step| schedules.lr(step))
    };
    let absolute = rates(&["run.batch_size=512"]);
    assert_eq!(absolute, rates(&["run.batch_size=64"]));
    let doubled = absolute.map(|lr| 2.0 * lr);
    let base = "optimizer.lr_is_base=true";
    for (step, (found, expected)) in rates(&["run.batch_size=512", base])
        .iter()
        .zip(doubled)
        .enumerate()
    {
        assert!(
            (found - expected).abs() < 1e-15,
            "{step}: {found} is not {expected}"
        );
    }
    assert_eq!(rates(&["run.batch_size=256", base]), absolute);
    assert!(rates(&["run.batch_size=64", base])[1] < 0.3 * absolute[1]);
}

#[test]
fn fine_tuning_warms_up_from_nothing_and_ends_at_the_least_rate() {
    let schedule = WarmupCosine {
        lr: 2.0,
        min_lr: 0.5,
        warmup_epochs: 4.0,
        epochs: 10.0,
    };
    // A line to the peak; halfway down the cosine is the mean, a third down it is three quarters.
    let expected = [
        (0.0, 0.0),
        (1.0, 0.5),
        (3.0, 1.5),
        (4.0, 2.0),
        (6.0, 1.625),
        (7.0, 1.25),
        (10.0, 0.5),
    ];
    for (epoch, rate) in expected {
        let found = schedule.at(epoch);
        assert!((found - rate).abs() < TOLERANCE, "{epoch}: {found}");
    }
}
