"""Encoders that the command writes for ONNX, in ONNX Runtime."""

import json

import ijepa
import numpy as np
import pytest
from conftest import answer

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_runtime_computes_the_features_of_the_encoder(trained, tmp_path, batch):
    path = tmp_path / "encoder.onnx"
    answer("convert", trained, path, "--to", "onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(said[key]), np.float32) for key in ("mean", "std"))
    encoder = ijepa.load(trained, preprocess="none")
    assert json.loads(said["image_size"]) == list(encoder.image_size)

    random = np.random.default_rng(4)
    images = random.integers(0, 256, (batch, *encoder.image_size, 3), dtype=np.uint8)
    pixels = ((images.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
    tokens, pooled = session.run(["tokens", "pooled"], {"pixels": pixels})
    np.testing.assert_allclose(pooled, encoder.encode(images), atol=1e-4)
    np.testing.assert_allclose(tokens, encoder.patches(images), atol=1e-4)
    # Not because all features were alike.
    assert np.abs(np.diff(tokens, axis=1)).max() > 1e-2
