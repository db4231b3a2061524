"""Writes features.safetensors and features.json: made-up features like those of an encoder, and
what NumPy computes from them.

Needs numpy and safetensors: python features.py
The spectrum falls as a power law, the mean is far from zero and classes overlap, as in features of
a trained encoder. Everything is computed in float64 from the float32 values in the file.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
DIM, CLASSES, VIEWS, VIEW_DIM = 32, 12, 6, 16
TEMPERATURE, KS = 0.07, [10, 20, 100, 200]


def features(rng, centres, mixing, images):
    labels = rng.integers(0, CLASSES, images)
    noise = rng.standard_normal((images, DIM)) @ mixing
    return (3 + 0.9 * centres[labels] + noise).astype(np.float32), labels


def whitening(train):
    """Principal components divided by their standard deviations."""
    covariance = np.cov(train.T, bias=True)
    covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(values)


def knn(train, train_labels, test, test_labels, spread):
    """DINO's protocol: every similarity, a stable sort, a vote per class."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    if spread != "raw":
        train, test = train - train.mean(0), test - train.mean(0)
    if spread == "whitened":
        components = whitening(train)
        train, test = train @ components, test @ components
    train /= np.linalg.norm(train, axis=1, keepdims=True)
    test /= np.linalg.norm(test, axis=1, keepdims=True)
    similarity = test @ train.T
    order = np.argsort(-similarity, axis=1, kind="stable")
    result = {}
    for k in KS:
        right = np.zeros(2, int)
        for row, wanted in enumerate(test_labels):
            nearest = order[row, :k]
            votes = np.zeros(CLASSES)
            np.add.at(votes, train_labels[nearest], np.exp(similarity[row, nearest] / TEMPERATURE))
            ranking = np.argsort(-votes, kind="stable")
            place = np.flatnonzero(ranking == wanted)[0]
            voted = votes[wanted] > 0
            right += [voted and place == 0, voted and place < 5]
        top1, top5 = (100 * right / len(test)).tolist()
        result[str(k)] = {"top1": top1, "top5": top5}
    return result


def effective_rank(values, epsilon):
    share = values / values.sum() + epsilon
    return float(np.exp(-(share * np.log(share)).sum()))


def rankme(z):
    return effective_rank(np.linalg.svd(z, compute_uv=False), 1e-7)


def lidar(views):
    """Eigenvalues of W^-1/2 B W^-1/2 with the inverse root from an eigendecomposition."""
    images, count, dim = views.shape
    means = views.mean(1)
    centred = means - means.mean(0)
    between = centred.T @ centred / (images - 1)
    inner = (views - means[:, None]).reshape(-1, dim)
    within = inner.T @ inner / (images * (count - 1)) + 1e-4 * np.eye(dim)
    values, vectors = np.linalg.eigh(within)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    return effective_rank(np.linalg.eigvalsh(root @ between @ root).clip(0), 1e-8)


def unit(z):
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def alignment(views):
    u = unit(views)
    pairs = [(a, b) for a in range(VIEWS) for b in range(a)]
    return float(np.mean([((u[:, a] - u[:, b]) ** 2).sum(-1).mean() for a, b in pairs]))


def uniformity(z):
    u = unit(z)
    squared = ((u[:, None] - u[None]) ** 2).sum(-1)
    upper = np.triu_indices(len(z), 1)
    return float(np.log(np.exp(-2 * squared[upper]).mean()))


def main():
    rng = np.random.default_rng(0)
    spectrum = (1 + np.arange(DIM)) ** -0.7
    rotation = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    mixing = np.diag(2.2 * spectrum) @ rotation
    centres = rng.standard_normal((CLASSES, DIM)) @ mixing
    train, train_labels = features(rng, centres, mixing, 400)
    test, test_labels = features(rng, centres, mixing, 150)
    images = rng.standard_normal((60, 1, VIEW_DIM)) * (1 + np.arange(VIEW_DIM)) ** -1.0
    shift = rng.standard_normal((60, VIEWS, VIEW_DIM)) * np.linspace(0.6, 0.05, VIEW_DIM)
    views = (0.5 + images + shift).astype(np.float32)
    save_file(
        {
            "train": train,
            "train_labels": train_labels.astype(np.int64),
            "test": test,
            "test_labels": test_labels.astype(np.int64),
            "views": views,
        },
        HERE / "features.safetensors",
    )
    exact, train = views.astype(np.float64), train.astype(np.float64)
    expected = {
        "made_by": f"features.py, NumPy {np.__version__}",
        "temperature": TEMPERATURE,
        "knn": knn(train, train_labels, test, test_labels, "raw"),
        "knn_centered": knn(train, train_labels, test, test_labels, "centered"),
        "knn_whitened": knn(train, train_labels, test, test_labels, "whitened"),
        "rankme": rankme(train),
        "rankme_centered": rankme(train - train.mean(0)),
        "lidar": lidar(exact),
        "alignment": alignment(exact),
        "uniformity": uniformity(train),
    }
    (HERE / "features.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
