"""Writes dense.safetensors and dense.json: per-patch segmentation computed by PyTorch.

A linear layer on patch tokens, its logits interpolated bilinearly to masks larger and smaller than
the grid, and the cross-entropy without the pixels of class 255. Numbers are computed in f64 and
written in f32: interpolated logits, loss and the gradients of the layer.

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


def main():
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(3)

    def noise(*shape):
        return torch.randn(*shape, generator=generator).float().double()

    tokens = noise(BATCH, GRID[0] * GRID[1], DIM)
    weight, bias = noise(CLASSES, DIM).requires_grad_(), noise(CLASSES).requires_grad_()
    tensors = {"tokens": tokens, "weight": weight.detach().T, "bias": bias.detach()}
    for name, size in SIZES.items():
        mask = torch.randint(0, CLASSES + 1, (BATCH, *size), generator=generator)
        mask[mask == CLASSES] = 255
        maps = linear(tokens, weight, bias).transpose(1, 2).unflatten(2, GRID)
        logits = interpolate(maps, size=size, mode="bilinear", align_corners=False)
        loss = cross_entropy(logits, mask, ignore_index=255)
        gradients = torch.autograd.grad(loss, [weight, bias])
        tensors |= {
            f"{name}.mask": mask,
            f"{name}.logits": logits.detach(),
            f"{name}.loss": loss.detach().reshape(1),
            f"{name}.weight": gradients[0],
            f"{name}.bias": gradients[1],
        }
    save_file(
        {n: (t if t.dtype == torch.int64 else t.float()).contiguous() for n, t in tensors.items()},
        HERE / "dense.safetensors",
    )
    facts = {"made_by": f"dense.py, PyTorch {torch.__version__}", "grid": GRID}
    (HERE / "dense.json").write_text(json.dumps(facts, indent=1) + "\n")
    print({name: tensors[f"{name}.loss"].item() for name in SIZES})


if __name__ == "__main__":
    main()
