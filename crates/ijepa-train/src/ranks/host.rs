//! Sums of tensors in host memory.

use std::{
    panic::resume_unwind,
    thread::{ScopedJoinHandle, scope},
};

use burn::tensor::{Device, Tensor};

use super::Ranks;

/// What [`Ranks::sum_tensors`] gives. While a tensor is being added up by a thread of its own,
/// which touches no device, the one before goes back to its device and the next is read.
pub(super) fn sum_tensors<R: Ranks + ?Sized>(
    ranks: &R,
    tensors: &mut dyn Iterator<Item = Tensor<1>>,
) -> Vec<Tensor<1>> {
    scope(|scope| {
        let mut sums = Vec::new();
        let mut under_way: Option<(Device, ScopedJoinHandle<'_, Vec<f32>>)> = None;
        for tensor in tensors {
            let device = tensor.device();
            let mut values = read(tensor);
            let before = under_way.take().map(|(device, sum)| (device, done(sum)));
            let sum = scope.spawn(move || {
                ranks.sum(&mut values);
                values
            });
            under_way = Some((device, sum));
            sums.extend(before.map(written));
        }
        let last = under_way.map(|(device, sum)| (device, done(sum)));
        sums.extend(last.map(written));
        sums
    })
}

/// Its values, as soon as the device has them.
pub(super) fn read(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn done(sum: ScopedJoinHandle<'_, Vec<f32>>) -> Vec<f32> {
    sum.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn written((device, values): (Device, Vec<f32>)) -> Tensor<1> {
    Tensor::from_floats(values.as_slice(), &device)
}
