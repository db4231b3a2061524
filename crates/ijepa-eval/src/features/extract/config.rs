//! How images become features.

use ijepa_data::{Decode, Decoding, JPEG_DECODER, Preprocess, Reading};
use ijepa_model::{Checkpoint, Normalization, Pooling, VisionTransformer, checkpoint::Resize};
use ijepa_train::Recipe;

use super::ExtractError;

/// How images become features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExtractConfig {
    /// How the tokens of an image become one vector.
    pub pooling: Pooling,
    /// How an image gets the encoder's size.
    pub preprocess: Preprocess,
    /// Channel statistics that the encoder was trained with.
    pub normalization: Normalization,
    /// Images a forward pass, at least 1.
    pub batch_size: usize,
    /// Threads that read, decode and resize; 0 does it in the calling thread.
    pub workers: usize,
    /// What is waited for and how much is decoded at once.
    pub reading: Reading,
}

impl Default for ExtractConfig {
    /// Mean pooling, evaluation preprocessing, ImageNet statistics, 64 images, 4 threads.
    fn default() -> Self {
        Self {
            pooling: Pooling::Mean,
            preprocess: Preprocess::Eval,
            normalization: Normalization::IMAGENET,
            batch_size: 64,
            workers: 4,
            reading: Reading::default(),
        }
    }
}

/// How images of `channels` channels are normalised when nothing says it: colours by ImageNet's
/// statistics, others not; none if no image has so many.
pub fn default_normalization(channels: usize) -> Option<Normalization> {
    match channels {
        3 => Some(Normalization::IMAGENET),
        _ => Normalization::none(channels),
    }
}

/// How images get the size of the encoder of `checkpoint`, if it says so.
pub fn preprocess_of(checkpoint: &Checkpoint) -> Option<Preprocess> {
    checkpoint.resize.map(preprocess_as)
}

fn preprocess_as(resize: Resize) -> Preprocess {
    match resize {
        Resize::Squash => Preprocess::Squash,
        Resize::None => Preprocess::None,
        Resize::Crop { margin } => Preprocess::of_margin(margin),
    }
}

/// What a checkpoint says of an encoder whose images get their size so.
pub(crate) fn resize_of(preprocess: Preprocess) -> Resize {
    match preprocess {
        Preprocess::Squash => Resize::Squash,
        Preprocess::None => Resize::None,
        Preprocess::Eval => Resize::EVALUATION,
        Preprocess::Fill => Resize::Crop { margin: 1.0 },
        Preprocess::Crop { margin } => Resize::Crop { margin },
    }
}

/// How files are decoded for the encoder of `checkpoint`: in full, with its channels, and upright
/// and in as many bits as when it was trained.
pub fn decoding_of(checkpoint: &Checkpoint) -> Decoding {
    let known = checkpoint.state.decoding.clone();
    let known = known.and_then(|known| serde_json::from_value::<Decoding>(known).ok());
    Decoding {
        decode: Decode::default(),
        channels: checkpoint.encoder_config.in_chans,
        ..known.unwrap_or_default()
    }
}

