//! Moments on their way into checkpoints and back.

use std::path::Path;

use burn::{
    module::{Module, Param},
    tensor::{Tensor, container::TensorContainer},
};
use ijepa_model::{
    CheckpointError,
    checkpoint::{
        Mismatch, Moments, NamedTensor, ParameterVisitor, official_shape, tensor_from_official,
        visit_parameters,
    },
};

use super::AdamW;

impl AdamW {
    /// The moments as they go into a checkpoint, in the order of `module`'s parameters; those of
    /// parameters that never had a gradient are 0. Ranks that share them call it together: rank 0
    /// gets all, the others none.
    pub fn named_moments<M: Module>(&self, module: &M) -> Vec<NamedTensor> {
        if self.step == 0 {
            return Vec::new();
        }
        let mut collect = CollectMoments {
            optimizer: self,
            found: Vec::new(),
        };
        visit_parameters(module, &mut collect);
        match &self.shards {
            Some(shards) => shards.gathered(module, collect.found),
            None => collect.found,
        }
    }

    /// Continues from the moments of a checkpoint.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Mismatch`] lists the parameters of `module` whose moments are missing or
    /// of another shape; other variants if a file cannot be read. Nothing changes then.
    pub fn restore<M: Module>(
        &mut self,
        module: &M,
        moments: &Moments,
        path: &Path,
    ) -> Result<(), CheckpointError> {
        let mut load = LoadMoments {
            optimizer: self,
            source: moments,
            moments: [TensorContainer::new(), TensorContainer::new()],
            mismatch: Mismatch::default(),
            error: None,
        };
        visit_parameters(module, &mut load);
        let LoadMoments {
            moments: loaded,
            mismatch,
            error,
            ..
        } = load;
        if let Some(error) = error {
            return Err(error);
        }
        if !mismatch.is_empty() {
            let mismatch = Box::new(mismatch);
            let what = "optimizer state";
            return Err(CheckpointError::Mismatch {
                path: path.into(),
                what,
                mismatch,
            });
        }
        self.moments = loaded;
        self.step = moments.step;
        Ok(())
    }
}

struct CollectMoments<'a> {
    optimizer: &'a AdamW,
    found: Vec<NamedTensor>,
}

impl ParameterVisitor for CollectMoments<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        let optimizer = self.optimizer;
        if !param.is_require_grad() || !optimizer.keeps(&name) {
            return;
        }
        let zeros = || Tensor::zeros(param.lazy_shape(), &param.lazy_device().inner());
        for (moment, suffix) in optimizer.moments(&name).into_iter().zip(Moments::SUFFIXES) {
            let moment: Tensor<D> = moment.unwrap_or_else(zeros);
            let name = format!("{name}.{suffix}");
            self.found.push(NamedTensor::from_tensor(name, moment));
        }
    }
}

struct LoadMoments<'a> {
    optimizer: &'a AdamW,
    source: &'a Moments,
    moments: [TensorContainer<String>; 2],
    mismatch: Mismatch,
    error: Option<CheckpointError>,
}

impl LoadMoments<'_> {
    fn load<const D: usize>(
        &mut self,
        name: &str,
        param: &Param<Tensor<D>>,
    ) -> Result<(), CheckpointError> {
        let expected = official_shape(param.lazy_shape().as_slice());
        let device = param.lazy_device().inner();
        for (container, suffix) in self.moments.iter_mut().zip(Moments::SUFFIXES) {
            let key = format!("{name}.{suffix}");
            match self.source.tensors.get(&key) {
                None => self.mismatch.missing.push(key),
                Some(found) if found.shape() != expected => {
                    self.mismatch
                        .misshaped
                        .push((key, found.shape().to_vec(), expected.clone()));
                }
                Some(_) if !self.optimizer.keeps(name) => (),
                Some(found) => {
                    let dims = param.lazy_shape().dims();
                    let moment: Tensor<D> = tensor_from_official(found.read()?, dims, &device);
                    container.register(name.to_owned(), moment);
                }
            }
        }
        Ok(())
    }
}

impl ParameterVisitor for LoadMoments<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        // Position tables and frozen blocks have no moments.
        if !param.is_require_grad() || self.error.is_some() {
            return;
        }
        if let Err(error) = self.load(&name, param) {
            self.error = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::LinearConfig;
    use ijepa_model::checkpoint::StateDict;
    use ijepa_testkit::device;

    use super::*;
    use crate::AdamWConfig;

    #[test]
    fn moments_of_other_shapes_are_listed() {
        let device = device().autodiff();
        let [small, large] = [3, 4].map(|width| LinearConfig::new(2, width).init(&device));
        let tensors = StateDict::of_module(&large);
        let [first, _] = Moments::SUFFIXES;
        let tensors = tensors.renamed(|name| Some(format!("{name}.{first}")));
        let moments = Moments { step: 1, tensors };
        let mut adamw = AdamW::new(AdamWConfig::default());
        let error = adamw.restore(&small, &moments, Path::new("optimizer"));
        let Err(CheckpointError::Mismatch { mismatch, .. }) = error else {
            panic!("{error:?}");
        };
        let mut misshaped: Vec<_> = mismatch.misshaped.iter().map(|(key, ..)| key).collect();
        misshaped.sort();
        assert_eq!(misshaped, ["bias.exp_avg", "weight.exp_avg"]);
        assert_eq!(mismatch.missing.len(), 2, "{mismatch:?}");
    }
}
