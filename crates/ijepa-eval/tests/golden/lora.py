"""Golden numbers of low-rank adaptation, from timm's ViT and PyTorch's AdamW.

Run: python lora.py (torch, timm, safetensors), after finetune.py, whose classifier.safetensors has the
frozen weights. Writes lora.safetensors and lora.json. The pairs are written from the formula of Hu et
al. 2021, x W^T + (x A^T) B^T + b, beside qkv of every block, and begin with random values, so that
both have gradients. Numbers are computed in f64 and written in f32: logits, loss and gradients of the first
step, then losses and weights of three steps.
"""

import json

import torch
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from torch import nn

CLASSES, BATCH, DEPTH, DIM, RANK = 5, 6, 2, 16, 3
LR, WEIGHT_DECAY = 1e-2, 0.3
torch.manual_seed(1)
torch.set_default_dtype(torch.float64)


class Adapted(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.a = nn.Parameter(torch.empty(RANK, linear.in_features))
        nn.init.kaiming_uniform_(self.a, a=5 ** 0.5)
        self.b = nn.Parameter(0.3 * torch.randn(linear.out_features, RANK))

    def forward(self, x):
        return self.linear(x) + x @ self.a.T @ self.b.T


model = VisionTransformer(
    img_size=(16, 24), patch_size=8, embed_dim=DIM, depth=DEPTH, num_heads=2, num_classes=CLASSES,
    class_token=False, global_pool="avg", fc_norm=True,
    norm_layer=lambda dim, **kwargs: nn.LayerNorm(dim, eps=1e-6),
)
weights = load_file("classifier.safetensors")
model.load_state_dict({name: tensor.double() for name, tensor in weights.items()})
for parameter in model.parameters():
    parameter.requires_grad_(False)
for block in model.blocks:
    block.attn.qkv = Adapted(block.attn.qkv)
for name, parameter in [*model.head.named_parameters(), *model.fc_norm.named_parameters()]:
    parameter.requires_grad_(True)
trained = {
    name.replace("qkv.a", "qkv.weight.lora.a").replace("qkv.b", "qkv.weight.lora.b"): p
    for name, p in model.named_parameters() if p.requires_grad
}
with torch.no_grad():
    for name, parameter in trained.items():
        parameter.copy_(parameter.float())  # what is written
golden = {f"before.{name}": p.detach().clone() for name, p in trained.items()}
golden["images"] = torch.randn(BATCH, 3, 16, 24).float().double()
labels = [0, 3, 1, 4, 4, 2]
optimizer = torch.optim.AdamW(
    [{"params": [p], "weight_decay": 0.0 if p.ndim == 1 else WEIGHT_DECAY} for p in trained.values()], lr=LR)
losses = []
for step in range(3):
    logits = model(golden["images"].roll(step, 1))
    loss = nn.functional.cross_entropy(logits, torch.tensor(labels))
    optimizer.zero_grad()
    loss.backward()
    if step == 0:
        golden["logits"] = logits.detach()
        golden |= {f"gradient.{name}": p.grad.clone() for name, p in trained.items()}
    optimizer.step()
    losses.append(loss.item())
golden |= {f"after.{name}": p.detach().clone() for name, p in trained.items()}
save_file({name: tensor.float().contiguous() for name, tensor in golden.items()}, "lora.safetensors")
with open("lora.json", "w") as file:
    json.dump({
        "what": "logits, gradients and three steps of low-rank pairs by lora.py", "torch": torch.__version__,
        "timm": __import__("timm").__version__, "labels": labels, "rank": RANK, "lr": LR,
        "weight_decay": WEIGHT_DECAY, "losses": losses,
    }, file, indent=1)
    file.write("\n")
