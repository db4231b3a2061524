//! AdamW with a weight decay that changes every step.
//!
//! Burn's optimizers freeze their decay and hide their moments; this one keeps the moments by
//! official parameter name, so that they go into checkpoints and come from the reference's.

mod saved;
mod shards;

use std::{collections::VecDeque, sync::Arc};

use burn::{
    module::{Module, Param, ParamId},
    optim::GradientsParams,
    tensor::{Tensor, container::TensorContainer},
};
use ijepa_model::{
    checkpoint::{ParameterMapper, map_parameters},
    kernels::{AdamWRule, TensorList, adamw},
    taken, without_value,
};
use serde::{Deserialize, Serialize};

use crate::{
    gradients::{clipped, global_norm},
    ranks::Ranks,
    recipe::{
        RecipeError,
        rules::{ABOVE_ZERO, BELOW_ONE, POSITIVE, within},
    },
};
use shards::Shards;

/// Constants of AdamW, keys of `[optimizer]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdamWConfig {
    /// Decay rates of the first and second moment, each in `[0, 1)`.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
}

impl Default for AdamWConfig {
    /// PyTorch's values, which the reference uses.
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            eps: 1e-8,
        }
    }
}

impl AdamWConfig {
    /// Checks both.
    ///
    /// # Errors
    ///
    /// [`RecipeError::OutOfRange`] names the key.
    pub fn validate(&self) -> Result<(), RecipeError> {
        for beta in self.betas {
            within("optimizer.betas", beta, 0.0..1.0, BELOW_ONE)?;
        }
        within("optimizer.eps", self.eps, ABOVE_ZERO, POSITIVE)
    }
}

/// What an update is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay of parameters of more than one dimension.
    pub weight_decay: f64,
    /// Largest global norm of the gradients; 0 does not clip.
    pub clip_grad: f64,
}

/// AdamW (Loshchilov and Hutter 2019) as PyTorch computes it.
///
/// Parameters of more than one dimension are decayed, norms and biases are not: the four groups
/// of the reference, of which two always have a decay of zero.
pub struct AdamW {
    config: AdamWConfig,
    step: u64,
    moments: [TensorContainer<String>; 2],
    /// Which of them are this rank's, if ranks share them.
    shards: Option<Shards>,
}

