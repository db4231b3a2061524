"""Masks of a batch by `ijepa.MaskSampler` and by PyTorch tensors, in turn, after the same ones were
drawn by both.

    python benches/pytorch/masks.py --images 128 --rounds 7

Needs PyTorch and the module `ijepa` (docs/python.md). The PyTorch side is written from the paper's
section 3 and the settings of the published runs: block sizes from a generator seeded with the step,
positions from the global one, blocks as tensors of ones.
"""

import argparse
import math
import statistics
import time

import ijepa
import torch

RECIPES = {"224 px, patch 16": ("in1k_vitb16_ep600", 14), "224 px, patch 14": ("in1k_vith14_ep300", 16)}
TARGETS, MIN_KEEP = 4, 10


def block_size(generator, side, scale, aspect):
    share = torch.rand(1, generator=generator).item()
    patches = int(side * side * (scale[0] + share * (scale[1] - scale[0])))
    ratio = aspect[0] + share * (aspect[1] - aspect[0])
    rows, cols = round(math.sqrt(patches * ratio)), round(math.sqrt(patches / ratio))
    return min(rows, side - 1), min(cols, side - 1)


def block(side, size):
    top = torch.randint(0, side - size[0], (1,)).item()
    left = torch.randint(0, side - size[1], (1,)).item()
    mask = torch.zeros(side, side, dtype=torch.int32)
    mask[top : top + size[0], left : left + size[1]] = 1
    return mask


def context_of(side, size, targets):
    """A block without the patches of `targets`, of which it respects fewer after every 20 draws."""
    draws = 0
    while True:
        mask = block(side, size)
        for target in targets[: max(0, len(targets) - draws // 20)]:
            mask = mask * (1 - target)
        if mask.sum() > MIN_KEEP:
            return mask
        draws += 1


def masks(side, images, step):
    generator = torch.Generator().manual_seed(step)
    target_size = block_size(generator, side, (0.15, 0.2), (0.75, 1.5))
    context_size = block_size(generator, side, (0.85, 1.0), (1.0, 1.0))
    patches = lambda mask: torch.nonzero(mask.flatten()).flatten()
    contexts, targets = [], []
    for _ in range(images):
        blocks = [block(side, target_size) for _ in range(TARGETS)]
        targets.append([patches(mask) for mask in blocks])
        contexts.append(patches(context_of(side, context_size, blocks)))
    shortest = min(map(len, contexts))
    together = torch.stack([context[:shortest] for context in contexts])
    return [together], [torch.stack(of_number) for of_number in zip(*targets)]


def seconds(draw, batches):
    since = time.perf_counter()
    for step in batches:
        draw(step)
    return (time.perf_counter() - since) / len(batches)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=128, help="of a batch")
    parser.add_argument("--batches", type=int, default=5, help="of a round, by PyTorch; ours draws 20 times as many")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, (recipe, side) in RECIPES.items():
        sampler = ijepa.MaskSampler(recipe, seed=0)
        torch.manual_seed(0)
        for step in range(3):
            theirs, ours = masks(side, args.images, step), sampler.sample(args.images, step)
            for kind in (0, 1):
                for one, other in zip(theirs[kind], ours[kind], strict=True):
                    assert torch.equal(one, torch.from_numpy(other)), (name, step)
        pairs = []
        for _ in range(args.rounds):
            slow = seconds(lambda step: masks(side, args.images, step), range(args.batches))
            fast = seconds(lambda step: sampler.sample(args.images, step), range(20 * args.batches))
            pairs.append((slow, fast))
        ratios = sorted(slow / fast for slow, fast in pairs)
        slow, fast = (statistics.median(times) * 1000 for times in zip(*pairs))
        print(
            f"{name}: the same masks in 3 batches; ms a batch: PyTorch {slow:.1f}, ours {fast:.3f}, "
            f"ratio {statistics.median(ratios):.0f} ({ratios[0]:.0f} to {ratios[-1]:.0f})"
        )


if __name__ == "__main__":
    main()
