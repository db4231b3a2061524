//! Images to show or to measure a decoder by.

use burn::tensor::{Device, Tensor};
use ijepa_data::{Reading, Skipped, Source};
use ijepa_masking::MaskGroup;

use super::{Conditioner, Decoder, RcdmError, Sampling, views::ViewSizes};

/// Images with the vectors that a decoder is given of them.
#[derive(Debug, Clone)]
pub struct Shown {
    /// At the decoder's size, `[images, side, side, 3]`.
    pub pixels: Vec<u8>,
    /// Their numbers in the data.
    pub indices: Vec<u32>,
    /// The images that could not be read.
    pub skipped: Vec<Skipped>,
    /// Context and target block of each, if vectors are predicted.
    pub masks: Option<MaskGroup>,
    /// Their vectors, standardised, `[images, condition_dim]`.
    pub conditions: Tensor<2>,
}

impl Shown {
    /// Reads `count` images spread over `source` as `reading` says, but decoded as those that the
    /// decoder was trained on; those that cannot be read are left out and listed.
    ///
    /// # Errors
    ///
    /// [`RcdmError::Kind`], [`RcdmError::Width`] or [`RcdmError::OtherWeights`] if the decoder
    /// takes other vectors,
    /// [`RcdmError::Rows`] or [`RcdmError::OtherImages`] if a file has not one for each image,
    /// [`RcdmError::Extract`] if no image can be read.
    pub fn read(
        decoder: &Decoder,
        conditioner: &Conditioner,
        source: &dyn Source,
        reading: Reading,
        count: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, RcdmError> {
        decoder.check(conditioner)?;
        conditioner.check_images(source)?;
        let sizes = ViewSizes {
            decoder: decoder.config().unet.image_size,
            encoder: conditioner.image_size(),
        };
        let reading = Reading {
            decoding: decoder.config().decoding,
            ..reading
        };
        let (views, picked) = sizes.read(source, count, reading)?;
        let indices: Vec<u32> = picked
            .images
            .iter()
            .map(|image| image.index as u32)
            .collect();
        let masks = conditioner.masks(indices.len(), seed, 0);
        let vectors = conditioner.vectors_of_many(&views.encoder, &indices, masks.as_ref(), device);
        let conditions = decoder.config().standardization.apply(vectors);
        Ok(Self {
            pixels: views.decoder,
            indices,
            skipped: picked.skipped,
            masks,
            conditions,
        })
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.indices.len()
    }

    /// Makes `samples` images of every vector: for each sample, those of all images,
    /// `[images, side, side, 3]`.
    pub fn decode(&self, decoder: &Decoder, samples: usize, sampling: Sampling) -> Vec<Vec<u8>> {
        self.decode_from(&self.conditions, decoder, samples, sampling)
    }

    /// As [`decode`](Self::decode), from the same noise but from no vector.
    pub(super) fn decode_nothing(
        &self,
        decoder: &Decoder,
        samples: usize,
        sampling: Sampling,
    ) -> Vec<Vec<u8>> {
        self.decode_from(&self.conditions.zeros_like(), decoder, samples, sampling)
    }

    fn decode_from(
        &self,
        conditions: &Tensor<2>,
        decoder: &Decoder,
        samples: usize,
        sampling: Sampling,
    ) -> Vec<Vec<u8>> {
        let of_sample = |sample: usize| {
            let numbers = (0..self.images()).map(|image| (image * samples + sample) as u64);
            let numbers: Vec<u64> = numbers.collect();
            decoder.sample(conditions.clone(), &numbers, sampling)
        };
        (0..samples).map(of_sample).collect()
    }
}
