"""Features: those of the command, from files and from arrays."""

import os
import signal

import ijepa
import numpy as np
import pytest
from conftest import TINY_RUN, WEIGHTS, answer, run


@pytest.mark.parametrize("pool", ["mean", "tokens"])
def test_features_of_files_equal_the_commands_bit_for_bit(photos, tmp_path, pool):
    folder, paths = photos
    out = tmp_path / "features.npy"
    answer("embed", "--weights", WEIGHTS, "--data", folder, "--out", out, "--pool", pool)
    encoder = ijepa.load(WEIGHTS)
    ours = encoder.encode(paths) if pool == "mean" else encoder.patches(paths)
    theirs = np.load(out)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()
    # Not because all features were alike.
    assert len(np.unique(ours.reshape(len(paths), -1), axis=0)) == len(paths)


def test_a_run_has_two_encoders_and_batches_change_nothing(trained, photos, tmp_path):
    folder, paths = photos
    out = tmp_path / "features.npy"
    flags = ["--encoder", "context", "--batch-size", 2]
    answer("embed", "--weights", trained, "--data", folder, "--out", out, *flags)
    context = ijepa.load(trained, encoder="context")
    assert context.encode(paths, batch_size=2).tobytes() == np.load(out).tobytes()
    np.testing.assert_array_equal(context.encode(paths, batch_size=1), np.load(out))
    assert np.abs(ijepa.load(trained).encode(paths) - np.load(out)).max() > 0


def test_arrays_have_the_features_of_the_files_that_hold_them(pictures, tmp_path):
    from conftest import save

    encoder = ijepa.load(WEIGHTS)
    paths = [tmp_path / f"{number}.ppm" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures):
        save(path, picture)
    of_files = encoder.encode(paths)
    np.testing.assert_array_equal(encoder.encode(pictures), of_files)
    np.testing.assert_array_equal(encoder.encode(pictures, batch_size=2), of_files)
    np.testing.assert_array_equal(encoder.encode(pictures[3]), of_files[3:4])
    np.testing.assert_array_equal(encoder.encode(str(paths[3])), of_files[3:4])
    # Every other column, mirrored: no array that lies row by row.
    part = pictures[:, :, ::-2]
    np.testing.assert_array_equal(encoder.encode(part), encoder.encode(part.copy()))
    assert np.abs(encoder.encode(part) - of_files).max() > 0
    # Floats are not rounded to bytes when they are resized.
    floats = encoder.encode(pictures.astype(np.float32) / 255)
    np.testing.assert_allclose(floats, of_files, atol=0.05)
    assert not np.array_equal(floats, of_files)


def test_unaligned_arrays_have_the_features_of_their_copies(pictures):
    record = np.dtype([("flag", np.uint8), ("pixels", np.float32, pictures.shape[1:])])
    table = np.zeros(len(pictures), record)
    table["pixels"] = pictures / 255
    pixels = table["pixels"]
    assert not pixels.flags.aligned
    encoder = ijepa.load(WEIGHTS)
    np.testing.assert_array_equal(encoder.encode(pixels), encoder.encode(pixels.copy()))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="sends signals")
