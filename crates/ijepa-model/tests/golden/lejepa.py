"""Writes lejepa.safetensors and lejepa.json: LeJEPA's loss of large and small views in PyTorch.

Written from algorithm 2 of the paper (Balestriero and LeCun 2025) in float64, with the weights of
pixels.py and the statistic of terms.py. The encoder has no class token: a view is the mean over its
tokens. Positions of small views are those of large ones, resampled by torch's bicubic interpolation.
The projector is the network of the predictor on that one token.

    python crates/ijepa-model/tests/golden/lejepa.py
"""

import json

import pixels
import torch
from pixels import BATCH, DEPTH, DIM, GRID, HERE, PATCH, PIXELS, SIDE
from safetensors.numpy import save_file
from terms import DIRECTIONS, sigreg
from torch.nn import functional as F

GLOBALS, LOCALS, WEIGHT = 2, 3, 0.05


def encode(w, images):
    name = "encoder.patch_embed.proj"
    x = F.conv2d(images, w[f"{name}.weight"], w[f"{name}.bias"], stride=PATCH)
    table = pixels.positions(DIM).transpose(1, 2).reshape(1, DIM, GRID, GRID)
    if x.shape[-1] != GRID:
        size = x.shape[-2:]
        table = F.interpolate(table, size=size, mode="bicubic", align_corners=False)
    x = (x + table).flatten(2).transpose(1, 2)
    for i in range(DEPTH):
        x = pixels.block(w, f"encoder.blocks.{i}", x)
    return pixels.norm(w, "encoder.norm", x)


def project(w, images):
    pooled = encode(w, images).mean(1, keepdim=True)
    return pixels.decode(w, pixels.linear(w, "predictor.predictor_embed", pooled))[:, 0]


def main():
    generator = torch.Generator().manual_seed(11)
    w = pixels.initial_weights(generator)
    draw = lambda *shape: torch.randn(*shape, generator=generator).float().double()
    large = draw(GLOBALS * BATCH, 3, SIDE, SIDE)
    small = draw(LOCALS * BATCH, 3, SIDE // 2, SIDE // 2)
    directions = F.normalize(draw(PIXELS, DIRECTIONS), dim=0).float().double()

    z = torch.cat([project(w, large), project(w, small)]).reshape(-1, BATCH, PIXELS)
    centers = z[:GLOBALS].mean(0)
    distance = (centers - z).square().mean()
    regularization = torch.stack([sigreg(view, directions) for view in z]).mean()
    loss = (1 - WEIGHT) * distance + WEIGHT * regularization
    tensors = {"large": large, "small": small, "directions": directions, "projected": z}
    tensors |= {"distance": distance[None], "loss": loss[None]}
    found = torch.autograd.grad(loss, list(w.values()), allow_unused=True)
    for name, gradient in zip(w, found):
        if gradient is not None and ("patch_embed" in name or "blocks.1" in name or "proj" in name):
            tensors[f"grad.{name}"] = gradient
    tensors = {name: t.detach().float().contiguous().numpy() for name, t in tensors.items()}
    save_file(tensors, HERE / "lejepa.safetensors")
    facts = {
        "made_by": f"lejepa.py, PyTorch {torch.__version__}",
        "globals": GLOBALS,
        "locals": LOCALS,
        "sigreg": WEIGHT,
    }
    (HERE / "lejepa.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
