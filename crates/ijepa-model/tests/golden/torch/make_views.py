"""Makes views.pt and views_protocol4.pt: what a checkpoint of another tool may hold.

Every tensor under "views" has a contiguous copy of the same name under "expected".
Run with torch 2: python make_views.py
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import torch

here = Path(__file__).parent
base = torch.arange(240.0)
grid = base.reshape(4, 5, 12)
views = {
    "transposed": grid[0].t(),
    "permuted": grid.permute(2, 0, 1),
    "channels_last": torch.arange(96.0).reshape(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "row": grid[2],
    "column": grid[:, 1, 3],
    "strided": base[7:200:9],
    "scalar": base[17],
    "empty": torch.zeros(0, 3),
    "one": torch.ones(1, 1, 1).expand(1, 1, 1),
    "parameter": torch.nn.Parameter(torch.arange(6.0).reshape(2, 3)),
}
for dtype in (
    torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16,
    torch.int8, torch.uint8, torch.bool,
):
    views[str(dtype).removeprefix("torch.")] = torch.tensor([[0, 1], [2, 3]]).to(dtype).t()
expected = {name: view.detach().clone(memory_format=torch.contiguous_format)
            for name, view in views.items()}

linear = torch.nn.Linear(2, 3)
shared = linear.state_dict()
root = {
    "views": views,
    "expected": expected,
    "expanded": torch.ones(3, 1).expand(3, 4),
    "encoder": shared,
    "target_encoder": shared,
    "ordered": OrderedDict(b=1, a=2),
    "numbers": [0, 255, 256, -1, 2**31, -(2**40), 2**63 - 1, -(2**63), 2**80, 0.5, True, False, None],
    "opaque": [torch.device("cpu"), torch.float16, argparse.Namespace(lr=1), {1, 2}, torch.Size([1])],
    "complex": torch.zeros(2, dtype=torch.complex64),
    "bytes": b"\x00\xff",
    "text": "l\u00e4nger als 255 Zeichen " * 20,
}
root["itself"] = root
torch.save(root, here / "views.pt")
torch.save(root, here / "views_protocol4.pt", pickle_protocol=4)
