"""Writes terms.json: VICReg's and SIGReg's terms, their gradients, and targets of several blocks.

Written from the formulas of the papers (Bardes et al. 2022, equations 1 to 4; Balestriero and LeCun
2025, the statistic of Epps and Pulley; Baevski et al. 2022, section 3.3) in float64. SIGReg's integral
is torch's trapezoid over 17 knots and complex exponentials.

    python crates/ijepa-model/tests/golden/terms.py
"""

import json
import pathlib

import torch
from torch.nn import functional as F

ROWS, TOKENS, WIDTH, DIRECTIONS, BLOCKS = 3, 4, 6, 64, 2


def vicreg(x):
    x = x.reshape(-1, x.shape[-1])
    covariance = torch.cov(x.T)
    deviation = torch.sqrt(torch.var(x, dim=0) + 1e-4)
    off_diagonal = covariance - torch.diag(torch.diagonal(covariance))
    return F.relu(1 - deviation).mean(), off_diagonal.pow(2).sum() / x.shape[-1]


def sigreg(x, directions):
    x = x.reshape(-1, x.shape[-1])
    t = torch.linspace(-5, 5, 17, dtype=torch.float64)
    gaussian = torch.exp(-0.5 * t**2)
    empirical = torch.exp(1j * (x @ directions)[..., None] * t).mean(0)
    error = (empirical - gaussian).abs().pow(2) * gaussian
    return (torch.trapezoid(error, t, dim=1) * len(x)).mean()


def main():
    torch.manual_seed(0)
    scale = torch.linspace(0.2, 1.4, WIDTH)
    mix = torch.randn(WIDTH, WIDTH) * 0.3 + torch.eye(WIDTH)
    x = (torch.randn(ROWS, TOKENS, WIDTH) @ mix * scale + 0.3).double().requires_grad_()
    directions = F.normalize(torch.randn(WIDTH, DIRECTIONS), dim=0).double()
    case = {"shape": [ROWS, TOKENS, WIDTH], "features": x.flatten().tolist()}
    case["directions"] = directions.flatten().tolist()
    variance, covariance = vicreg(x)
    for name, term in [("variance", variance), ("covariance", covariance), ("sigreg", sigreg(x, directions))]:
        (gradient,) = torch.autograd.grad(term, x, retain_graph=True)
        case[name] = {"value": term.item(), "gradient": gradient.flatten().tolist()}
    path = pathlib.Path(__file__).with_name("terms.json")
    path.write_text(json.dumps(case) + "\n")


if __name__ == "__main__":
    main()
