"""Golden numbers of fine-tuning, from timm's own ViT, mixup, losses and PyTorch's AdamW.

Run: python finetune.py (torch, timm, numpy, safetensors). Writes classifier.safetensors, finetune.safetensors, finetune.json.
Layer scales and learning rates are written here from their formulas.
"""

import json
import math

import numpy as np
import timm.data.mixup as mixup
import torch
from safetensors.torch import save_file
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.models.vision_transformer import VisionTransformer

CLASSES, BATCH, DEPTH, SMOOTHING = 5, 6, 2, 0.1
LR, MIN_LR, WARMUP, EPOCHS, DECAY, WEIGHT_DECAY, STEPS_PER_EPOCH = 2e-2, 1e-3, 1.5, 4, 0.6, 0.3, 2
torch.manual_seed(0)
np.random.seed(0)

model = VisionTransformer(
    img_size=(16, 24), patch_size=8, embed_dim=16, depth=DEPTH, num_heads=2, num_classes=CLASSES,
    class_token=False, global_pool="avg", fc_norm=True,
    norm_layer=lambda dim, **kwargs: torch.nn.LayerNorm(dim, eps=1e-6),
)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.copy_(offset + 0.3 * torch.randn_like(parameter))
model.pos_embed.requires_grad_(False)
weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
config = {
    "encoder": {"image_size": [16, 24], "patch_size": 8, "embed_dim": 16, "depth": DEPTH,
                "num_heads": 2, "mlp_ratio": 4.0, "drop_path": 0.0},
    "classes": [str(label) for label in range(CLASSES)],
    "normalization": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
}
save_file(weights, "classifier.safetensors", {"ijepa_classifier": json.dumps(config)})


def scale(name):
    if name.startswith(("patch_embed", "pos_embed")):
        layer = 0
    elif name.startswith("blocks."):
        layer = int(name.split(".")[1]) + 1
    else:
        layer = DEPTH + 1
    return DECAY ** (DEPTH + 1 - layer)


def rate(step):
    epoch = step / STEPS_PER_EPOCH
    if epoch < WARMUP:
        return LR * epoch / WARMUP
    return MIN_LR + (LR - MIN_LR) * 0.5 * (1 + math.cos(math.pi * (epoch - WARMUP) / (EPOCHS - WARMUP)))


trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(
    [{"params": [p], "scale": scale(name), "weight_decay": 0.0 if p.ndim == 1 else WEIGHT_DECAY}
     for name, p in trained])

golden, steps = {}, []
golden["images"] = torch.randn(BATCH, 3, 16, 24)
labels = [0, 3, 1, 4, 4, 2]
target = torch.tensor(labels)
golden["logits"] = model(golden["images"]).detach()

boxes = []
original = mixup.cutmix_bbox_and_lam
mixup.cutmix_bbox_and_lam = lambda *a, **k: boxes.append(original(*a, **k)) or boxes[-1]
for step, kind in enumerate([None, None, "mixup", "cutmix", None, "cutmix"]):
    mix = mixup.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=SMOOTHING, num_classes=CLASSES)
    images = golden["images"].roll(step, 1)
    entry = {"kind": kind, "lr": rate(step)}
    for group in optimizer.param_groups:
        group["lr"] = rate(step) * group["scale"]
    if kind is None:
        entry["lam"] = 1.0
        loss = LabelSmoothingCrossEntropy(SMOOTHING)(model(images), target)
    else:
        share = 0.3 if kind == "mixup" else [0.45, 0.8][len(boxes)]
        mix._params_per_batch = lambda: (share, kind == "cutmix")
        lam = mix._mix_batch(images := images.clone())
        soft = mixup.mixup_target(target, CLASSES, lam, SMOOTHING)
        golden[f"mixed.{step}"], golden[f"targets.{step}"] = images.clone(), soft.float()
        entry["lam"] = float(lam)
        if kind == "cutmix":
            (top, bottom, left, right), _ = boxes[-1]
            entry["rect"] = [int(top), int(left), int(bottom - top), int(right - left)]
        loss = SoftTargetCrossEntropy()(model(images), soft)
    entry["loss"] = loss.item()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    steps.append(entry)
golden |= {f"after.{name}": tensor.detach().clone() for name, tensor in model.state_dict().items()}
save_file({name: tensor.contiguous() for name, tensor in golden.items()}, "finetune.safetensors")
with open("finetune.json", "w") as file:
    json.dump({
        "what": "logits, mixed batches and six steps of fine-tuning by finetune.py",
        "timm": __import__("timm").__version__, "torch": torch.__version__, "labels": labels,
        "smoothing": SMOOTHING, "layer_decay": DECAY, "weight_decay": WEIGHT_DECAY,
        "schedule": {"lr": LR, "min_lr": MIN_LR, "warmup_epochs": WARMUP, "epochs": EPOCHS,
                     "steps_per_epoch": STEPS_PER_EPOCH},
        "scales": {name: scale(name) for name, _ in trained}, "steps": steps,
    }, file, indent=1)
    file.write("\n")
