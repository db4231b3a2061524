"""Times linear heads trained side by side on cached features, ours and PyTorch's in turn.

Sixteen heads (with and without batch norm, four learning rates, two weight decays) learn by LARS from
the same float32 features in the same batches, in the same number of threads, and are tested at the
end. PyTorch runs twice: `separate` heads, each a module of its own, as evaluation code has them, and
`stacked` heads, whose linear layers are one product and whose batch norms share their statistics: the
fastest form that was found. Reading the features is not counted. Prints each round and the median
ratios of times with their spread.

    python benches/pytorch/probe.py --rounds 3
"""

import statistics
import time

import torch
from torch.nn.functional import batch_norm, cross_entropy

import cached

RATES, DECAYS = [0.1, 0.05, 0.01, 0.001], [0.0005, 0.0]
MOMENTUM, TRUST = 0.9, 0.001
GRID = [(norm, rate, decay) for norm in (False, True) for rate in RATES for decay in DECAYS]


class Separate:
    """A list of heads, each with its own batch norm, linear layer and loss."""

    def __init__(self, dim, classes):
        def head(norm):
            linear = torch.nn.Linear(dim, classes)
            return torch.nn.Sequential(torch.nn.BatchNorm1d(dim), linear) if norm else linear

        self.heads = torch.nn.ModuleList(head(norm) for norm, _, _ in GRID)

    def parameters(self):
        """Parameter, learning rate, weight decay and whether it is a matrix."""
        for head, (_, rate, decay) in zip(self.heads, GRID):
            for parameter in head.parameters():
                yield parameter, rate, decay if parameter.ndim > 1 else 0.0

    def loss(self, x, y):
        return sum(cross_entropy(head(x), y) for head in self.heads)

    def right(self, x, y):
        self.heads.eval()
        return torch.stack([(head(x).argmax(1) == y).sum() for head in self.heads])


class Stacked:
    """All linear layers as one product; scale and offset of the norms are folded into it."""

    def __init__(self, dim, classes):
        self.shape = (len(GRID), classes)
        bound = dim**-0.5
        self.weight = [torch.empty(classes, dim).uniform_(-bound, bound).requires_grad_() for _ in GRID]
        self.bias = [torch.zeros(classes, requires_grad=True) for _ in GRID]
        normed = [norm for norm, _, _ in GRID]
        self.gamma = [torch.ones(dim, requires_grad=True) if norm else None for norm in normed]
        self.beta = [torch.zeros(dim, requires_grad=True) if norm else None for norm in normed]
        self.mean, self.variance = torch.zeros(dim), torch.ones(dim)

    def parameters(self):
        for index, (norm, rate, decay) in enumerate(GRID):
            yield self.weight[index], rate, decay
            yield self.bias[index], rate, 0.0
            if norm:
                yield self.gamma[index], rate, 0.0
                yield self.beta[index], rate, 0.0

    def logits(self, x, training):
        normed = batch_norm(x, self.mean, self.variance, training=training, momentum=0.1)
        parts = []
        for wanted, inputs in ((False, x), (True, normed)):
            places = [index for index, (norm, _, _) in enumerate(GRID) if norm == wanted]
            weights, biases = [], []
            for index in places:
                weight, bias = self.weight[index], self.bias[index]
                if wanted:
                    bias = bias + weight @ self.beta[index]
                    weight = weight * self.gamma[index]
                weights.append(weight)
                biases.append(bias)
            parts.append(torch.addmm(torch.cat(biases), inputs, torch.cat(weights).T))
        return torch.cat(parts, 1).view(len(x), *self.shape)

    def loss(self, x, y):
        logits = self.logits(x, training=True).flatten(0, 1)
        return cross_entropy(logits, y.repeat_interleave(len(GRID))) * len(GRID)

    def right(self, x, y):
        return (self.logits(x, training=False).argmax(2) == y[:, None]).sum(0)


class Lars:
    """LARS over lists of tensors: vectors have neither trust ratio nor decay."""

    def __init__(self, heads):
        self.parameters, self.rates, self.decays = map(list, zip(*heads.parameters()))
        self.moments = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, scale):
        updates = []
        for parameter, decay in zip(self.parameters, self.decays):
            update = parameter.grad
            if parameter.ndim > 1:
                if decay:
                    update = update + decay * parameter
                norms = parameter.norm(), update.norm()
                update = update * torch.where(norms[1] > 0, TRUST * norms[0] / norms[1], 1.0)
            updates.append(update)
            parameter.grad = None
        torch._foreach_mul_(self.moments, MOMENTUM)
        torch._foreach_add_(self.moments, updates)
        steps = torch._foreach_mul(self.moments, [-scale * rate for rate in self.rates])
        torch._foreach_add_(self.parameters, steps)


def theirs(args, kind, train, test):
    started = time.perf_counter()
    heads = kind(args.dim, args.classes)
    optimizer = Lars(heads)
    x, y = train["embedding"], train["label"]
    for _ in range(args.epochs):
        order = torch.randperm(len(x))
        for first in range(0, len(x) - args.batch_size + 1, args.batch_size):
            rows = order[first : first + args.batch_size]
            heads.loss(x[rows], y[rows]).backward()
            optimizer.step(args.batch_size / 256)
    with torch.no_grad():
        blocks = zip(test["embedding"].split(2048), test["label"].split(2048))
        right = sum(heads.right(*block) for block in blocks)
    return time.perf_counter() - started, 100 * right.max().item() / len(test["label"])


def main():
    parser = cached.parser(__doc__, dim=1280)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=16384)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    sizes = ["--epochs", str(args.epochs), "--head-batch", str(args.batch_size)]
    ratios = {"separate": [], "stacked": []}
    with cached.sets(args, distance=0.1) as (train, test, flags):
        for number in range(args.rounds):
            report = cached.ours(args, "probe", ["--protocol", "vissl-in1k", *sizes, *flags])
            assert len(report["heads"]) == len(GRID)
            line = f"round {number + 1}: {report['probe_s']:.1f} s ({report['top1']:.1f} %)"
            for name, kind in (("separate", Separate), ("stacked", Stacked)):
                torch_seconds, torch_top1 = theirs(args, kind, train, test)
                ratios[name].append(torch_seconds / report["probe_s"])
                line += f", {name} {torch_seconds:.1f} s ({torch_top1:.1f} %)"
            print(line, flush=True)
    for name, found in ratios.items():
        print(f"{name}: median ratio {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})")


if __name__ == "__main__":
    main()
