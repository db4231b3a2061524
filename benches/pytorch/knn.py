"""Times exact kNN classification of features, ours and PyTorch's in turn: ours, theirs, ours, ...

Both get the same float32 features of overlapping classes, use the same number of threads and compute
DINO's protocol (L2-normalised features, cosine, votes of weight exp(s / 0.07)) for 10, 20, 100 and
200 neighbours. Reading the features is not counted. Prints each round, the median ratio of times
with its spread, and both accuracies.

    python benches/pytorch/knn.py --rounds 7
"""

import statistics
import time

import torch

import cached

KS, TEMPERATURE = [10, 20, 100, 200], 0.07


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
    parser = cached.parser(__doc__, dim=384)
    parser.add_argument("--block", type=int, default=512, help="test images PyTorch compares at once")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ratios = []
    with cached.sets(args, distance=0.28) as (train, test, flags):
        for number in range(args.rounds):
            report = cached.ours(args, "knn", ["--k", ",".join(map(str, KS)), *flags])
            torch_seconds, torch_accuracy = theirs(train, test, args.classes, args.block)
            ratios.append(torch_seconds / report["knn_s"])
            print(
                f"round {number + 1}: {report['knn_s']:.2f} s against {torch_seconds:.2f} s, "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    accuracy = {k: report["k"][str(k)]["top1"] for k in KS}
    print(f"top-1 {accuracy} against {torch_accuracy}")


if __name__ == "__main__":
    main()
