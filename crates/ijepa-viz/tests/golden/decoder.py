"""Writes decoder.safetensors and unet.safetensors: a small decoder, and what PyTorch makes of it.

Needs torch and safetensors: python decoder.py
The network is written from the definition of Dhariwal and Nichol (2021) with the condition of RCDM,
with the names of our fields. Convolutions are kept as [3, 3, inputs, outputs].
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
SIZE, CHANNELS, FACTORS, RES_BLOCKS, ATTENTION, HEADS, GROUPS, DIM = 8, 4, [1, 2], 1, [4], 2, 2, 5
EMBEDDING = 4 * CHANNELS
STEPS = [0, 7, 500, 999]


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, resample=None):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.film = nn.Linear(EMBEDDING, 2 * outputs)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.shortcut = nn.Linear(inputs, outputs)
        self.resample = resample or (lambda x: x)

    def forward(self, x, embedding):
        hidden = self.conv1(self.resample(F.silu(self.norm1(x))))
        scale, shift = self.film(F.silu(embedding))[:, :, None, None].chunk(2, 1)
        hidden = self.conv2(F.silu(self.norm2(hidden) * (1 + scale) + shift))
        x = self.resample(x)
        if hasattr(self, "shortcut"):
            x = self.shortcut(x.movedim(1, -1)).movedim(-1, 1)
        return x + hidden


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x):
        batch, channels, rows, cols = x.shape
        pixels = self.norm(x).flatten(2).transpose(1, 2)
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in self.qkv(pixels).chunk(3, 2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.proj(mixed).transpose(1, 2).reshape(x.shape)


class Stage(nn.Module):
    def __init__(self, block, attention=None, double=None):
        super().__init__()
        self.block = block
        self.rest = [attention, double]
        if attention:
            self.attention = attention
        if double:
            self.double = double

    def forward(self, x, embedding):
        x = self.block(x, embedding)
        attention, double = self.rest
        x = attention(x) if attention else x
        return double(x, embedding) if double else x


def halve(x):
    return F.avg_pool2d(x, 2)


def twice(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [CHANNELS * factor for factor in FACTORS]
        attention = lambda level: Attention(widths[level]) if SIZE >> level in ATTENTION else None
        self.time1 = nn.Linear(CHANNELS, EMBEDDING)
        self.time2 = nn.Linear(EMBEDDING, EMBEDDING)
        self.condition = nn.Linear(DIM, EMBEDDING)
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        channels, kept, down, up = widths[0], [widths[0]], [], []
        for level, width in enumerate(widths):
            for _ in range(RES_BLOCKS):
                down.append(Stage(ResBlock(channels, width), attention(level)))
                channels = width
                kept.append(width)
            if level + 1 < len(widths):
                down.append(Stage(ResBlock(width, width, halve)))
                kept.append(width)
        self.down = nn.ModuleList(down)
        self.middle = Stage(ResBlock(channels, channels), Attention(channels))
        self.middle2 = ResBlock(channels, channels)
        for level, width in reversed(list(enumerate(widths))):
            for number in range(RES_BLOCKS + 1):
                last = level > 0 and number == RES_BLOCKS
                double = ResBlock(width, width, twice) if last else None
                up.append(Stage(ResBlock(channels + kept.pop(), width), attention(level), double))
                channels = width
        self.up = nn.ModuleList(up)
        self.norm_out = nn.GroupNorm(GROUPS, channels)
        self.conv_out = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, images, steps, conditions):
        half = CHANNELS // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half) / half)
        angles = steps[:, None] * frequencies
        time = torch.cat([angles.cos(), angles.sin()], 1)
        embedding = self.time2(F.silu(self.time1(time))) + self.condition(conditions)
        x = self.conv_in(images)
        kept = [x]
        for stage in self.down:
            x = stage(x, embedding)
            kept.append(x)
        x = self.middle2(self.middle(x, embedding), embedding)
        for stage in self.up:
            x = stage(torch.cat([x, kept.pop()], 1), embedding)
        return self.conv_out(F.silu(self.norm_out(x)))


def ours(tensor):
    """Convolutions with kernels first."""
    return (tensor.permute(2, 3, 1, 0) if tensor.dim() == 4 else tensor).detach().float().contiguous()


torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
unet = Unet()
with torch.no_grad():
    for name, parameter in unet.named_parameters():
        offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        # Values that float32 holds exactly, so that both sides compute from the same.
        parameter.copy_((offset + 0.3 * torch.randn_like(parameter)).float())
config = {
    "format_version": 1,
    "unet": {
        "image_size": SIZE, "channels": CHANNELS, "multipliers": FACTORS, "res_blocks": RES_BLOCKS,
        "attention": ATTENTION, "heads": HEADS, "groups": GROUPS, "condition_dim": DIM,
    },
    "condition": "encoder",
    "standardization": {"mean": [0.0] * DIM, "std": [1.0] * DIM},
}
weights = {name: ours(parameter) for name, parameter in unet.named_parameters()}
save_file(weights, HERE / "decoder.safetensors", {"ijepa_rcdm": json.dumps(config)})

images = torch.randn(len(STEPS), 3, SIZE, SIZE).float().double().requires_grad_()
conditions = torch.randn(len(STEPS), DIM).float().double().requires_grad_()
noise = torch.randn(len(STEPS), 3, SIZE, SIZE).float().double()
predicted = unet(images, torch.tensor(STEPS, dtype=torch.float64), conditions)
loss = (predicted - noise).square().mean()
loss.backward()
last = lambda x: x.detach().movedim(1, -1).float().contiguous()
golden = {
    "images": last(images), "noise": last(noise), "predicted": last(predicted),
    "conditions": conditions.detach().float(), "loss": loss.detach().float().reshape(1),
    "grad.images": last(images.grad), "grad.conditions": conditions.grad.float(),
}
golden |= {f"grad.{name}": ours(parameter.grad) for name, parameter in unet.named_parameters()}
save_file(golden, HERE / "unet.safetensors")
(HERE / "unet.json").write_text(json.dumps({"torch": torch.__version__, "steps": STEPS}) + "\n")
print(sum(p.numel() for p in unet.parameters()), loss.item())