impl ExtractConfig {
    /// The default with the preprocessing, the decoding and the statistics that `checkpoint` asks
    /// for; without a word about colours ImageNet's, and other channels as they are.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let mut config = Self::default();
        let channels = checkpoint.encoder_config.in_chans;
        if let Some(preprocess) = preprocess_of(checkpoint) {
            config.preprocess = preprocess;
        }
        config.reading.decoding = decoding_of(checkpoint);
        if let Some(statistics) = checkpoint
            .normalization
            .or_else(|| default_normalization(channels))
        {
            config.normalization = statistics;
        }
        config
    }

    /// The default with the decoding and the statistics of `recipe`: how a run that trains by it is
    /// measured.
    pub fn of_recipe(recipe: &Recipe) -> Self {
        let mut config = Self {
            normalization: recipe.data.normalization(),
            ..Self::default()
        };
        config.reading.decoding = recipe.data.channel_decoding();
        config
    }

    /// For a run of `own`, a change of `recipe`: what is as `recipe` says becomes as `own` says.
    pub(crate) fn for_variant(self, recipe: &Recipe, own: &Recipe) -> Self {
        fn changed<T: PartialEq>(now: T, [from, to]: [T; 2]) -> T {
            if now == from { to } else { now }
        }
        let recipes = [recipe, own].map(|it| &it.data);
        let decodings = recipes.map(|data| data.channel_decoding());
        let now = self.reading.decoding;
        let decoding = Decoding {
            decode: now.decode,
            orientation: changed(now.orientation, decodings.map(|it| it.orientation)),
            sixteen_bit: changed(now.sixteen_bit, decodings.map(|it| it.sixteen_bit)),
            channels: changed(now.channels, decodings.map(|it| it.channels)),
        };
        let statistics = recipes.map(|data| data.normalization());
        Self {
            normalization: changed(self.normalization, statistics),
            reading: Reading {
                decoding,
                ..self.reading
            },
            ..self
        }
    }

    /// Checks that images get the `expected` channels that an encoder takes.
    pub(crate) fn check_channels(&self, expected: usize) -> Result<(), ExtractError> {
        let found = self.reading.decoding.channels;
        match found == expected && self.normalization.fits(expected) {
            true => Ok(()),
            false => Err(ExtractError::Channels {
                encoder: expected,
                images: found,
                statistics: self.normalization.channels(),
            }),
        }
    }

    /// Checks that `encoder` takes such images and has the layers that the pooling needs.
    pub(crate) fn check(&self, encoder: &VisionTransformer) -> Result<(), ExtractError> {
        self.check_channels(encoder.config().in_chans)?;
        let depth = encoder.config().depth;
        if depth < self.pooling.layers() {
            return Err(ExtractError::Shallow { depth });
        }
        if self.batch_size == 0 {
            return Err(ExtractError::BatchSize);
        }
        Ok(())
    }

    /// All that decides what the features of an encoder are, as kept results are named.
    pub(crate) fn described(&self) -> String {
        let pixels = self.pixels();
        format!("({:?}, {pixels}, {:?})", self.pooling, self.normalization)
    }

    /// How files become pixels of the encoder's size; what is as by default is not said.
    pub(crate) fn pixels(&self) -> String {
        let (how, decoding) = (self.preprocess, self.reading.decoding);
        let mut pixels = format!("{how:?}");
        if decoding != Decoding::default() {
            pixels += &format!(", {decoding:?}");
        }
        if JPEG_DECODER != "zune-jpeg" {
            pixels += &format!(", {JPEG_DECODER}");
        }
        pixels
    }

    /// Values of the pooled features of an image.
    pub(crate) fn dim(&self, encoder: &VisionTransformer) -> usize {
        match self.pooling {
            Pooling::Mean | Pooling::Concat4 => self.pooling.layers() * encoder.embed_dim(),
            Pooling::Tokens | Pooling::Map => encoder.grid().num_patches() * encoder.embed_dim(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ijepa_data::{Orientation, SixteenBit};

    use super::*;

    #[test]
    fn variants_are_measured_as_they_are_trained_unless_told_otherwise() {
        let recipe = Recipe::default();
        let own = recipe.with_overrides(&["data.mean=[0.1,0.2,0.3]", "data.orientation=exif"]);
        let own = own.unwrap();
        let mut asked = ExtractConfig::of_recipe(&recipe);
        asked.reading.decoding.sixteen_bit = SixteenBit::Scale;
        let found = asked.for_variant(&recipe, &own);
        assert_eq!(found.normalization, own.data.normalization());
        let decoding = found.reading.decoding;
        assert_eq!(decoding.orientation, Orientation::Exif);
        assert_eq!(decoding.sixteen_bit, SixteenBit::Scale);

        let half = ExtractConfig {
            normalization: Normalization::HALF,
            ..asked
        };
        let found = half.for_variant(&recipe, &own);
        assert_eq!(found.normalization, Normalization::HALF);
    }

    #[test]
    fn what_is_recorded_is_read_as_what_it_was() {
        for preprocess in [
            Preprocess::Eval,
            Preprocess::Fill,
            Preprocess::Crop { margin: 1.1 },
            Preprocess::Squash,
            Preprocess::None,
        ] {
            assert_eq!(preprocess_as(resize_of(preprocess)), preprocess);
        }
    }
}
