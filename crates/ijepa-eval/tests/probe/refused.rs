//! Labels and settings from which nothing can be learned.

use ijepa_eval::{Features, LogisticConfig, Pools, ProbeConfig, logistic, probe};
use ijepa_testkit::{device, noise};

use crate::{overlapping, quick};

fn labelled(labels: &[Option<u32>]) -> Features {
    let values = (0..labels.len() * 4).map(|at| noise(3, at)).collect();
    Features::new(4, values, labels.to_vec()).unwrap()
}

#[test]
fn labels_that_teach_nothing_are_refused() {
    let fine = labelled(&[Some(0), Some(1), Some(1)]);
    let check = |train: &[Option<u32>], test: &Features, message: &str| {
        let train = labelled(train);
        let error = probe(&train, test, &quick(), &device()).unwrap_err();
        assert_eq!(error.to_string(), message);
        let config = LogisticConfig {
            pools: Pools::Given,
            ..LogisticConfig::default()
        };
        let error = logistic(&train, test, &config, &device()).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    check(
        &[Some(0), None, None],
        &fine,
        "2 of 3 training images have no label, the first is image 1",
    );
    check(
        &[Some(0), Some(4_000_000_000)],
        &fine,
        "2 training images for 4000000001 classes, expected at least one a class",
    );
    check(
        &[Some(0), Some(0)],
        &fine,
        "test image 1 has label 1, which no training image has",
    );
    let narrow = Features::new(2, vec![0.0; 4], vec![Some(0); 2]).unwrap();
    let message = "training features have 4 values, test features 2; extract both alike";
    check(&[Some(0)], &narrow, message);
}

#[test]
fn configurations_out_of_range_are_refused() {
    let check = |change: &dyn Fn(&mut ProbeConfig), message: &str| {
        let mut config = quick();
        change(&mut config);
        let features = overlapping(1, 30);
        let error = probe(&features, &features, &config, &device()).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    check(
        &|c| c.lrs.clear(),
        "no learning rate is given, expected at least one",
    );
    check(
        &|c| c.lrs = vec![-1.0],
        "learning rate is -1, expected a number above 0",
    );
    check(&|c| c.epochs = 0, "epochs is 0, expected at least 1");
    check(
        &|c| c.weight_decays = vec![f64::NAN],
        "weight decay is NaN, expected a number of at least 0",
    );
    let odd = Features::new(5, vec![0.5; 10], vec![Some(0); 2]).unwrap();
    let config = ProbeConfig {
        pools: Pools::Both,
        ..quick()
    };
    let error = probe(&odd, &odd, &config, &device())
        .unwrap_err()
        .to_string();
    let expected = "5 features an image are no last four layers; extract them with concat4 pooling";
    assert_eq!(error, expected);
}
