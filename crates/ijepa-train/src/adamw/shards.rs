//! Moments that ranks share: each keeps those of its own parameters and updates these (ZeRO-1,
//! Rajbhandari et al. 2020).

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use burn::{
    module::{Module, Param},
    tensor::{Tensor, TensorData},
};
use ijepa_model::checkpoint::{
    Moments, NamedTensor, ParameterMapper, ParameterVisitor, map_parameters, official_shape,
    visit_parameters,
};

use crate::ranks::Ranks;

/// Who keeps the moments of which parameter.
#[derive(Debug)]
pub(super) struct Shards {
    ranks: Arc<dyn Ranks>,
    /// Owners of trainable parameters by official name.
    owners: HashMap<String, usize>,
}

impl Shards {
    /// Deals the trainable parameters of `module`.
    pub(super) fn of<M: Module>(module: &M, ranks: &Arc<dyn Ranks>) -> Self {
        let mut trainable = Trainable::default();
        visit_parameters(module, &mut trainable);
        Self {
            ranks: Arc::clone(ranks),
            owners: dealt(trainable.sizes, ranks.size()),
        }
    }

    /// Whether this rank keeps the moments of the parameter `name`.
    pub(super) fn owns(&self, name: &str) -> bool {
        self.owner_of(name) == Some(self.ranks.rank())
    }

    fn owner_of(&self, name: &str) -> Option<usize> {
        self.owners.get(name).copied()
    }

    /// `module` with every parameter as its owner has it; all ranks call it together. The values of
    /// one rank at a time are in host memory.
    pub(super) fn exchanged<M: Module>(&self, module: M) -> M {
        (0..self.ranks.size()).fold(module, |module, owner| {
            let mut read = Read {
                shards: self,
                owner,
                values: Vec::new(),
            };
            visit_parameters(&module, &mut read);
            let mut values = read.values;
            self.ranks.broadcast(&mut values, owner);
            if owner == self.ranks.rank() {
                return module;
            }
            let (shards, rest) = (self, &values[..]);
            map_parameters(
                module,
                &mut Write {
                    shards,
                    owner,
                    rest,
                },
            )
        })
    }

    /// The moments of all trainable parameters of `module` on rank 0, of which each rank has those
    /// that it owns, `own`, in the order of the parameters; nothing on the others. All ranks call
    /// it together.
    pub(super) fn gathered<M: Module>(
        &self,
        module: &M,
        own: Vec<NamedTensor>,
    ) -> Vec<NamedTensor> {
        if self.ranks.rank() > 0 {
            for moment in own {
                let values = moment.read().expect("it is in memory");
                self.ranks.send(&values, 0);
            }
            return Vec::new();
        }
        let mut gather = Gather {
            shards: self,
            own: own.into_iter(),
            moments: Vec::new(),
        };
        visit_parameters(module, &mut gather);
        gather.moments
    }
}

/// Deals parameters of known sizes to ranks: the largest first, each to whom has least so far.
fn dealt(mut sizes: Vec<(String, usize)>, ranks: usize) -> HashMap<String, usize> {
    sizes.sort_by_key(|(_, size)| Reverse(*size));
    let mut loads = vec![0; ranks];
    let owned = sizes.into_iter().map(|(name, size)| {
        let least = (0..ranks).min_by_key(|&rank| loads[rank]);
        let owner = least.expect("there is at least one rank");
        loads[owner] += size;
        (name, owner)
    });
    owned.collect()
}

/// Names and sizes of what is trained.
#[derive(Default)]
struct Trainable {
    sizes: Vec<(String, usize)>,
}

impl ParameterVisitor for Trainable {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.sizes.push((name, param.lazy_shape().num_elements()));
        }
    }
}

/// Reads the parameters of their owner and makes room for those of another.
struct Read<'a> {
    shards: &'a Shards,
    owner: usize,
    values: Vec<f32>,
}

impl ParameterVisitor for Read<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        if self.shards.owner_of(&name) != Some(self.owner) {
            return;
        }
        if self.shards.owns(&name) {
            let data = param.val().without_autodiff().into_data();
            self.values.extend(data.iter::<f32>());
        } else {
            let length = self.values.len() + param.lazy_shape().num_elements();
            self.values.resize(length, 0.0);
        }
    }
}

/// Replaces the parameters of an owner.
struct Write<'a> {
    shards: &'a Shards,
    owner: usize,
    rest: &'a [f32],
}

impl ParameterMapper for Write<'_> {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.shards.owner_of(&name) != Some(self.owner) {
            return param;
        }
        param.map(|before| {
            let before = before.inner();
            let (values, rest) = self.rest.split_at(before.shape().num_elements());
            self.rest = rest;
            let data = TensorData::new(values.to_vec(), before.shape());
            Tensor::from_inner(Tensor::from_data(data, &before.device())).require_grad()
        })
    }
}

/// Collects all moments, those of others from their owners.
struct Gather<'a> {
    shards: &'a Shards,
    own: std::vec::IntoIter<NamedTensor>,
    moments: Vec<NamedTensor>,
}

impl ParameterVisitor for Gather<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        let Some(owner) = self.shards.owner_of(&name) else {
            return;
        };
        for suffix in Moments::SUFFIXES {
            let found = match self.shards.owns(&name) {
                true => self
                    .own
                    .next()
                    .expect("a rank has all moments that it owns"),
                false => {
                    let mut values = vec![0.0; param.lazy_shape().num_elements()];
                    self.shards.ranks.receive(&mut values, owner);
                    let shape = official_shape(param.lazy_shape().as_slice());
                    let name = format!("{name}.{suffix}");
                    NamedTensor::new(name, shape, move || Ok(values.clone()))
                }
            };
            self.moments.push(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use ijepa_model::VisionTransformerConfig;
    use ijepa_testkit::device;

    use super::*;
    use crate::ranks::threads;

    #[test]
    fn parameters_are_dealt_largest_first_to_whom_has_least() {
        let sizes = [("a", 3), ("b", 8), ("c", 3), ("d", 5), ("e", 1)];
        let sizes = sizes.map(|(name, size)| (name.to_owned(), size)).to_vec();
        let owners = dealt(sizes, 2);
        // 8 | 5, 3 | 8 + 3 | 8 + 1: b, c to the first; d, a, e to the second.
        let of = |name: &str| owners[name];
        assert_eq!(["b", "c"].map(of), [0, 0]);
        assert_eq!(["d", "a", "e"].map(of), [1, 1, 1]);
    }

    /// What the formula of memory takes for granted.
    #[test]
    fn shares_of_a_published_encoder_are_equal() {
        let encoder = VisionTransformerConfig::variant("vit_s16").unwrap();
        let encoder = encoder.init(&device().autodiff());
        let ranks = threads(4);
        let mut trainable = Trainable::default();
        visit_parameters(&encoder, &mut trainable);
        let all: usize = trainable.sizes.iter().map(|(_, size)| size).sum();
        for ranks in &ranks {
            let shards = Shards::of(&encoder, ranks);
            let own = trainable.sizes.iter().filter(|(name, _)| shards.owns(name));
            let own: usize = own.map(|(_, size)| size).sum();
            let off = (4 * own).abs_diff(all) as f64 / all as f64;
            assert!(off < 0.02, "rank {}: {own} of {all}", ranks.rank());
        }
    }
}
