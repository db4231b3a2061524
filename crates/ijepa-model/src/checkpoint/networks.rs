//! The networks of a checkpoint by name: whether they are numbers, and whether they fit.

use burn::tensor::Device;

use super::{Checkpoint, CheckpointError, EncoderRole, Mismatch, StateDict, params};
use crate::VisionTransformerConfig;

impl EncoderRole {
    /// What errors call the encoder.
    pub(super) fn network(self) -> &'static str {
        match self {
            Self::Target => "target encoder",
            Self::Context => "context encoder",
        }
    }
}

impl Checkpoint {
    /// The tensors of the networks that there are: `encoder`, `predictor` and `target_encoder`.
    pub fn state_dicts(&self) -> impl Iterator<Item = (&'static str, &StateDict)> {
        let networks = [
            ("encoder", &self.context_encoder),
            ("predictor", &self.predictor),
            ("target_encoder", &self.target_encoder),
        ];
        let networks = networks.into_iter();
        networks.filter_map(|(name, dict)| Some((name, dict.as_ref()?)))
    }

    /// Checks that all weights of all networks are finite, by reading them one by one.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::NotFinite`] with the first tensor that is not, or an error of reading.
    pub fn check_finite(&self) -> Result<(), CheckpointError> {
        let mut networks = self.state_dicts();
        networks.try_for_each(|(name, dict)| self.check_network(name, dict))
    }

    /// Checks that the Adam moments, if there are any, are finite, by reading them one by one.
    ///
    /// # Errors
    ///
    /// As [`check_finite`](Self::check_finite).
    pub fn check_moments(&self) -> Result<(), CheckpointError> {
        let mut moments = self.moments.iter();
        moments.try_for_each(|moments| self.check_network("optimizer", &moments.tensors))
    }

    fn check_network(&self, network: &str, dict: &StateDict) -> Result<(), CheckpointError> {
        let finite = params::finite(network, &self.path);
        dict.iter()
            .try_for_each(|(name, tensor)| finite(name, &tensor.read()?))
    }

    /// What of each encoder does not fit `config`, by the name of the encoder.
    pub fn mismatches(
        &self,
        config: &VisionTransformerConfig,
        device: &Device,
    ) -> Vec<(&'static str, Mismatch)> {
        let encoder = config.init(device);
        let encoders = self.state_dicts().filter(|(name, _)| *name != "predictor");
        encoders
            .map(|(name, dict)| (name, params::mismatch(&encoder, dict)))
            .collect()
    }
}
