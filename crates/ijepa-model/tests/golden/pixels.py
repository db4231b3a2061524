"""Writes pixels.safetensors and pixels.json: a masked autoencoder and an I-JEPA of pixels in PyTorch.

Both are written from the formulas of their papers (He et al. 2022, Assran et al. 2023) in float64,
without class token. The autoencoder is in its own form: the decoder runs over all patches in their
order, hidden ones replaced by the mask token, and the loss is masked. Weights are shared by both
cases; three steps of AdamW and of the moving average follow the autoencoder's first.

    python crates/ijepa-model/tests/golden/pixels.py
"""

import json
import pathlib

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent
SIDE, PATCH, GRID, BATCH = 16, 4, 4, 2
DIM, DEPTH, HEADS, MLP = 16, 2, 2, 4
NARROW, NARROW_DEPTH = 12, 2
PIXELS, PATCHES = 3 * PATCH * PATCH, GRID * GRID
STEPS, LR, DECAY, BETAS, EPS, MOMENTUM = 3, 1e-3, 0.05, (0.9, 0.95), 1e-6, 0.9


def positions(dim):
    """Sine and cosine of the column, then of the row, at dim / 4 frequencies each."""
    count = dim // 4
    frequencies = 10000.0 ** (-np.arange(count) / count)
    row, col = np.divmod(np.arange(PATCHES), GRID)
    angles = [np.outer(axis, frequencies) for axis in (col, row)]
    table = np.concatenate([f(angle) for angle in angles for f in (np.sin, np.cos)], axis=1)
    return torch.from_numpy(table.astype(np.float32)).double()[None]


def block_shapes(prefix, dim):
    hidden = MLP * dim
    for name, shape in [
        ("norm1.weight", [dim]),
        ("norm1.bias", [dim]),
        ("attn.qkv.weight", [3 * dim, dim]),
        ("attn.qkv.bias", [3 * dim]),
        ("attn.proj.weight", [dim, dim]),
        ("attn.proj.bias", [dim]),
        ("norm2.weight", [dim]),
        ("norm2.bias", [dim]),
        ("mlp.fc1.weight", [hidden, dim]),
        ("mlp.fc1.bias", [hidden]),
        ("mlp.fc2.weight", [dim, hidden]),
        ("mlp.fc2.bias", [dim]),
    ]:
        yield f"{prefix}.{name}", shape


def shapes():
    yield "encoder.patch_embed.proj.weight", [DIM, 3, PATCH, PATCH]
    yield "encoder.patch_embed.proj.bias", [DIM]
    for i in range(DEPTH):
        yield from block_shapes(f"encoder.blocks.{i}", DIM)
    yield "encoder.norm.weight", [DIM]
    yield "encoder.norm.bias", [DIM]
    yield "predictor.mask_token", [1, 1, NARROW]
    yield "predictor.predictor_embed.weight", [NARROW, DIM]
    yield "predictor.predictor_embed.bias", [NARROW]
    for i in range(NARROW_DEPTH):
        yield from block_shapes(f"predictor.predictor_blocks.{i}", NARROW)
    yield "predictor.predictor_norm.weight", [NARROW]
    yield "predictor.predictor_norm.bias", [NARROW]
    yield "predictor.predictor_proj.weight", [PIXELS, NARROW]
    yield "predictor.predictor_proj.bias", [PIXELS]


def initial_weights(generator):
    weights = {}
    for name, shape in shapes():
        values = 0.2 * torch.randn(shape, generator=generator)
        if "norm" in name and name.endswith("weight"):
            values = values + 1.0
        # What is written has to be what is trained from.
        weights[name] = values.float().double().requires_grad_()
    return weights


def norm(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)