@pytest.mark.parametrize("of_files", [False, True])
def test_signals_are_handled_between_batches(pictures, photos, of_files):
    class Stop(Exception):
        pass

    def third(*_):
        nonlocal handled
        handled += 1
        if handled == 3:
            raise Stop

    # Objects that are paths would run code of their own, in which signals are handled, too.
    files = [str(path) for path in photos[1]] * 1000
    images = files if of_files else np.tile(pictures, (1000, 1, 1, 1))
    handled, encoder = 0, ijepa.load(WEIGHTS)
    before = signal.signal(signal.SIGALRM, third)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        with pytest.raises(Stop):
            encoder.encode(images, batch_size=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_bytes_are_taken_by_weights_that_were_trained_in_full_depth(pictures, tmp_path):
    out = tmp_path / "deep"
    deep = ["--set", "data.sixteen_bit=keep", "--max-steps", 2, "--out", out]
    done = run(*TINY_RUN.split(), *deep)
    assert done.returncode == 0, done.stderr
    encoder = ijepa.load(out)
    for images in (pictures[:3], pictures[:4]):
        features = encoder.encode(images)
        assert features.shape == (len(images), encoder.embed_dim)
        # The same levels as floats, but for the rounding of resized bytes.
        floats = encoder.encode(images.astype(np.float32) / 255)
        np.testing.assert_allclose(features, floats, atol=0.05)


def test_floats_that_need_no_resizing_are_taken_as_they_are():
    encoder = ijepa.load(WEIGHTS, preprocess="none")
    shape = (2, *encoder.image_size, 3)
    bytes_ = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    floats = bytes_.astype(np.float32) / 255
    np.testing.assert_allclose(encoder.encode(floats), encoder.encode(bytes_), atol=1e-5)


def test_an_encoder_says_its_sizes(pictures):
    encoder = ijepa.load(WEIGHTS)
    height, width = encoder.image_size
    tokens = (height // encoder.patch_size) * (width // encoder.patch_size)
    assert encoder.encode(pictures).shape == (5, encoder.embed_dim)
    assert encoder.patches(pictures).shape == (5, tokens, encoder.embed_dim)
    assert (encoder.channels, encoder.device) == (3, "flex")
    assert f"embed_dim={encoder.embed_dim}" in repr(encoder)
    larger = ijepa.load(WEIGHTS, image_size=(2 * height, width))
    assert larger.image_size == (2 * height, width)
    assert larger.patches(pictures).shape == (5, 2 * tokens, encoder.embed_dim)


def test_weights_that_are_not_there_or_none_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match="`nowhere` does not exist"):
        ijepa.load("nowhere")
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE"):
        ijepa.load("hf:facebook/ijepa_vith14_1k")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged.safetensors"):
        ijepa.load(damaged)
    with pytest.raises(ValueError, match="unknown device `gpu`"):
        ijepa.load(WEIGHTS, device="gpu")
    with pytest.raises(ValueError, match="unknown encoder `both`"):
        ijepa.load(WEIGHTS, encoder="both")
    with pytest.raises(ValueError, match="preprocessing"):
        ijepa.load(WEIGHTS, preprocess="half")


def test_images_that_cannot_be_used_are_named(pictures, photos, tmp_path):
    _, paths = photos
    encoder = ijepa.load(WEIGHTS)
    with pytest.raises(FileNotFoundError, match="gone.jpg"):
        encoder.encode([paths[0], paths[0].with_name("gone.jpg")])
    with pytest.raises(FileNotFoundError, match="gone.jpg"):
        encoder.encode("no/such/folder/gone.jpg")
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    with pytest.raises(ValueError, match="damaged.png"):
        encoder.encode([paths[0], damaged])
    with pytest.raises(ValueError, match="4 channels|3 channels, found 4"):
        encoder.encode(np.zeros((1, 8, 8, 4), np.uint8))
    with pytest.raises(ValueError, match=r"\[n, height, width, channels\]"):
        encoder.encode(np.zeros((8, 8), np.uint8))
    with pytest.raises(TypeError, match="float64"):
        encoder.encode(pictures.astype(np.float64))
    with pytest.raises(TypeError, match="paths or an array, found int"):
        encoder.encode(3)
    with pytest.raises(ValueError, match="unknown pool `max`"):
        encoder.encode(pictures, pool="max")
    with pytest.raises(ValueError, match="batch size is 0"):
        encoder.encode(pictures, batch_size=0)
    with pytest.raises(ValueError, match="0 images"):
        encoder.encode([])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_that_was_forked_after_encoding_is_told_to_be_spawned():
    encoder, images = ijepa.load(WEIGHTS), np.zeros((1, 32, 32, 3), np.uint8)
    encoder.encode(images)
    child = os.fork()
    if child == 0:
        try:
            encoder.encode(images)
        except RuntimeError as error:
            os._exit(0 if "spawn" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_values_that_are_not_finite_are_those_of_the_array():
    images = np.zeros((3, 32, 32, 3), np.float32)
    images[1, 2, 3, 0] = np.nan
    with pytest.raises(ValueError, match="image 1 of the array"):
        ijepa.load(WEIGHTS).encode(images)
