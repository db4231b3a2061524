//! Heads that say the class of every patch.

use ijepa_data::{DataError, FetchError, Fetched, Mask, Source};
use ijepa_eval::{DenseConfig, Extracted, Features, Segmented, check_masks, dense};
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

    fn label(&self, _: usize) -> Option<u32> {
        None
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

    fn classes(&self) -> &[String] {
        &[]
    }
}

#[test]
fn a_dense_probe_learns_what_patches_show() {
    let set = |seed, images, classes| Masked {
        seed,
        images,
        classes,
    };
    let config = DenseConfig {
        grid: [3, 4],
        size: [3, 4],
        lrs: vec![1e-6, 0.1],
        weight_decays: vec![0.0],
        batch_size: 16,
        epochs: 10,
        seed: 0,
    };
    let run = |train: &Masked, test: &Masked, config: &DenseConfig| {
        let (learned, tested) = (train.extracted(), test.extracted());
        let of = |extracted, source| Segmented { extracted, source };
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
    let plain = scenes("scenes:n=3,size=16");
    let plain = Replaced::with_files(plain, |_| None);
    let error = check_masks(&train, &plain).unwrap_err();
    assert!(message(&error).contains("has no mask"), "{error}");
}
