//! The three networks of a run.

use burn::tensor::Device;
use ijepa_model::{
    Checkpoint, CheckpointError, Compute, IJepa, VisionTransformer, checkpoint::EncoderRole,
};

/// Context encoder, predictor and target encoder of one checkpoint.
#[derive(Debug, Clone)]
pub struct Networks {
    /// Context encoder and predictor.
    pub model: IJepa,
    /// Target encoder.
    pub target: VisionTransformer,
}

impl Networks {
    /// Loads all three.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Absent`] if the checkpoint lacks one, as Hugging Face folders do, or any
    /// other [`CheckpointError`].
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self, CheckpointError> {
        Ok(Self {
            model: checkpoint.networks(device)?,
            target: checkpoint.encoder(EncoderRole::Target, device)?,
        })
    }

    /// The same networks computed in another way.
    #[must_use]
    pub fn with_compute(self, compute: Compute) -> Self {
        Self {
            model: self.model.with_compute(compute),
            target: self.target.with_compute(compute),
        }
    }
}
