"""Times exact kNN classification of features, ours and PyTorch's in turn: ours, theirs, ours, ...

Both get the same float32 features of overlapping classes, use the same number of threads and compute
DINO's protocol (L2-normalised features, cosine, votes of weight exp(s / 0.07)) for 10, 20, 100 and
200 neighbours. Reading the features is not counted. Prints each round, the median ratio of times
with its spread, and both accuracies.

    python benches/pytorch/knn.py --rounds 7
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).parent.parent.parent
KS, TEMPERATURE = [10, 20, 100, 200], 0.07


def features(images, dim, classes, seed):
    """Unit noise around a centre for each class."""
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=random)
    noise = torch.randn(images, dim, generator=random)
    return {"embedding": 0.28 * centres[labels] + noise, "label": labels}


def ours(args, folder):
    command = [args.ijepa, "knn", "--json", "--quiet", "--device", "flex"]
    command += ["--k", ",".join(map(str, KS)), "--threads", str(args.threads)]
    for split in ("train", "test"):
        command += [f"--features-{split}", str(folder / f"{split}.safetensors")]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return report["knn_s"], {k: report["k"][str(k)]["top1"] for k in KS}


@torch.no_grad()
def theirs(train, test, classes, block):
    started = time.perf_counter()
    keys = torch.nn.functional.normalize(train["embedding"]).T.contiguous()
    queries = torch.nn.functional.normalize(test["embedding"])
    right = dict.fromkeys(KS, 0)
    for first in range(0, len(queries), block):
        rows = slice(first, first + block)
        similarity, nearest = (queries[rows] @ keys).topk(max(KS), sorted=True)
        weights = (similarity / TEMPERATURE).exp()
        voters = train["label"][nearest]
        for k in KS:
            votes = torch.zeros(len(similarity), classes)
            votes.scatter_add_(1, voters[:, :k], weights[:, :k])
            right[k] += (votes.argmax(1) == test["label"][rows]).sum().item()
    accuracy = {k: 100 * count / len(queries) for k, count in right.items()}
    return time.perf_counter() - started, accuracy


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ijepa", default=str(ROOT / "target/release/ijepa"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--train", type=int, default=100_000)
    parser.add_argument("--test", type=int, default=5_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--block", type=int, default=512, help="test images PyTorch compares at once")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train = features(args.train, args.dim, args.classes, 1)
    test = features(args.test, args.dim, args.classes, 2)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        save_file(train, folder / "train.safetensors")
        save_file(test, folder / "test.safetensors")
        for number in range(args.rounds):
            seconds, accuracy = ours(args, folder)
            torch_seconds, torch_accuracy = theirs(train, test, args.classes, args.block)
            ratios.append(torch_seconds / seconds)
            print(
                f"round {number + 1}: {seconds:.2f} s against {torch_seconds:.2f} s, "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"top-1 {accuracy} against {torch_accuracy}")


if __name__ == "__main__":
    main()