impl std::fmt::Debug for AdamW {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdamW")
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl AdamW {
    /// An optimizer that has seen no gradient.
    pub fn new(config: AdamWConfig) -> Self {
        Self {
            config,
            step: 0,
            moments: [TensorContainer::new(), TensorContainer::new()],
            shards: None,
        }
    }

    /// Has `ranks` share the moments of the trainable parameters of `module`: each keeps about as
    /// much of them as the others and updates what they belong to (ZeRO-1, Rajbhandari et al.
    /// 2020). To be called before there are any; one rank keeps all.
    pub fn share<M: Module>(&mut self, module: &M, ranks: &Arc<dyn Ranks>) {
        self.shards = (ranks.size() > 1).then(|| Shards::of(module, ranks));
    }

    /// Whether ranks share the moments.
    pub fn is_shared(&self) -> bool {
        self.shards.is_some()
    }

    /// Whether the moments of the parameter `name` are kept here.
    fn keeps(&self, name: &str) -> bool {
        self.shards.as_ref().is_none_or(|shards| shards.owns(name))
    }

    /// Updates that it has made.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Updates `module` as `with` says, after clipping, with the learning rate of each parameter
    /// multiplied by `scale_of` its official name; the global norm of the gradients before, `[1]`.
    ///
    /// # Panics
    ///
    /// Panics if no parameter has a gradient.
    pub fn update<M: Module>(
        &mut self,
        module: &mut M,
        mut gradients: GradientsParams,
        with: Update,
        scale_of: impl Fn(&str) -> f64,
    ) -> Tensor<1> {
        let norm = global_norm(module, &gradients).expect("some parameters are trained");
        if with.clip_grad > 0.0 {
            gradients = clipped(module, gradients, &norm, with.clip_grad);
        }
        self.step_scaled(module, gradients, with.lr, with.weight_decay, scale_of);
        norm
    }

    /// Updates all parameters that have a gradient, in place; where ranks share the moments, only
    /// those that are this rank's, so that [`exchange`](Self::exchange) has to follow.
    pub fn step<M: Module>(
        &mut self,
        module: &mut M,
        gradients: GradientsParams,
        lr: f64,
        weight_decay: f64,
    ) {
        self.step_scaled(module, gradients, lr, weight_decay, |_| 1.0);
    }

    /// As [`step`](Self::step), with the learning rate of each parameter multiplied by
    /// `scale_of` its official name.
    pub fn step_scaled<M: Module>(
        &mut self,
        module: &mut M,
        gradients: GradientsParams,
        lr: f64,
        weight_decay: f64,
        scale_of: impl Fn(&str) -> f64,
    ) {
        let mut collect = CollectUpdates {
            optimizer: self,
            gradients,
            lr,
            weight_decay,
            scale_of,
            updates: Updates::default(),
        };
        let emptied = map_parameters(taken(module), &mut collect);
        let Updates {
            ids,
            parameters,
            moments,
            gradients,
            rules,
        } = collect.updates;
        let (parameters, moments) = adamw(parameters, moments, gradients, rules);
        self.step += 1;
        let mut assign = Assign {
            containers: &mut self.moments,
            ids,
            parameters,
            moments,
        };
        *module = map_parameters(emptied, &mut assign);
    }

    /// Gives `module`, which was just updated, the updates of all ranks that share the moments;
    /// they call it together.
    pub fn exchange<M: Module>(&self, module: &mut M) {
        if let Some(shards) = &self.shards {
            *module = shards.exchanged(taken(module));
        }
    }

    /// Both moments of the parameter with this official name, if it has any.
    pub(crate) fn moments<const D: usize>(&self, name: &str) -> [Option<Tensor<D>>; 2] {
        let name = name.to_owned();
        let moments = self.moments.each_ref();
        moments.map(|moments| moments.get::<Tensor<D>>(&name))
    }
}

/// What an update needs of every parameter that has a gradient, in their order.
#[derive(Default)]
struct Updates {
    ids: VecDeque<ParamId>,
    parameters: TensorList,
    moments: [TensorList; 2],
    gradients: TensorList,
    rules: Vec<AdamWRule>,
}

struct CollectUpdates<'a, F> {
    optimizer: &'a mut AdamW,
    gradients: GradientsParams,
    lr: f64,
    weight_decay: f64,
    scale_of: F,
    updates: Updates,
}

/// Takes the parameters and their moments out.
impl<F: Fn(&str) -> f64> ParameterMapper for CollectUpdates<'_, F> {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let gradient = self.gradients.remove::<D>(param.id);
        let Some(gradient) = gradient.filter(|_| self.optimizer.keeps(&name)) else {
            return param;
        };
        let emptied = without_value(&param);
        // Norms and biases are not decayed.
        let weight_decay = if D == 1 { 0.0 } else { self.weight_decay };
        let AdamWConfig { betas, eps } = self.optimizer.config;
        let step = self.optimizer.step + 1;
        let lr = self.lr * (self.scale_of)(&name);
        let parameter = param.into_value().inner();
        let containers = &mut self.optimizer.moments;
        for (container, moments) in containers.iter_mut().zip(&mut self.updates.moments) {
            let zeros = || Tensor::<D>::zeros(parameter.dims(), &parameter.device());
            moments.push(container.remove(&name).unwrap_or_else(zeros));
        }
        let rule = AdamWRule::new(lr, weight_decay, betas, eps, step);
        self.updates.ids.push_back(emptied.id);
        self.updates.parameters.push(parameter);
        self.updates.gradients.push(gradient);
        self.updates.rules.push(rule);
        emptied
    }
}

/// Puts updated parameters and their moments where they belong.
struct Assign<'a> {
    containers: &'a mut [TensorContainer<String>; 2],
    ids: VecDeque<ParamId>,
    parameters: TensorList,
    moments: [TensorList; 2],
}

impl ParameterMapper for Assign<'_> {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.ids.front() != Some(&param.id) {
            return param;
        }
        self.ids.pop_front();
        for (container, moments) in self.containers.iter_mut().zip(&mut self.moments) {
            let moment = moments.take::<D>().expect("both moments of every update");
            container.register(name.clone(), moment);
        }
        let updated = self.parameters.take().expect("a parameter of every update");
        Param::initialized(param.id, Tensor::from_inner(updated).require_grad())
    }
}