def linear(w, name, x):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def block(w, name, x):
    rows, tokens, dim = x.shape
    qkv = linear(w, f"{name}.attn.qkv", norm(w, f"{name}.norm1", x))
    q, k, v = qkv.reshape(rows, tokens, 3, HEADS, dim // HEADS).permute(2, 0, 3, 1, 4)
    scores = (q @ k.transpose(-2, -1) / (dim // HEADS) ** 0.5).softmax(-1)
    x = x + linear(w, f"{name}.attn.proj", (scores @ v).transpose(1, 2).reshape(x.shape))
    hidden = F.gelu(linear(w, f"{name}.mlp.fc1", norm(w, f"{name}.norm2", x)))
    return x + linear(w, f"{name}.mlp.fc2", hidden)


def pick(x, indices):
    """Tokens of each row: x is [rows, tokens, dim], indices [rows, kept]."""
    return x.gather(1, indices[:, :, None].expand(-1, -1, x.shape[2]))


def encode(w, images, visible):
    x = F.conv2d(
        images,
        w["encoder.patch_embed.proj.weight"],
        w["encoder.patch_embed.proj.bias"],
        stride=PATCH,
    )
    x = pick(x.flatten(2).transpose(1, 2) + positions(DIM), visible)
    for i in range(DEPTH):
        x = block(w, f"encoder.blocks.{i}", x)
    return norm(w, "encoder.norm", x)


def decode(w, x):
    for i in range(NARROW_DEPTH):
        x = block(w, f"predictor.predictor_blocks.{i}", x)
    return linear(w, "predictor.predictor_proj", norm(w, "predictor.predictor_norm", x))


def pixels(images):
    """Pixels of every patch, standardised by mean and unbiased variance of the patch."""
    patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2)
    mean, variance = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6) ** 0.5


def autoencoder(w, images, visible, hidden):
    context = encode(w, images, visible)
    x = w["predictor.mask_token"].expand(BATCH, PATCHES, NARROW)
    places = visible[:, :, None].expand(-1, -1, NARROW)
    x = x.scatter(1, places, linear(w, "predictor.predictor_embed", context))
    predicted = decode(w, x + positions(NARROW))
    is_hidden = torch.zeros(BATCH, PATCHES, dtype=torch.float64).scatter(1, hidden, 1.0)
    of_patch = (predicted - pixels(images)).square().mean(-1)
    loss = (of_patch * is_hidden).sum() / is_hidden.sum()
    return context, pick(predicted, hidden), loss


def predict_blocks(w, images, visible, blocks):
    context = encode(w, images, visible)
    narrow = linear(w, "predictor.predictor_embed", context)
    table = positions(NARROW).expand(BATCH, -1, -1)
    narrow = narrow + pick(table, visible)
    predicted, targets = [], []
    for indices in blocks:
        asked = w["predictor.mask_token"] + pick(table, indices)
        out = decode(w, torch.cat([narrow, asked], 1))
        predicted.append(out[:, visible.shape[1] :])
        targets.append(pick(pixels(images), indices))
    predicted, targets = torch.cat(predicted), torch.cat(targets)
    return context, predicted, targets, F.smooth_l1_loss(predicted, targets)


def gradients(w, loss):
    found = torch.autograd.grad(loss, list(w.values()))
    return dict(zip(w, found))


def random_masks(generator):
    order = torch.rand(BATCH, PATCHES, generator=generator).argsort(1)
    return order[:, : PATCHES // 4].sort(1).values, order[:, PATCHES // 4 :].sort(1).values


def block_masks():
    """Two blocks of 2 x 2 patches in every image, and four patches outside of them."""

    def of_image(image):
        corners = [(image % 3, 0), (1, 2 - image % 2)]
        blocks = [
            [(top + i) * GRID + left + j for i in (0, 1) for j in (0, 1)] for top, left in corners
        ]
        rest = [patch for patch in range(PATCHES) if patch not in blocks[0] + blocks[1]]
        return blocks, rest[-4:]

    images = [of_image(image) for image in range(BATCH)]
    blocks = [torch.tensor([blocks[m] for blocks, _ in images]) for m in (0, 1)]
    return torch.tensor([rest for _, rest in images]), blocks


def train(w, tensors, generator):
    """Steps from `w`; the moving average begins as a copy."""
    tables = {
        "encoder.pos_embed": positions(DIM),
        "predictor.predictor_pos_embed": positions(NARROW),
    }
    average = {name: p.detach().clone() for name, p in w.items() if name.startswith("encoder.")}
    plain = [p for name, p in w.items() if p.ndim == 1 or name.endswith("bias")]
    decayed = [p for name, p in w.items() if p.ndim != 1 and not name.endswith("bias")]
    groups = [
        {"params": decayed, "weight_decay": DECAY},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    losses = []
    for step in range(STEPS):
        images = torch.randn(BATCH, 3, SIDE, SIDE, generator=generator).float().double()
        visible, hidden = random_masks(generator)
        tensors[f"step{step:02}.images"] = images
        tensors[f"step{step:02}.masks_enc.0"] = visible
        tensors[f"step{step:02}.masks_pred.0"] = hidden
        loss = autoencoder(w, images, visible, hidden)[2]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for name, p in average.items():
                p.mul_(MOMENTUM).add_(w[name], alpha=1 - MOMENTUM)
    tensors["log.loss"] = torch.tensor(losses, dtype=torch.float64)
    final = {**w, **tables}
    final |= {name.replace("encoder.", "target.", 1): p for name, p in average.items()}
    final["target.pos_embed"] = tables["encoder.pos_embed"]
    tensors |= {f"final.{name}": p for name, p in final.items()}
    return losses


def main():
    generator = torch.Generator().manual_seed(11)
    w = initial_weights(generator)
    tensors = {f"init.{name}": p.clone() for name, p in w.items()}
    tensors["init.encoder.pos_embed"] = positions(DIM)
    tensors["init.predictor.predictor_pos_embed"] = positions(NARROW)
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=generator).float().double()
    tensors["images"] = images

    visible, hidden = random_masks(generator)
    context, predicted, loss = autoencoder(w, images, visible, hidden)
    tensors |= {"mae.masks_enc.0": visible, "mae.masks_pred.0": hidden}
    tensors |= {"mae.context": context, "mae.predicted": predicted, "mae.loss": loss[None]}
    tensors["mae.targets"] = pick(pixels(images), hidden)
    tensors |= {f"mae.grad.{name}": g for name, g in gradients(w, loss).items()}

    visible, blocks = block_masks()
    context, predicted, targets, loss = predict_blocks(w, images, visible, blocks)
    tensors |= {"jepa.masks_enc.0": visible}
    tensors |= {f"jepa.masks_pred.{m}": indices for m, indices in enumerate(blocks)}
    tensors |= {"jepa.context": context, "jepa.predicted": predicted, "jepa.loss": loss[None]}
    tensors["jepa.targets"] = targets
    tensors |= {f"jepa.grad.{name}": g for name, g in gradients(w, loss).items()}

    losses = train(w, tensors, generator)
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        keep = name == "log.loss" or tensor.dtype == torch.int64
        tensors[name] = (tensor if keep else tensor.float()).contiguous().numpy()
    save_file(tensors, HERE / "pixels.safetensors")
    facts = {
        "made_by": f"pixels.py, PyTorch {torch.__version__}",
        "cases": {
            "mae": "masked autoencoder, mean squared error",
            "jepa": "I-JEPA of pixels, two target blocks, smooth L1",
        },
        "steps": STEPS,
        "lr": LR,
        "weight_decay": DECAY,
        "betas": BETAS,
        "eps": EPS,
        "momentum": MOMENTUM,
    }
    (HERE / "pixels.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(losses)


if __name__ == "__main__":
    main()
