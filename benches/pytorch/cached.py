"""What the benchmarks on cached features share: the features, files of them, our report on them."""

import argparse
import contextlib
import json
import pathlib
import subprocess
import tempfile

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).parent.parent.parent


def parser(description, dim):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--ijepa", default=str(ROOT / "target/release/ijepa"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--train", type=int, default=100_000)
    parser.add_argument("--test", type=int, default=5_000)
    parser.add_argument("--dim", type=int, default=dim)
    parser.add_argument("--classes", type=int, default=1000)
    return parser


def features(images, args, distance, seed):
    """Unit noise around a centre for each class; centres are `distance` from zero in each value."""
    centres = torch.randn(args.classes, args.dim, generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(args.classes, (images,), generator=random)
    noise = torch.randn(images, args.dim, generator=random)
    return {"embedding": distance * centres[labels] + noise, "label": labels}


@contextlib.contextmanager
def sets(args, distance):
    """Training and test features, and the flags that name files of them."""
    splits = {"train": (args.train, 1), "test": (args.test, 2)}
    made = {name: features(images, args, distance, seed) for name, (images, seed) in splits.items()}
    with tempfile.TemporaryDirectory() as folder:
        flags = []
        for name, tensors in made.items():
            path = pathlib.Path(folder) / f"{name}.safetensors"
            save_file(tensors, path)
            flags += [f"--features-{name}", str(path)]
        yield made["train"], made["test"], flags


def ours(args, command, flags):
    """The report of our command on the CPU."""
    line = [args.ijepa, command, "--json", "--quiet", "--device", "flex", "--threads", str(args.threads)]
    return json.loads(subprocess.run(line + flags, check=True, capture_output=True, text=True).stdout)
