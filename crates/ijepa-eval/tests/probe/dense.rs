//! Heads that say the class or the depth of every patch.

use ijepa_data::{DataError, Depth, FetchError, Fetched, Mask, Source};
use ijepa_eval::{
    DenseConfig, DenseSet, Extracted, Features, check_depths, check_masks, dense, depth,
};
use ijepa_testkit::{Replaced, device, noise};

use crate::scenes;

/// Images of 3 x 4 patches that show their classes, and masks of the same.
#[derive(Debug)]
struct Masked {
    seed: u64,
    images: usize,
    classes: usize,
}

impl Masked {
    fn class(&self, image: usize, patch: usize) -> usize {
        let share = f64::from(noise(self.seed, image * 12 + patch)).rem_euclid(1.0);
        (share * self.classes as f64) as usize
    }

    /// One value for each class, 1 where the patch shows it.
    fn extracted(&self) -> Extracted {
        let value = |at: usize| {
            let (patch, column) = (at / self.classes % 12, at % self.classes);
            let shown = self.class(at / self.classes / 12, patch) == column;
            if shown { 1.0 } else { 0.0 }
        };
        let dim = 12 * self.classes;
        let values = (0..self.images * dim).map(value).collect();
        Extracted {
            features: Features::new(dim, values, vec![None; self.images]).unwrap(),
            indices: (0..self.images).collect(),
            skipped: Vec::new(),
        }
    }
}

impl Source for Masked {
    fn len(&self) -> usize {
        self.images
    }

    fn name(&self, index: usize) -> String {
        format!("masked-{index}")
    }

    fn fetch(&self, _: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        unreachable!("features are given")
    }

    /// The upper left pixel is ignored.
    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        let class = |patch| match patch {
            0 => Mask::IGNORED,
            _ => self.class(index, patch) as u8,
        };
        Ok(Some(Mask::new([3, 4], (0..12).map(class).collect())))
    }

    /// A metre more than the number of the class, and nothing of the upper left pixel.
    fn depth(&self, index: usize) -> Result<Option<Depth>, DataError> {
        let metres = |patch| match patch {
            0 => Depth::UNKNOWN,
            _ if self.classes == 0 => Depth::UNKNOWN,
            _ => self.class(index, patch) as f32 + 1.0,
        };
        Ok(Some(Depth::new([3, 4], (0..12).map(metres).collect())))
    }
}

/// A head that hardly learns and one that learns well.
fn config() -> DenseConfig {
    DenseConfig {
        grid: [3, 4],
        size: [3, 4],
        lrs: vec![1e-6, 0.1],
        weight_decays: vec![0.0],
        batch_size: 16,
        epochs: 10,
        seed: 0,
    }
}

#[test]
fn a_dense_probe_learns_what_patches_show() {
    let set = |seed, images, classes| Masked {
        seed,
        images,
        classes,
    };
    let config = config();
    let run = |train: &Masked, test: &Masked, config: &DenseConfig| {
        let (learned, tested) = (train.extracted(), test.extracted());
        let of = |extracted, source| DenseSet { extracted, source };
        let (train, test) = (of(&learned, train), of(&tested, test));
        dense(train, test, config, &device(), |_| ())
    };
    let (train, test) = (set(1, 64, 4), set(2, 10, 4));
    let found = run(&train, &test, &config).unwrap();
    assert_eq!((found.classes, found.best.lr), (4, 0.1));
    assert_eq!((found.miou, found.pixel_accuracy), (100.0, 100.0));
    assert!(found.heads[0].miou < 100.0, "{found:?}");
    assert_eq!(run(&train, &test, &config).unwrap(), found);

    let message = |error: &dyn std::error::Error| error.to_string();
    let odd = DenseConfig {
        grid: [5, 2],
        ..config.clone()
    };
    let error = run(&train, &test, &odd).unwrap_err();
    assert!(message(&error).contains("48 features an image are not 10 patches"));
    let none = DenseConfig {
        lrs: Vec::new(),
        ..config.clone()
    };
    assert!(message(&run(&train, &test, &none).unwrap_err()).contains("no learning rate"));
    let (few, many) = (set(1, 64, 2), set(2, 10, 2));
    let found = run(&few, &many, &config).unwrap();
    assert_eq!((found.classes, found.miou), (2, 100.0));
    // Before a feature is computed as well as when heads are judged.
    let (learned, other) = (few.extracted(), many.extracted());
    let of = |extracted, source| DenseSet { extracted, source };
    let sets = [of(&learned, &few as &dyn Source), of(&other, &test)];
    let unknown = [
        check_masks(&few, &test).unwrap_err(),
        dense(sets[0], sets[1], &config, &device(), |_| ()).unwrap_err(),
    ];
    for error in unknown {
        let expected = "has class 3, training masks have 0 to 1";
        let error = message(&error).replace("class 2", "class 3");
        assert!(error.contains(expected), "{error}");
    }
    check_masks(&train, &many).unwrap();
    let plain = scenes("scenes:n=3,size=16");
    let plain = Replaced::with_files(plain, |_| None);
    let error = check_masks(&train, &plain).unwrap_err();
    assert!(message(&error).contains("has no mask"), "{error}");
}

