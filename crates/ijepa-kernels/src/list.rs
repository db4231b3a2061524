//! Any number of tensors as one operand.

use std::collections::VecDeque;

use burn::{
    backend::{
        Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor,
        DispatchTensorKind, ExtensionType, TensorMetadata, tensor::FloatTensor,
    },
    tensor::{Shape, Tensor},
};

use crate::tensors::constant;

/// Tensors of any ranks, such as all weights of a network, in order.
#[derive(Debug, Clone, Default)]
pub struct TensorList(VecDeque<DispatchTensor>);

impl TensorList {
    /// A list without tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// A list of one tensor.
    ///
    /// # Panics
    ///
    /// As [`push`](Self::push).
    pub fn of<const D: usize>(x: Tensor<D>) -> Self {
        let mut list = Self::new();
        list.push(x);
        list
    }

    /// Appends a tensor.
    ///
    /// # Panics
    ///
    /// Panics on a tensor that records gradients or is empty.
    pub fn push<const D: usize>(&mut self, x: Tensor<D>) {
        self.0.push_back(constant(x));
    }

    /// Takes the first tensor, if there is one.
    ///
    /// # Panics
    ///
    /// Panics if it has another rank.
    pub fn take<const D: usize>(&mut self) -> Option<Tensor<D>> {
        let first = self.0.pop_front()?;
        assert_eq!(first.shape().num_dims(), D, "rank of a tensor in a list");
        Some(Tensor::from_dispatch(first))
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The shape of every tensor.
    pub(crate) fn shapes(&self) -> Vec<Shape> {
        self.0.iter().map(TensorMetadata::shape).collect()
    }
}

impl From<TensorList> for Tensors<Dispatch> {
    fn from(list: TensorList) -> Self {
        Self(list.0.into())
    }
}

impl From<Tensors<Dispatch>> for TensorList {
    fn from(tensors: Tensors<Dispatch>) -> Self {
        Self(tensors.0.into())
    }
}

/// A [`TensorList`] on one backend, of at least one tensor.
#[derive(Debug, Clone)]
pub(crate) struct Tensors<B: Backend>(pub(crate) Vec<FloatTensor<B>>);

impl<B: Backend> Tensors<B> {
    /// Every tensor and that of its place in `other` as `f` joins them.
    pub(crate) fn zip_map(
        self,
        other: Self,
        f: impl Fn(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>,
    ) -> Self {
        let pairs = self.0.into_iter().zip(other.0);
        Self(pairs.map(|(x, y)| f(x, y)).collect())
    }
}

impl<B: Backend> ExtensionType<B> for Tensors<B> {
    type Target = Tensors<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Self::Target
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let wrapped = self.0.into_iter().map(|tensor| DispatchTensor {
            kind: map_kind(BackendTensor::Float(tensor)),
            autodiff,
        });
        Tensors(wrapped.collect())
    }

    fn map_from_dispatch<F>(target: Self::Target, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        let unwrapped = target.0.into_iter().map(|it| unwrap_kind(it).float());
        Self(unwrapped.collect())
    }

    fn routing_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn routing_float_tensor(target: &Self::Target) -> Option<&DispatchTensor> {
        target.0.first()
    }

    fn autodiff_context(target: &Self::Target) -> DispatchAutodiffContext {
        let contexts = target.0.iter().map(|tensor| tensor.autodiff);
        contexts.fold(DispatchAutodiffContext::Disabled, |all, one| all.merge(one))
    }
}

#[cfg(feature = "fusion")]
mod fusion {
    use burn::backend::{
        Backend,
        fusion::{
            ExecutionError, Fusion, FusionBackend, FusionRuntime, FusionTensor,
            custom::{
                ExtensionMetadata, Float, FusionValueAdapter, HandleContainer, OutputTensor,
                TensorId, TensorIr, TensorSpec,
            },
        },
    };

    use super::Tensors;

    type Handles<B> =
        HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;

    impl<B: Backend> ExtensionMetadata for Tensors<B> {
        type Metadata = Vec<TensorSpec>;
        type Input = Vec<TensorIr>;
        type Output = Vec<OutputTensor>;
    }

    /// Tensor by tensor what Burn does with one.
    impl<B: FusionBackend> FusionValueAdapter<B> for Tensors<B> {
        type Metadata = Vec<TensorSpec>;
        type Input = Vec<TensorIr>;
        type Output = Vec<OutputTensor>;
        type Inner = Self;
        type Fused = Tensors<Fusion<B>>;

        fn to_metadata(value: &Self::Fused) -> Self::Metadata {
            let describe = <Float as FusionValueAdapter<B>>::to_metadata;
            value.0.iter().map(describe).collect()
        }

        fn visit_fused_tensors(
            value: &Self::Fused,
            visit: &mut impl FnMut(&FusionTensor<B::FusionRuntime>),
        ) {
            value.0.iter().for_each(visit);
        }

        fn tensor_count(metadata: &Self::Metadata) -> usize {
            metadata.len()
        }

        fn append_input_ir(value: Self::Fused, inputs: &mut Vec<TensorIr>) -> Self::Input {
            let values = value.0.into_iter();
            let append = |it| <Float as FusionValueAdapter<B>>::append_input_ir(it, inputs);
            values.map(append).collect()
        }

        fn resolve_inputs(input: &Self::Input, handles: &mut Handles<B>) -> Self::Inner {
            let resolve = |it| <Float as FusionValueAdapter<B>>::resolve_inputs(it, handles);
            Self(input.iter().map(resolve).collect())
        }

        fn append_output_ir(
            metadata: &Self::Metadata,
            outputs: &mut Vec<TensorIr>,
            create: &mut impl FnMut() -> TensorId,
        ) -> Self::Output {
            let append =
                |it| <Float as FusionValueAdapter<B>>::append_output_ir(it, outputs, create);
            metadata.iter().map(append).collect()
        }

        fn validate_outputs(
            value: &Self::Inner,
            output: &Self::Output,
            device: Option<&B::Device>,
        ) -> Result<(), ExecutionError> {
            value.0.iter().zip(output).try_for_each(|(value, output)| {
                <Float as FusionValueAdapter<B>>::validate_outputs(value, output, device)
            })
        }

        fn register_output_handles(
            value: Self::Inner,
            output: &Self::Output,
            handles: &mut Handles<B>,
        ) {
            for (value, output) in value.0.into_iter().zip(output) {
                <Float as FusionValueAdapter<B>>::register_output_handles(value, output, handles);
            }
        }

        fn build_fused_output(
            metadata: &Self::Metadata,
            tensors: &mut std::vec::IntoIter<FusionTensor<B::FusionRuntime>>,
        ) -> Self::Fused {
            let build = |it| <Float as FusionValueAdapter<B>>::build_fused_output(it, tensors);
            Tensors(metadata.iter().map(build).collect())
        }
    }
}
