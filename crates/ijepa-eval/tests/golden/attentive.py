"""Writes attentive.safetensors and attentive.json: an attentive head computed by PyTorch.

The head is written from the formulas of V-JEPA's attentive probe (Bardes et al. 2024): one learned
query attends to the normed tokens of an image, whose keys and values are computed here one by one;
residual sums, a norm and an MLP follow, then a linear classifier. Numbers are computed in f64 and
written in f32: logits and every gradient of the first batch, then losses and weights of AdamW.

    python crates/ijepa-eval/tests/golden/attentive.py
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent
DIM, HEADS, TOKENS, CLASSES, BATCH = 12, 3, 7, 5, 8
LR, WEIGHT_DECAY, FACTORS = 3e-3, 0.1, [1.0, 1.0, 0.75, 0.4]


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, 1, DIM))
        self.norm1 = nn.LayerNorm(DIM)
        self.q = nn.Linear(DIM, DIM)
        self.kv = nn.Linear(DIM, 2 * DIM)
        self.proj = nn.Linear(DIM, DIM)
        self.norm2 = nn.LayerNorm(DIM)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(DIM, 4 * DIM), "fc2": nn.Linear(4 * DIM, DIM)})
        self.linear = nn.Linear(DIM, CLASSES)

    def forward(self, x):
        def split(t):
            return t.unflatten(-1, (HEADS, DIM // HEADS)).transpose(1, 2)

        query = self.query.expand(len(x), -1, -1)
        keys, values = self.kv(self.norm1(x)).chunk(2, -1)
        found = nn.functional.scaled_dot_product_attention(
            split(self.q(query)), split(keys), split(values)
        )
        pooled = query + self.proj(found.transpose(1, 2).flatten(2))
        hidden = nn.functional.gelu(self.mlp["fc1"](self.norm2(pooled)))
        pooled = pooled + self.mlp["fc2"](hidden)
        return self.linear(pooled.squeeze(1))


def main():
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(11)

    def noise(*shape):
        return torch.randn(*shape, generator=generator).float().double()

    head = Head()
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_((offset + 0.4 * noise(*parameter.shape)).float())
    x = noise(len(FACTORS), BATCH, TOKENS, DIM) * 1.5 + noise(DIM)
    x = x.float().double()
    y = torch.randint(0, CLASSES, (len(FACTORS), BATCH), generator=generator)
    tensors = {"x": x, "y": y, "one_hot": nn.functional.one_hot(y[0], CLASSES).double()}
    tensors |= {f"before.{name}": p.detach().clone() for name, p in head.named_parameters()}

    decayed = [p for p in head.parameters() if p.ndim > 1]
    others = [p for p in head.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    )
    losses = []
    for step, factor in enumerate(FACTORS):
        for group in optimizer.param_groups:
            group["lr"] = LR * factor
        logits = head(x[step])
        loss = nn.functional.cross_entropy(logits, y[step])
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            tensors["logits"] = logits.detach()
            tensors |= {f"gradient.{n}": p.grad.clone() for n, p in head.named_parameters()}
        optimizer.step()
        losses.append(loss.detach())
    tensors["losses"] = torch.stack(losses)
    tensors |= {f"after.{name}": p.detach() for name, p in head.named_parameters()}
    # Softmax ignores what all keys have in common: zero up to rounding.
    assert tensors["gradient.kv.bias"][:DIM].abs().max() < 1e-15
    save_file(
        {n: (t if t.dtype == torch.int64 else t.float()).contiguous() for n, t in tensors.items()},
        HERE / "attentive.safetensors",
    )
    facts = {
        "made_by": f"attentive.py, PyTorch {torch.__version__}",
        "num_heads": HEADS,
        "lr": LR,
        "weight_decay": WEIGHT_DECAY,
        "factors": FACTORS,
    }
    (HERE / "attentive.json").write_text(json.dumps(facts, indent=1) + "\n")
    print([loss.item() for loss in losses])


if __name__ == "__main__":
    main()
