//! A folder that `transformers` wrote, against its own outputs.

use burn::tensor::Tensor;
use ijepa_model::{Checkpoint, PositionResampling, checkpoint::EncoderRole};
use ijepa_testkit::{assert_close, device, tolerance, values};

use crate::support::{TOLERANCE, golden, golden_folder};

fn check<const D: usize>(name: &str, found: Tensor<D>) {
    let expected = golden("hf_tiny_golden").f32s(name);
    assert_close(name, &values(found), &expected, tolerance(TOLERANCE));
}

#[test]
fn a_hugging_face_folder_gives_the_outputs_of_transformers() {
    let device = device();
    let checkpoint = Checkpoint::open(golden_folder().join("hf_tiny_saved")).unwrap();
    let encoder = checkpoint.encoder(EncoderRole::Context, &device).unwrap();
    let golden = golden("hf_tiny_golden");
    let images = golden.tensor("images", &device);
    check("last_hidden_state", encoder.forward_features(images));

    // A larger image: positions are interpolated as transformers does it.
    let encoder = encoder
        .with_image_size([48, 48], PositionResampling::Bicubic)
        .unwrap();
    check("pos_embed_interp_6x6", encoder.pos_embed.val());
    let images = golden.tensor("images48", &device);
    check(
        "last_hidden_state48_interp",
        encoder.forward_features(images),
    );
}

#[test]
fn the_official_file_and_the_hugging_face_folder_are_the_same_encoder() {
    let device = device();
    let options = ijepa_model::checkpoint::OpenOptions { num_heads: Some(3) };
    let path = golden_folder().join("torch/tiny_ckpt.pth.tar");
    let checkpoint = Checkpoint::open_with(path, options).unwrap();
    let encoder = checkpoint.encoder(EncoderRole::Context, &device).unwrap();
    let images = golden("hf_tiny_golden").tensor("images", &device);
    check("official_encoder_out", encoder.forward_features(images));
}
