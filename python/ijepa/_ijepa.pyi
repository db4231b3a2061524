from os import PathLike
from typing import Any, Iterator, Mapping, Sequence, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Encoder", "Loader", "MaskSampler", "__version__", "load", "run"]

__version__: str

_Path = str | PathLike[str]
_Images = _Path | Sequence[_Path] | NDArray[np.uint8] | NDArray[np.float32]
_Batch = NDArray[np.uint8] | NDArray[np.float32]
_Size = int | tuple[int, int] | Sequence[int]

def run(arguments: Sequence[str]) -> int: ...
def load(
    weights: _Path,
    device: str = "cpu",
    *,
    encoder: str | None = None,
    image_size: _Size | None = None,
    num_heads: int | None = None,
    preprocess: str | None = None,
) -> Encoder: ...

@final
class Encoder:
    def encode(
        self,
        images: _Images,
        pool: str = "mean",
        *,
        batch_size: int = 32,
        workers: int | None = None,
    ) -> NDArray[np.float32]: ...
    def patches(
        self, images: _Images, *, batch_size: int = 32, workers: int | None = None
    ) -> NDArray[np.float32]: ...
    @property
    def embed_dim(self) -> int: ...
    @property
    def patch_size(self) -> int: ...
    @property
    def image_size(self) -> tuple[int, int]: ...
    @property
    def channels(self) -> int: ...
    @property
    def preprocess(self) -> str: ...
    @property
    def device(self) -> str: ...

@final
class MaskSampler:
    def __new__(
        cls,
        recipe: str = "in1k_vitb16_ep600",
        *,
        overrides: Mapping[str, Any] | None = None,
        image_size: _Size | None = None,
        patch_size: int | None = None,
        seed: int = 0,
        generator: str = "reference",
    ) -> MaskSampler: ...
    def sample(
        self, images: int, step: int
    ) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]: ...
    @property
    def grid(self) -> tuple[int, int]: ...
    @property
    def group_size(self) -> int: ...

@final
class Loader(Iterator[tuple[_Batch, NDArray[np.int64]]]):
    def __new__(
        cls,
        data: _Path | Sequence[_Path],
        *,
        size: _Size | None = None,
        recipe: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        seed: int | None = None,
        start_step: int = 0,
    ) -> Loader: ...
    def __iter__(self) -> Loader: ...
    def __next__(self) -> tuple[_Batch, NDArray[np.int64]]: ...
    def __len__(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def classes(self) -> list[str]: ...
    @property
    def num_images(self) -> int: ...
    @property
    def skipped(self) -> list[tuple[str, str]]: ...
