"""Writes probe.safetensors and probe.json: heads trained by PyTorch, and logistic regression.

Heads are `torch.nn` modules trained one by one on the batches named here: LARS is written from its
formula, gradient descent is `torch.optim.SGD`. Logistic regression is scikit-learn's. The initial
weights are in the file, so that another implementation can begin alike.

    python crates/ijepa-eval/tests/golden/probe.py
"""

import json
import pathlib

import numpy as np
import sklearn
import torch
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from torch import nn

HERE = pathlib.Path(__file__).parent
DIM, CLASSES, BATCH, STEPS = 12, 7, 32, 12
HEADS = [
    (norm, lr, decay)
    for norm in ("none", "vissl", "mae")
    for lr in (0.1, 0.3)
    for decay in (0.0, 0.05)
]
FACTORS = [1.0] * 8 + [0.1] * 4


def head(norm, generator):
    linear = nn.Linear(DIM, CLASSES)
    with torch.no_grad():
        linear.weight.normal_(0, 0.2, generator=generator)
        linear.bias.normal_(0, 0.2, generator=generator)
    if norm == "none":
        return nn.Sequential(nn.Identity(), linear)
    affine = norm == "vissl"
    return nn.Sequential(nn.BatchNorm1d(DIM, eps=1e-5 if affine else 1e-6, affine=affine), linear)


class Lars(torch.optim.Optimizer):
    """LARS with momentum 0.9 and trust coefficient 0.001; vectors follow the plain gradient."""

    def __init__(self, groups):
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                d = p.grad + group["weight_decay"] * p
                if p.ndim > 1:
                    weight, update = p.norm(), d.norm()
                    if weight > 0 and update > 0:
                        d = d * (0.001 * weight / update)
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.mul_(0.9).add_(d)
                p.sub_(group["lr"] * momentum)


def train(kind, head, lr, decay, x, y):
    norm, linear = head
    lr = lr * (20.0 if kind == "lars" else 1.0)
    groups = [{"params": list(linear.parameters()), "weight_decay": decay, "lr": lr}]
    if list(norm.parameters()):
        groups.append({"params": list(norm.parameters()), "weight_decay": 0.0, "lr": lr})
    if kind == "lars":
        optimizer = Lars(groups)
    else:
        optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)
    head.train()
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = lr * FACTORS[step]
        loss = nn.functional.cross_entropy(head(x[step]), y[step])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    head.eval()
    return losses


def main():
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(5)
    centres = torch.randn(CLASSES, DIM, generator=generator)
    y = torch.randint(0, CLASSES, (STEPS, BATCH), generator=generator)
    x = centres[y] + torch.randn(STEPS, BATCH, DIM, generator=generator) * 1.5
    x = x * torch.linspace(0.3, 2.0, DIM) + torch.linspace(-1.0, 3.0, DIM)
    x = x.float().double()
    test = x[0] * 0.7 + 0.3
    tensors = {"x": x.float(), "y": y, "test": test.float()}
    for kind in ("lars", "nesterov"):
        weights, biases, logits, losses = [], [], [], []
        for norm, lr, decay in HEADS:
            module = head(norm, generator)
            # What is written has to be what is trained from.
            for p in module[1].parameters():
                p.data = p.data.float().double()
            weights.append(module[1].weight.detach().T.clone())
            biases.append(module[1].bias.detach().clone())
            losses.append(torch.tensor(train(kind, module, lr, decay, x, y)))
            logits.append(module(test.float().double()).detach())
        tensors[f"{kind}.weight"] = torch.cat(weights, 1).float()
        tensors[f"{kind}.bias"] = torch.cat(biases).float()
        tensors[f"{kind}.logits"] = torch.cat(logits, 1).float()
        tensors[f"{kind}.losses"] = torch.stack(losses, 1).float()

    few, many = 70, 200
    labels = torch.arange(few) % CLASSES
    features = (centres[labels] + torch.randn(few, DIM, generator=generator) + 2.0).float()
    wanted = torch.arange(many) % CLASSES
    others = (centres[wanted] + torch.randn(many, DIM, generator=generator) + 2.0).float()

    def rows(x):
        x = x.double() - x.double().mean(1, keepdim=True)
        return (x / x.norm(dim=1, keepdim=True)).numpy()

    penalties = [10.0, 0.3, 0.01]
    models = [
        LogisticRegression(C=1 / penalty, fit_intercept=False, tol=1e-10, max_iter=100000).fit(
            rows(features), labels.numpy()
        )
        for penalty in penalties
    ]
    # Images between two classes would tell rounding errors apart, not minima.
    clear = np.ones(many, dtype=bool)
    for model in models:
        scores = np.sort(rows(others) @ model.coef_.T, axis=1)
        clear &= scores[:, -1] - scores[:, -2] > 0.01
    others, wanted = others[clear], wanted[clear]
    objectives, accuracies = [], []
    for penalty, model in zip(penalties, models):
        scores = torch.tensor(rows(features) @ model.coef_.T)
        loss = nn.functional.cross_entropy(scores, labels).item()
        objectives.append(loss + penalty / (2 * few) * float((model.coef_**2).sum()))
        accuracies.append(100.0 * model.score(rows(others), wanted.numpy()))
        tensors[f"logistic.coef.{penalty}"] = torch.tensor(model.coef_.T.copy()).float()
    tensors |= {"logistic.train": features, "logistic.train_labels": labels}
    tensors |= {"logistic.test": others, "logistic.test_labels": wanted}
    save_file({name: t.numpy().copy() for name, t in tensors.items()}, HERE / "probe.safetensors")
    facts = {
        "made_by": f"probe.py, PyTorch {torch.__version__}, scikit-learn {sklearn.__version__}",
        "heads": [list(head) for head in HEADS],
        "factors": FACTORS,
        "lars_lr_factor": 20.0,
        "penalties": penalties,
        "objectives": objectives,
        "top1": accuracies,
    }
    (HERE / "probe.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(accuracies, objectives)
    for kind in ("lars", "nesterov"):
        print(kind, np.round(tensors[f"{kind}.losses"].numpy()[[0, -1]], 3))


if __name__ == "__main__":
    main()
