//! Whether weights are numbers.

use super::{Checkpoint, CheckpointError, StateDict};

impl Checkpoint {
    /// Checks that all weights of all networks are finite, by reading them one by one.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::NotFinite`] with the first tensor that is not, or an error of reading.
    pub fn check_finite(&self) -> Result<(), CheckpointError> {
        let networks = [
            ("encoder", &self.context_encoder),
            ("predictor", &self.predictor),
            ("target_encoder", &self.target_encoder),
        ];
        networks
            .into_iter()
            .filter_map(|(name, dict)| Some((name, dict.as_ref()?)))
            .try_for_each(|(name, dict)| self.check_network(name, dict))
    }

    fn check_network(&self, network: &str, dict: &StateDict) -> Result<(), CheckpointError> {
        for (name, tensor) in dict.iter() {
            if tensor.read()?.iter().any(|value| !value.is_finite()) {
                return Err(CheckpointError::NotFinite {
                    path: self.path.clone(),
                    tensor: format!("{name} of {network}"),
                });
            }
        }
        Ok(())
    }
}
