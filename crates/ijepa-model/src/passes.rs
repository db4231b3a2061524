//! Counts passes over whole images, for tests.

use std::cell::Cell;

use burn::tensor::Tensor;

use crate::tokens::TokenIndices;

thread_local! {
    static IMAGES: Cell<usize> = const { Cell::new(0) };
}

/// Counts the images of a pass that this thread asks for, unless only some patches are kept.
pub(crate) fn count(images: &Tensor<4>, kept: Option<&TokenIndices>) {
    if kept.is_none() {
        IMAGES.set(IMAGES.get() + images.dims()[0]);
    }
}

/// Images of these passes since the last call.
pub(crate) fn take() -> usize {
    IMAGES.take()
}
