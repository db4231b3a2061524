//! Image sizes, positions and masks that go with the grid of an encoder.

use burn::tensor::Tensor;
use ijepa_testkit::{assert_close, device, values};

use crate::encoder;

#[test]
fn an_image_size_beyond_reason_is_refused() {
    use ijepa_model::PositionResampling::{Bicubic, SinCos};
    for resampling in [Bicubic, SinCos] {
        let error = encoder().with_image_size([16_000_000; 2], resampling);
        assert!(error.unwrap_err().to_string().contains("must be at most"));
    }
}

#[test]
#[should_panic(expected = "images and patches of the masks and of the features")]
fn masks_of_other_images_are_refused() {
    let masks = ijepa_masking::PatchIndices::new(2, vec![0, 1, 2, 3]);
    let kept = ijepa_model::TokenIndices::new(&[masks], 16, &device());
    let images = Tensor::zeros([4, 3, 32, 32], &device());
    encoder().forward_masked(images, &kept, None);
}

#[test]
#[should_panic(expected = "patches of the masks and of the table")]
fn masks_of_another_grid_are_refused() {
    let masks = ijepa_masking::PatchIndices::new(2, vec![0, 1, 2, 3]);
    let kept = ijepa_model::TokenIndices::new(&[masks], 9, &device());
    let images = Tensor::zeros([2, 3, 32, 32], &device());
    encoder().forward_masked(images, &kept, None);
}

#[test]
#[should_panic(expected = "a mask keeps patch 16 of images with 16 patches")]
fn masks_beyond_the_grid_are_refused() {
    let masks = ijepa_masking::PatchIndices::new(2, vec![0, 16]);
    ijepa_model::TokenIndices::new(&[masks], 16, &device());
}

#[test]
fn positions_that_are_computed_late_are_the_same() {
    let encoder = encoder();
    let expected = ijepa_model::sin_cos_positions(encoder.grid(), 32);
    let expected: Vec<f32> = expected.try_into_vec().unwrap();
    assert_close(
        "positions",
        &values(encoder.pos_embed.val()),
        &expected,
        0.0,
    );
}
