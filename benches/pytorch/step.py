"""One I-JEPA training step in PyTorch, to time beside `ijepa bench step`.

Same sizes, same work: target encoder on whole images, context encoder on the visible patches,
predictor for every target block, smooth L1 on layer-normed targets, AdamW with two groups, moving
average of the target. Attention is `scaled_dot_product_attention`; f32 on a CPU unless told
otherwise, automatic mixed precision (bfloat16) on a GPU. Prints one line, or JSON with --json.

    python benches/pytorch/step.py --arch vit_s16 --batch-size 16 --threads 2 --masks 70:32
"""

import argparse
import copy
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

# embed_dim, depth, num_heads, patch_size, predictor_dim, predictor_depth
ARCHS = {
    "vit_ti16": (192, 12, 3, 16, 384, 6),
    "vit_s16": (384, 12, 6, 16, 384, 6),
    "vit_b16": (768, 12, 12, 16, 384, 6),
    "vit_l16": (1024, 24, 16, 16, 384, 12),
    "vit_h14": (1280, 32, 16, 14, 384, 12),
    "vit_g16": (1408, 40, 16, 16, 384, 16),
}


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x):
        batch, tokens, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, dim)
        x = x + self.proj(mixed)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def pick(x, index):
    """Rows `index`, [batch, kept], of `x`, [batch or 1, tokens, dim]."""
    index = index.unsqueeze(-1).expand(-1, -1, x.shape[-1])
    return x.expand(index.shape[0], -1, -1).gather(1, index)


class Encoder(nn.Module):
    def __init__(self, image_size, patch_size, dim, depth, heads):
        super().__init__()
        patches = (image_size // patch_size) ** 2
        self.patch_embed = nn.Conv2d(3, dim, patch_size, patch_size)
        self.pos_embed = nn.Parameter(torch.randn(1, patches, dim) * 0.02, requires_grad=False)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, images, kept=None):
        x = self.patch_embed(images).flatten(2).transpose(1, 2) + self.pos_embed
        if kept is not None:
            x = pick(x, kept)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Predictor(nn.Module):
    def __init__(self, patches, encoder_dim, dim, depth, heads):
        super().__init__()
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, patches, dim) * 0.02, requires_grad=False)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.proj = nn.Linear(dim, encoder_dim)

    def forward(self, context, kept, targets):
        context = self.embed(context) + pick(self.pos_embed, kept)
        queries = torch.cat([pick(self.pos_embed, target) for target in targets]) + self.mask_token
        x = torch.cat([context.repeat(len(targets), 1, 1), queries], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.proj(self.norm(x[:, context.shape[1] :]))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arch", choices=ARCHS)
    parser.add_argument("--embed-dim", type=int)
    parser.add_argument("--depth", type=int)
    parser.add_argument("--num-heads", type=int)
    parser.add_argument("--patch-size", type=int)
    parser.add_argument("--predictor-dim", type=int)
    parser.add_argument("--predictor-depth", type=int)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--num-targets", type=int, default=4)
    parser.add_argument("--masks", default="70:32", help="context:target patches of each step, by commas")
    parser.add_argument("--what", choices=["step", "encode"], default="step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["f32", "bf16"], help="bf16 is autocast [default: bf16 on GPUs]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    names = ("embed_dim", "depth", "num_heads", "patch_size", "predictor_dim", "predictor_depth")
    defaults = ARCHS[args.arch] if args.arch else (None,) * 6
    for name, default in zip(names, defaults):
        if getattr(args, name) is None:
            setattr(args, name, default)
        if getattr(args, name) is None:
            parser.error(f"--arch or --{name.replace('_', '-')} is needed")
    return args


def groups(modules):
    decay = [p for m in modules for p in m.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for m in modules for p in m.parameters() if p.requires_grad and p.ndim == 1]
    return [{"params": decay, "weight_decay": 0.04}, {"params": plain, "weight_decay": 0.0}]


class Step:
    def __init__(self, args):
        torch.manual_seed(0)
        device = torch.device(args.device)
        self.args, self.device = args, device
        self.narrow = (args.precision or ("bf16" if device.type == "cuda" else "f32")) == "bf16"
        self.patches = (args.image_size // args.patch_size) ** 2
        self.encoder = Encoder(args.image_size, args.patch_size, args.embed_dim, args.depth, args.num_heads).to(device)
        self.predictor = Predictor(
            self.patches, args.embed_dim, args.predictor_dim, args.predictor_depth, args.num_heads
        ).to(device)
        self.target = copy.deepcopy(self.encoder).requires_grad_(False)
        self.online = list(self.encoder.parameters())
        self.average = list(self.target.parameters())
        fused = {"fused": True} if device.type == "cuda" else {}
        self.optimizer = torch.optim.AdamW(groups([self.encoder, self.predictor]), lr=1e-4, **fused)
        self.images = torch.randn(args.batch_size, 3, args.image_size, args.image_size, device=device)
        self.masks = [tuple(map(int, pair.split(":"))) for pair in args.masks.split(",")]
        if args.compile:
            self.encoder, self.predictor, self.target = map(
                torch.compile, (self.encoder, self.predictor, self.target)
            )

    def indices(self, kept):
        rows = [torch.randperm(self.patches)[:kept].sort().values for _ in range(self.args.batch_size)]
        return torch.stack(rows).to(self.device)

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.narrow)

    def train(self, number):
        context, target = self.masks[number % len(self.masks)]
        kept = self.indices(context)
        targets = [self.indices(target) for _ in range(self.args.num_targets)]
        with self.autocast():
            with torch.no_grad():
                features = self.target(self.images)
                features = F.layer_norm(features.float(), features.shape[-1:])
                features = torch.cat([pick(features, target) for target in targets])
            predicted = self.predictor(self.encoder(self.images, kept), kept, targets)
            loss = F.smooth_l1_loss(predicted.float(), features)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.online, 1 - 0.996)

    def encode(self, _):
        with torch.inference_mode(), self.autocast():
            self.target(self.images)

    def timed(self, number):
        start = time.perf_counter()
        self.train(number) if self.args.what == "step" else self.encode(number)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    step = Step(args)
    for number in range(args.warmup):
        step.timed(number)
    rates = [args.batch_size / step.timed(number) for number in range(args.steps)]
    if step.device.type == "cuda":
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {
        "images_per_s": {"median": statistics.median(rates), "min": min(rates), "max": max(rates)},
        "arch": args.arch or f"{args.embed_dim}x{args.depth}",
        "batch_size": args.batch_size,
        "device": args.device,
        "threads": args.threads,
        "compile": args.compile,
        "peak_memory_mib": round(memory),
        "torch": torch.__version__,
    }
    if args.json:
        print(json.dumps(result))
    else:
        rate = result["images_per_s"]
        print(f"{rate['median']:.1f} images/s ({rate['min']:.1f} to {rate['max']:.1f}), {memory:.0f} MiB")


if __name__ == "__main__":
    main()
