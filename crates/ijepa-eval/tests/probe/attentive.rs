//! A head that attends to the patches of an image.

use ijepa_eval::{Features, Pools, ProbeConfig, Protocol, probe};
use ijepa_testkit::{device, noise};

use crate::{CLASSES, quick};

/// Images of 16 patches, one of which, the one that is marked, shows the class; all others show
/// others. Also their means.
fn marked(seed: u64, images: usize) -> [Features; 2] {
    const WIDTH: usize = CLASSES + 2;
    let (mut tokens, mut means) = (Vec::new(), Vec::new());
    let labels: Vec<_> = (0..images)
        .map(|image| Some((image % CLASSES) as u32))
        .collect();
    for image in 0..images {
        let draw = |at: usize, below: usize| {
            let share = f64::from(noise(seed, image * 64 + at)).rem_euclid(1.0);
            (share * below as f64) as usize
        };
        let place = draw(0, 16);
        let mut mean = [0.0; WIDTH];
        for patch in 0..16 {
            let is_marked = patch == place;
            let shown = match is_marked {
                true => image % CLASSES,
                false => draw(1 + patch, CLASSES),
            };
            let mut token = [0.0; WIDTH];
            token[shown] = 2.0;
            token[CLASSES] = if is_marked { 2.0 } else { 0.0 };
            token[CLASSES + 1] = noise(seed + 1, image * 16 + patch);
            mean.iter_mut()
                .zip(token)
                .for_each(|(sum, value)| *sum += value / 16.0);
            tokens.extend(token);
        }
        means.extend(mean);
    }
    let features = |dim, values| Features::new(dim, values, labels.clone()).unwrap();
    [features(16 * WIDTH, tokens), features(WIDTH, means)]
}

#[test]
fn an_attentive_head_finds_the_patch_that_matters_and_the_mean_does_not() {
    let ([tokens, means], [test_tokens, test_means]) = (marked(1, 480), marked(5, 120));
    let config = ProbeConfig {
        pools: Pools::Attentive {
            tokens: 16,
            num_heads: 2,
        },
        lrs: vec![3e-3, 1e-2],
        batch_size: 32,
        epochs: 12,
        ..Protocol::Attentive.config()
    };
    let attentive = probe(&tokens, &test_tokens, &config, &device()).unwrap();
    let mean = probe(&means, &test_means, &quick(), &device()).unwrap();
    assert!(attentive.top1 > 95.0, "{attentive:?}");
    assert!(mean.top1 < 60.0, "{mean:?}");
    assert_eq!(attentive.heads.len(), 2);

    let refused = |change: &dyn Fn(&mut ProbeConfig), message: &str| {
        let mut config = config.clone();
        change(&mut config);
        let error = probe(&tokens, &test_tokens, &config, &device()).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    };
    let shape = |tokens, num_heads| Pools::Attentive { tokens, num_heads };
    refused(
        &|it| it.pools = shape(15, 2),
        "128 features an image are not 15 tokens",
    );
    refused(
        &|it| it.pools = shape(16, 3),
        "16 tokens for 3 attention heads",
    );
    refused(&|it| it.pools = shape(0, 1), "not 0 tokens");
    refused(&|it| it.pools = Pools::Given, "learn by AdamW");
    refused(&|it| it.norms = quick().norms, "without batch norms");
}
