//! Many tensors in a launch, each in a slot.

use burn::tensor::{DType, Shape};
use burn_cubecl::{
    CubeBackend,
    cubecl::{prelude::*, zspace::metadata::Metadata},
    kernel::into_contiguous,
    tensor::CubeTensor,
};

use super::lanes::{address_type, elementwise, longest_vector, output_for, with_shape};
use crate::list::Tensors;

/// Tensors of a launch at most; more make longer kernels, not faster ones.
const SLOTS: usize = 32;

/// Tensors in one dimension, in order in memory, so that shapes make no further kernels.
pub(super) fn flat(tensors: Tensors<CubeBackend>) -> Vec<CubeTensor> {
    let tensors = tensors.0.into_iter().map(|tensor| {
        let mut tensor = into_contiguous(tensor);
        *tensor.meta = Metadata::new([tensor.meta.num_elements()], [1]);
        tensor
    });
    tensors.collect()
}

/// The inverse of [`flat`].
pub(super) fn shaped(tensors: Vec<CubeTensor>, shapes: &[Shape]) -> Tensors<CubeBackend> {
    let tensors = tensors.into_iter().zip(shapes);
    let tensors = tensors.map(|(flat, shape)| with_shape(flat, shape.clone()));
    Tensors(tensors.collect())
}

pub(super) fn shapes_of(tensors: &Tensors<CubeBackend>) -> Vec<Shape> {
    let tensors = tensors.0.iter();
    tensors.map(|tensor| tensor.meta.shape().clone()).collect()
}

/// How many tensors fit a launch that reads `read` buffers for each and changes those of `updated`,
/// in place if it can.
pub(super) fn slots_of(like: &CubeTensor, read: usize, updated: &[Vec<CubeTensor>]) -> usize {
    let in_place = |list: &Vec<CubeTensor>| list.iter().all(CubeTensor::can_mut);
    let written = updated.iter().filter(|list| !in_place(list)).count();
    let bindings = like.client.properties().hardware.max_bindings as usize;
    // Two more hold a number and what a launch is told.
    (bindings.saturating_sub(2) / (read + written)).clamp(1, SLOTS)
}

/// The tensors of the next launch.
pub(super) fn next(list: &mut Vec<CubeTensor>, slots: usize) -> Vec<CubeTensor> {
    list.drain(..slots.min(list.len())).collect()
}

/// The longest vectors that divide all tensors, and the vectors of each.
pub(super) fn vectors_of(tensors: &[CubeTensor]) -> (usize, Vec<usize>) {
    let lengths = || tensors.iter().map(|tensor| tensor.meta.num_elements());
    let fits = |size| lengths().all(|length| length.is_multiple_of(size));
    let size = longest_vector(&tensors[0], DType::F32.size(), fits);
    (size, lengths().map(|length| length / size).collect())
}

/// One unit for each vector of some tensors, one tensor after the other.
pub(super) struct Spread {
    pub(super) client: Client,
    pub(super) count: CubeCount,
    pub(super) dim: CubeDim,
    pub(super) address: AddressType,
    /// Elements of a vector.
    pub(super) size: usize,
    /// Vectors of each tensor.
    pub(super) totals: Vec<usize>,
}

impl Spread {
    pub(super) fn over(tensors: &[CubeTensor]) -> Self {
        let client = tensors[0].client.clone();
        let (size, totals) = vectors_of(tensors);
        let (count, dim) = elementwise(&client, totals.iter().sum());
        Self {
            client,
            count,
            dim,
            address: address_type(&tensors.iter().collect::<Vec<_>>()),
            size,
            totals,
        }
    }
}

/// Where new values go: the memory of `tensors`, which are the arguments from `position` on, or if
/// somebody else holds it new tensors.
pub(super) fn outputs_for(
    tensors: &[CubeTensor],
    position: usize,
) -> (Vec<CubeTensor>, Vec<TensorArg>) {
    let outputs = tensors.iter().zip(position..);
    outputs
        .map(|(tensor, position)| output_for(tensor, position, tensor.dtype))
        .unzip()
}

pub(super) fn arguments<T: LaunchArg<RuntimeArg = TensorArg>>(
    tensors: Vec<CubeTensor>,
) -> SequenceArg<T> {
    let tensors = tensors.into_iter();
    tensors.map(CubeTensor::into_tensor_arg).collect()
}
