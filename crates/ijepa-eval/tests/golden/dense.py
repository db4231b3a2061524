"""Writes dense.safetensors and dense.json: per-patch segmentation computed by PyTorch.

A linear layer on patch tokens, its logits interpolated bilinearly to masks larger and smaller than
the grid, and the cross-entropy without the pixels of class 255. Numbers are computed in f64 and
written in f32: interpolated logits, loss and the gradients of the layer. depth.py writes the same
with another loss.

    python crates/ijepa-eval/tests/golden/dense.py
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, interpolate, linear

HERE = pathlib.Path(__file__).parent
BATCH, GRID, DIM, CLASSES = 2, (3, 4), 6, 5
SIZES = {"larger": (8, 10), "smaller": (2, 7)}


def write(name, channels, labels, outputs, loss, seed, facts=()):
    """Writes `name`.safetensors and .json for a layer of `channels` outputs a patch.

    `labels(shape, generator)` gives the labels of `[batch, height, width]` pixels, kept as the first
    of `outputs`; `loss(maps, labels)` is that of the interpolated outputs, kept as the second.
    """
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=generator).float().double()

    tokens = noise(BATCH, GRID[0] * GRID[1], DIM)
    weight, bias = noise(channels, DIM).requires_grad_(), noise(channels).requires_grad_()
    tensors = {"tokens": tokens, "weight": weight.detach().T, "bias": bias.detach()}
    for case, size in SIZES.items():
        known = labels((BATCH, *size), generator)
        maps = linear(tokens, weight, bias).transpose(1, 2).unflatten(2, GRID)
        maps = interpolate(maps, size=size, mode="bilinear", align_corners=False)
        found = loss(maps, known)
        gradients = torch.autograd.grad(found, [weight, bias])
        tensors |= {
            f"{case}.{outputs[0]}": known,
            f"{case}.{outputs[1]}": maps.detach(),
            f"{case}.loss": found.detach().reshape(1),
            f"{case}.weight": gradients[0],
            f"{case}.bias": gradients[1],
        }
    save_file(
        {n: (t if t.dtype == torch.int64 else t.float()).contiguous() for n, t in tensors.items()},
        HERE / f"{name}.safetensors",
    )
    facts = {"made_by": f"{name}.py, PyTorch {torch.__version__}", "grid": GRID, **dict(facts)}
    (HERE / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    print({case: tensors[f"{case}.loss"].item() for case in SIZES})


def masks(shape, generator):
    mask = torch.randint(0, CLASSES + 1, shape, generator=generator)
    mask[mask == CLASSES] = 255
    return mask


def main():
    def loss(logits, mask):
        return cross_entropy(logits, mask, ignore_index=255)

    write("dense", CLASSES, masks, ["mask", "logits"], loss, seed=3)


if __name__ == "__main__":
    main()
