"""Writes depth.safetensors and depth.json: per-patch depth regression computed by PyTorch.

A linear layer from patch tokens to one number, interpolated bilinearly as in dense.py, and the mean
squared error to depths in standard deviations from their mean, without the pixels of depth 0.
Numbers are computed in f64 and written in f32.

    python crates/ijepa-eval/tests/golden/depth.py
"""

import torch
from dense import write
from torch.nn.functional import mse_loss

MEAN, STD = 4.5, 2.25


def depths(shape, generator):
    metres = 0.5 + 9 * torch.rand(shape, generator=generator, dtype=torch.float32).double()
    metres[torch.rand(shape, generator=generator) < 0.3] = 0
    return metres


def loss(maps, metres):
    known = metres > 0
    return mse_loss(maps[:, 0][known], (metres[known] - MEAN) / STD)


if __name__ == "__main__":
    facts = {"mean": MEAN, "std": STD}
    write("depth", 1, depths, ["depth", "outputs"], loss, seed=4, facts=facts)
