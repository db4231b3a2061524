"""Masks of whole batches, and as the `collate_fn` of a PyTorch DataLoader."""

from __future__ import annotations

import os
import sys
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from ijepa._ijepa import MaskSampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEFAULT_RECIPE = "in1k_vitb16_ep600"


def masks(
    recipe: str = DEFAULT_RECIPE,
    n: int | None = None,
    *,
    step: int = 0,
    overrides: Mapping[str, Any] | None = None,
    image_size: int | tuple[int, int] | None = None,
    patch_size: int | None = None,
    seed: int = 0,
    generator: str = "reference",
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Draw the masks of one batch of `n` images (by default the recipe's group).

    Returns `(contexts, targets)`, lists of int64 [n, patches] with patch numbers row by row. The
    other arguments are those of `MaskSampler`, whose masks of `step` these are; with the generator
    of the reference, `step` decides the block sizes and `seed` the positions.
    """
    sampler = MaskSampler(
        recipe,
        overrides=overrides,
        image_size=image_size,
        patch_size=patch_size,
        seed=seed,
        generator=generator,
    )
    return sampler.sample(sampler.group_size if n is None else n, step)


class MaskCollator:
    """Collates a batch and draws its masks, as the collator of the reference code does.

    Called with a list of samples it returns `(batch, context_masks, target_masks)`: the samples
    collated, and two lists of int64 [len(batch), patches], one entry a block. They are PyTorch
    tensors if PyTorch can be imported, and NumPy arrays otherwise. A batch is one mask group.

    The n-th call, counted over all worker processes of a DataLoader, draws the masks of step n. With
    `generator="reference"` a single process gives the masks that the reference gives after
    `torch.manual_seed(seed)`, and worker processes take positions from the seeds that PyTorch gives
    them, as there. With "ijepa" masks follow from `seed` and step alone, whatever the workers.
    `start_step`, the `step` of a collator before, goes on where that stopped: with "ijepa" exactly,
    with "reference" the positions begin anew.

    `recipe`, `overrides`, `image_size` and `patch_size` are those of `MaskSampler`; `collate`
    replaces PyTorch's default for the samples.
    """

    def __init__(
        self,
        recipe: str = DEFAULT_RECIPE,
        *,
        overrides: Mapping[str, Any] | None = None,
        image_size: int | tuple[int, int] | None = None,
        patch_size: int | None = None,
        seed: int = 0,
        generator: str = "reference",
        collate: Callable[[Sequence[Any]], Any] | None = None,
        start_step: int = 0,
    ) -> None:
        # Imported here, since commands need none of it. What this way of starting processes shares,
        # the others share as well.
        from multiprocessing import get_context

        self._sampler_of = partial(
            MaskSampler,
            recipe,
            overrides=overrides,
            image_size=image_size,
            patch_size=patch_size,
            generator=generator,
        )
        self._seed = seed
        self._seeds_of_workers = generator == "reference"
        self._collate = collate
        start_step = index(start_step)
        if not 0 <= start_step < 2**63:
            raise ValueError(f"start_step is {start_step}, expected a number of steps")
        self._steps = get_context("spawn").Value("Q", start_step)
        self._sampler: MaskSampler | None = self._sampler_of(seed=seed)
        self._process = os.getpid()

    @property
    def step(self) -> int:
        """The step of the next batch, over all worker processes."""
        return int(self._steps.value)

    def __call__(self, batch: Sequence[Any]) -> tuple[Any, list[Any], list[Any]]:
        collate, tensor = _torch_or_numpy()
        with self._steps.get_lock():
            step = self._steps.value
            self._steps.value += 1
        contexts, targets = self._sampler_here().sample(len(batch), step)
        samples = (self._collate or collate)(batch)
        return samples, [tensor(mask) for mask in contexts], [tensor(mask) for mask in targets]

    def _sampler_here(self) -> MaskSampler:
        """The sampler of this process: a copied one would repeat the positions of its origin."""
        if self._sampler is None or self._process != os.getpid():
            seed = _worker_seed() if self._seeds_of_workers else None
            self._sampler = self._sampler_of(seed=self._seed if seed is None else seed)
            self._process = os.getpid()
        return self._sampler

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sampler": None}


def _worker_seed() -> int | None:
    """The seed that PyTorch gave this process of a DataLoader, if it is one."""
    torch = sys.modules.get("torch")
    worker = torch and torch.utils.data.get_worker_info()
    return worker.seed if worker else None


def _torch_or_numpy() -> tuple[Callable[[Sequence[Any]], Any], Callable[[NDArray[np.int64]], Any]]:
    """How samples are collated and what masks are given as."""
    try:
        import torch  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return _stack, lambda mask: mask
    return torch.utils.data.default_collate, torch.from_numpy


def _stack(batch: Sequence[Any]) -> Any:
    """Arrays and numbers as one array, fields of tuples each for itself."""
    import numpy as np

    if isinstance(batch[0], (tuple, list)):
        return [_stack(field) for field in zip(*batch)]
    return np.stack([np.asarray(sample) for sample in batch])
