//! Masks, crops and rates that a program makes itself.

use std::{fs, path::Path, sync::Arc};

use ijepa_data::ClassifierAugment;
use ijepa_testkit::{
    device,
    run::{metrics, tensors},
};
use ijepa_train::{PretrainPlan, TrainError, TrainSummary, pretrain, run::Folder};

use crate::support::{recipe, source, until};

fn train_by(
    run: &Path,
    steps: u64,
    change: impl Fn(PretrainPlan) -> PretrainPlan,
) -> Result<TrainSummary, TrainError> {
    let source = source();
    let logged = recipe(&["run.log_every_steps=1"]);
    let plan = change(PretrainPlan::new(logged, source.len())?);
    let folder = Folder::open(run)?;
    Ok(pretrain(&plan, source, &folder, &device(), &until(steps), &mut [])?.0)
}

#[test]
fn a_run_with_a_part_of_its_programs_is_not_gone_on_with_without() {
    let masks = |plan: PretrainPlan| {
        let sampler = recipe(&["mask.strategy=random"]).mask_sampler().unwrap();
        plan.with_sampler(Arc::from(sampler))
    };
    let squashed = Arc::new(ClassifierAugment::squash([24, 24]));
    let crops = |plan: PretrainPlan| plan.with_transform(squashed.clone());
    let rate = |plan: PretrainPlan| plan.with_learning_rate(|step| 1e-3 / (1 + step) as f64);
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    train_by(&plain, 4, |plan| plan).unwrap();
    type Change<'a> = &'a dyn Fn(PretrainPlan) -> PretrainPlan;
    let changes: [(&str, Change<'_>); 3] = [
        ("sampler", &masks),
        ("transform", &crops),
        ("learning_rate", &rate),
    ];
    for (part, change) in changes {
        let run = folder.path().join(part);
        train_by(&run, 2, change).unwrap();
        let error = train_by(&run, 4, |plan| plan).unwrap_err().to_string();
        let expected = format!("was trained with `{part}` = the program's own");
        assert!(error.contains(&expected), "{error}");
        train_by(&run, 4, change).unwrap();
        assert!(tensors(&run) != tensors(&plain), "{part}");
        let whole = folder.path().join(format!("{part}, whole"));
        train_by(&whole, 4, change).unwrap();
        assert!(tensors(&run) == tensors(&whole), "{part}");
    }
    // A run may go on with more, and then not without.
    train_by(&plain, 6, masks).unwrap();
    let warnings = fs::read_to_string(plain.join("warnings.csv")).unwrap();
    let expected = "sampler was the recipe's and is the program's own";
    assert!(warnings.contains(expected), "{warnings}");
    assert!(train_by(&plain, 8, |plan| plan).is_err());

    let rates = metrics(&folder.path().join("learning_rate"));
    let column = rates[0].iter().position(|name| name == "lr").unwrap();
    let rates: Vec<f64> = rates[1..]
        .iter()
        .map(|row| row[column].parse().unwrap())
        .collect();
    let expected = [1e-3, 5e-4, 1e-3 / 3.0, 2.5e-4];
    for (found, expected) in rates.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 1e-4, "{rates:?}");
    }
    assert_eq!(rates.len(), 4);
}