/// Otherwise a head that says class 0 everywhere is the best where most pixels are of that class.
#[test]
fn a_head_that_diverged_finds_nothing_and_is_not_the_best() {
    let masked = Masked {
        seed: 1,
        images: 16,
        classes: 2,
    };
    let extracted = masked.extracted();
    let set = DenseSet {
        extracted: &extracted,
        source: &masked,
    };
    let config = DenseConfig {
        lrs: vec![1e300, 1e-6],
        epochs: 2,
        ..config()
    };
    let found = dense(set, set, &config, &device(), |_| ()).unwrap();
    let diverged = &found.heads[0];
    assert_eq!((diverged.loss, diverged.miou), (None, 0.0));
    assert_eq!((found.best.lr, diverged.pixel_accuracy), (1e-6, 0.0));
}

#[test]
fn a_depth_probe_learns_how_far_patches_are() {
    let set = |seed, images, classes| Masked {
        seed,
        images,
        classes,
    };
    let config = DenseConfig {
        epochs: 40,
        ..config()
    };
    let (train, test) = (set(1, 64, 4), set(2, 10, 4));
    let (learned, tested) = (train.extracted(), test.extracted());
    let run = |train: &dyn Source, test: &dyn Source, config: &DenseConfig| {
        let of = |extracted, source| DenseSet { extracted, source };
        let sets = [of(&learned, train), of(&tested, test)];
        depth(sets[0], sets[1], config, &device(), |_| ())
    };
    let found = run(&train, &test, &config).unwrap();
    assert_eq!((found.train_images, found.test_images), (64, 10));
    assert_eq!((found.best.lr, found.batch_size), (0.1, 16));
    let scores = found.scores;
    assert!(scores.rmse < 0.01 && scores.abs_rel < 0.01, "{found:?}");
    assert_eq!((scores, scores.delta1), (found.heads[1].scores, 100.0));
    // The mean of the known training pixels, said of all known test pixels.
    let known = |set: &Masked| -> Vec<f64> {
        let depths = (0..set.images).flat_map(|image| {
            let depth = set.depth(image).unwrap().unwrap();
            depth.known().collect::<Vec<f32>>()
        });
        depths.map(f64::from).collect()
    };
    let mean = known(&train).iter().sum::<f64>() / (64.0 * 11.0);
    assert!((found.mean - mean).abs() < 1e-12, "{}", found.mean);
    let squares = known(&test)
        .iter()
        .map(|it| (it - mean).powi(2))
        .sum::<f64>();
    let floor = (squares / (10.0 * 11.0)).sqrt();
    assert!((found.floor.rmse - floor).abs() < 1e-12, "{found:?}");
    assert!(found.heads[0].scores.rmse > 0.5, "{found:?}");
    assert_eq!(run(&train, &test, &config).unwrap(), found);

    let message = |train: &dyn Source, test: &dyn Source, config: &DenseConfig| {
        run(train, test, config).unwrap_err().to_string()
    };
    let (blind, far) = (set(1, 64, 0), set(2, 10, 0));
    let error = message(&blind, &test, &config);
    assert!(error.contains("no pixel of the training images"), "{error}");
    let error = message(&train, &far, &config);
    assert!(error.contains("no pixel of the test images"), "{error}");
    let wild = DenseConfig {
        lrs: vec![1e38],
        ..config.clone()
    };
    let error = message(&train, &test, &wild);
    assert!(error.contains("all 1 heads diverged"), "{error}");
    let textures = scenes("scenes:kind=texture,n=64,size=16");
    let error = message(textures.as_ref(), &test, &config);
    assert!(
        error.contains("#") && error.contains("has no depths"),
        "{error}"
    );
    let error = check_depths(&train, textures.as_ref()).unwrap_err();
    assert!(
        error.to_string().contains("kind count or distance"),
        "{error}"
    );
    check_depths(&train, &test).unwrap();
}
