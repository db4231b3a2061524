"""Inputs that the tests share, and the command of this environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = REPOSITORY / "crates/ijepa-model/tests/golden/hf_tiny_saved"
COMMAND = Path(sys.executable).with_name("ijepa")
TINY_RUN = """
    pretrain --recipe scenes_vit_nano --data scenes:n=48,size=32 --quiet --threads 1
    --set model.embed_dim=16 model.depth=1 model.predictor_dim=8 model.predictor_depth=1
    mask.group_size=6 run.batch_size=12 optimizer.steps_per_epoch=4 run.log_every_steps=1
    run.checkpoint_every_steps=2
"""


def run(*words):
    """A finished command line of the installed command."""
    words = [str(COMMAND), *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def answer(*words):
    """What a command that succeeds says with --json."""
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def save(path, pixels):
    """Writes uint8 [height, width, 3] as a file that needs no library."""
    height, width, _ = pixels.shape
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + pixels.tobytes())


def safetensors(path):
    """All tensors of a file."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    kinds = {"I64": np.int64, "I32": np.int32, "F32": np.float32}

    def tensor(entry):
        first, end = (8 + length + at for at in entry["data_offsets"])
        return np.frombuffer(data[first:end], kinds[entry["dtype"]]).reshape(entry["shape"])

    header = json.loads(data[8 : 8 + length])
    return {name: tensor(entry) for name, entry in header.items() if name != "__metadata__"}


@pytest.fixture
def pictures():
    """uint8 [5, 50, 40, 3]."""
    return np.random.default_rng(0).integers(0, 256, (5, 50, 40, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path):
    """A folder of images of several sizes, and their paths in the order of the command."""
    random = np.random.default_rng(1)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (height, width) in enumerate([(36, 36), (64, 48), (40, 80), (33, 50), (70, 34)]):
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        save(folder / f"{number}.ppm", pixels)
    return folder, sorted(folder.iterdir())


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run directory of four steps."""
    out = tmp_path_factory.mktemp("run") / "tiny"
    done = run(*TINY_RUN.split(), "--max-steps", 4, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No test opens a connection or reads the user's caches."""
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(os.environ, "HF_HOME", str(tmp_path / "hub"))
