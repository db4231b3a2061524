"""Writes predictor.safetensors and predictor.json: variants of the predictor in PyTorch.

The networks, images and masks are those of pixels.py, case "jepa", in float64. Three changes, each
alone, written from the formulas of their papers:

- shared: in every block of the predictor the context's queries may not see the target block, by an
  attention mask (the prefix of Raffel et al. 2020, section 3.2.1);
- noise: the tokens of target patches get A n, where n is normal noise and A the weight that embeds the
  context (StoP, Bar et al. 2024, section 4);
- centered: targets less a mean at every patch; the mean then moves towards that of the batch (Caron
  et al. 2021, equation 4).

    python crates/ijepa-model/tests/golden/predictor.py
"""

import json

import pixels
import torch
from pixels import BATCH, DIM, HEADS, HERE, NARROW, NARROW_DEPTH, PATCHES, PIXELS, SIDE
from safetensors.numpy import save_file
from torch.nn import functional as F

VARIANCE, MOMENTUM = 0.25, 0.9


def masked_block(w, name, x, allowed):
    rows, tokens, dim = x.shape
    qkv = pixels.linear(w, f"{name}.attn.qkv", pixels.norm(w, f"{name}.norm1", x))
    q, k, v = qkv.reshape(rows, tokens, 3, HEADS, dim // HEADS).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    x = x + pixels.linear(w, f"{name}.attn.proj", mixed.transpose(1, 2).reshape(x.shape))
    hidden = F.gelu(pixels.linear(w, f"{name}.mlp.fc1", pixels.norm(w, f"{name}.norm2", x)))
    return x + pixels.linear(w, f"{name}.mlp.fc2", hidden)


def predict(w, images, visible, blocks, shared=False, noise=None):
    """Predictions and targets of all blocks, `[blocks * images, kept, pixels]`."""
    narrow = pixels.linear(w, "predictor.predictor_embed", pixels.encode(w, images, visible))
    table = pixels.positions(NARROW).expand(BATCH, -1, -1)
    narrow = narrow + pixels.pick(table, visible)
    first = visible.shape[1]
    predicted, targets = [], []
    for number, indices in enumerate(blocks):
        asked = w["predictor.mask_token"] + pixels.pick(table, indices)
        if noise is not None:
            asked = asked + noise[number] @ w["predictor.predictor_embed.weight"].T
        x = torch.cat([narrow, asked], 1)
        allowed = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
        if shared:
            allowed[:first, first:] = False
        for i in range(NARROW_DEPTH):
            x = masked_block(w, f"predictor.predictor_blocks.{i}", x, allowed)
        normed = pixels.norm(w, "predictor.predictor_norm", x[:, first:])
        predicted.append(pixels.linear(w, "predictor.predictor_proj", normed))
        targets.append(pixels.pick(pixels.pixels(images), indices))
    return torch.cat(predicted), torch.cat(targets)


def main():
    generator = torch.Generator().manual_seed(11)
    w = pixels.initial_weights(generator)
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=generator).float().double()
    visible, blocks = pixels.block_masks()
    kept = blocks[0].shape[1]
    noise = torch.randn(len(blocks), BATCH, kept, DIM, generator=generator) * VARIANCE**0.5
    noise = noise.float().double()
    mean = torch.randn(1, PATCHES, PIXELS, generator=generator).float().double()
    means = torch.cat([pixels.pick(mean.expand(BATCH, -1, -1), indices) for indices in blocks])

    tensors = {"noise": noise.flatten(0, 1), "mean": mean}
    moved = MOMENTUM * mean + (1 - MOMENTUM) * pixels.pixels(images).mean(0, keepdim=True)
    tensors["mean.moved"] = moved
    cases = {"shared": {"shared": True}, "noise": {"noise": noise}, "centered": {}}
    for case, changes in cases.items():
        predicted, targets = predict(w, images, visible, blocks, **changes)
        if case == "centered":
            targets = targets - means
        loss = F.smooth_l1_loss(predicted, targets)
        tensors |= {f"{case}.predicted": predicted, f"{case}.loss": loss[None]}
        for name, gradient in pixels.gradients(w, loss).items():
            if name.startswith("predictor.") or name.startswith("encoder.norm"):
                tensors[f"{case}.grad.{name}"] = gradient
    tensors = {name: t.detach().float().contiguous().numpy() for name, t in tensors.items()}
    save_file(tensors, HERE / "predictor.safetensors")
    facts = {
        "made_by": f"predictor.py, PyTorch {torch.__version__}",
        "cases": list(cases),
        "variance": VARIANCE,
        "momentum": MOMENTUM,
    }
    (HERE / "predictor.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
