//! Extraction: order, labels, images that cannot be read.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod ranks;
mod refused;
mod rows;
mod unreadable;

use std::collections::HashSet;
use std::time::Duration;

use ijepa_data::{DataError, FetchError, Fetched, Preprocess, RgbImage8, Source};
use ijepa_eval::{ExtractConfig, Extracted, extract};
use ijepa_model::{VisionTransformer, VisionTransformerConfig};
use ijepa_testkit::device;

/// Images of one grey level, ten times their index; some cannot be read.
#[derive(Debug)]
struct Levels {
    len: usize,
    bad: HashSet<usize>,
    panics: HashSet<usize>,
    black: HashSet<usize>,
    classes: [String; 2],
}

impl Levels {
    fn new(len: usize) -> Self {
        Self {
            len,
            bad: HashSet::new(),
            panics: HashSet::new(),
            black: HashSet::new(),
            classes: ["dark", "light"].map(str::to_owned),
        }
    }
}

impl Source for Levels {
    fn len(&self) -> usize {
        self.len
    }

    fn label(&self, index: usize) -> Option<u32> {
        (!index.is_multiple_of(5)).then_some(index as u32 * 3)
    }

    fn name(&self, index: usize) -> String {
        format!("level-{index}")
    }

    fn fetch(&self, index: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        // Early images are slow, so that threads finish out of order.
        std::thread::sleep(Duration::from_millis((index as u64 * 7) % 5));
        assert!(!self.panics.contains(&index), "no such level");
        if self.bad.contains(&index) {
            return Err(DataError::MissingImage {
                name: self.name(index),
            }
            .into());
        }
        let level = |at: usize| match self.black.contains(&index) {
            true => 0,
            false => (index * 10 + at % 7) as u8,
        };
        let pixels = (0..16 * 16 * 3).map(level).collect();
        Ok(Fetched::Pixels(RgbImage8::new(16, 16, pixels)?.into()))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

fn encoder() -> VisionTransformer {
    let config = VisionTransformerConfig {
        mlp_ratio: 2.0,
        ..VisionTransformerConfig::new([16, 16], 8, 24, 4, 2)
    };
    config.init(&device())
}

fn config() -> ExtractConfig {
    ExtractConfig {
        preprocess: Preprocess::None,
        batch_size: 4,
        ..ExtractConfig::default()
    }
}

fn run(source: &dyn Source, config: &ExtractConfig) -> Extracted {
    extract(&encoder(), source, config, &device()).unwrap()
}
