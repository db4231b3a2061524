//! One encoder in the formats of others.

use std::path::Path;

use super::{
    Checkpoint, EncoderRole, NamedTensor, Resize, error::CheckpointError, folder::README,
    hugging_face, model_card, onnx::OnnxEncoder, order,
};
use crate::{
    Normalization,
    files::{create_folder, write_bytes},
};

impl Checkpoint {
    /// The tensors of one encoder.
    fn take_encoder(&mut self, role: EncoderRole) -> Result<Vec<NamedTensor>, CheckpointError> {
        let dict = match role {
            EncoderRole::Target => self.target_encoder.take(),
            EncoderRole::Context => self.context_encoder.take(),
        };
        let dict = dict.ok_or_else(|| CheckpointError::Absent {
            path: self.path.clone(),
            what: role.network(),
        })?;
        Ok(NamedTensor::from_dict(dict))
    }

    /// How images become inputs; as in the paper's evaluation unless the checkpoint says otherwise.
    fn preprocessing(&self) -> (Normalization, Resize) {
        let normalization = self.normalization.unwrap_or(Normalization::IMAGENET);
        (normalization, self.resize.unwrap_or(Resize::EVALUATION))
    }

    pub(super) fn save_onnx(
        mut self,
        path: &Path,
        role: EncoderRole,
    ) -> Result<(), CheckpointError> {
        let mut tensors = self.take_encoder(role)?;
        tensors.sort_by_key(|tensor| order::position(&tensor.name));
        let (normalization, resize) = self.preprocessing();
        let encoder = OnnxEncoder {
            config: &self.encoder_config,
            tensors,
            normalization,
            resize,
            licence: self.licence,
        };
        encoder.write(path)
    }

    pub(super) fn save_hugging_face(
        mut self,
        path: &Path,
        role: EncoderRole,
    ) -> Result<(), CheckpointError> {
        let tensors = self.take_encoder(role)?;
        let card = model_card::text(path, &self.encoder_config, role, self.licence.as_deref());
        let (normalization, resize) = self.preprocessing();
        create_folder(path, |folder| {
            hugging_face::write(
                folder,
                &self.encoder_config,
                &tensors,
                role,
                normalization,
                resize,
            )?;
            Ok(write_bytes(&folder.join(README), &card)?)
        })
    }
}
