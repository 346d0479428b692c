"""An open cache: lazy memory maps, case records, and the way to feeders."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._balance import Balance, draw, shown
from ._case_info import CaseInfo
from ._depth import Short
from ._format import LABEL_DTYPE, CasePaths
from ._geometry import Axes
from ._intensity import DEFAULT_INTENSITY, Intensity, Rescale, stored_rescale
from ._manifest import CachedVolume, Manifest, read_case
from ._maps import VolumeMaps
from ._msd import IGNORE_LABEL
from ._opening import compare_configuration, compare_sources, read_consistently
from ._order import batches_of
from ._stamps import Stamp, check_stamp, was_rebuilt
from .errors import BadInput

if TYPE_CHECKING:
    import torch

Batches = Generator[tuple["torch.Tensor", "torch.Tensor"], None, None]


def open_cache(
    cache_dir: str | Path,
    *,
    task_dir: str | Path | None = None,
    depth: int | None = None,
    short: Short | None = None,
    axes: Axes | None = None,
) -> Cache:
    """Open a finished cache for reading; no voxel is read yet and nothing is written.

    Args:
        cache_dir: what :func:`build_cache` made.
        task_dir: where given, the sources are compared (size, mtime, gzip trailer) and a change
            is an error that says what changed: of a file, of the classes, a case that is gone,
            or a new one where the cache was built of all cases (one of chosen ``cases`` does not
            miss the others). Contents are compared by ``check_cache(..., sources=task_dir)``.
        depth: where given, what the cache must have been built with; ``short`` and ``axes``
            likewise.
        short: see ``depth``.
        axes: see ``depth``.

    Raises:
        BadInput: E_CACHE (no cache, damaged, or a file of the wrong size) or E_CHANGED.

    Example:
        >>> cache = open_cache("cache")  # doctest: +SKIP
        >>> cache.raw(cache.cases[0]).shape  # doctest: +SKIP
        (70, 512, 512)
    """
    path = Path(cache_dir)
    manifest, stamps = read_consistently(path)
    compare_configuration(path, manifest, depth=depth, short=short, axes=axes)
    if task_dir is not None:
        compare_sources(path, manifest, Path(task_dir))
    return Cache(path, manifest, stamps)


class Cache:
    """A cache of volumes of one depth; made by :func:`open_cache`.

    It never mixes the contents of two builds: what a later build replaced is refused (E_CACHE) when
    it is first asked for. Pickled as its path and fingerprint.

    Attributes:
        path: the cache folder.
        cases: names in the order of ``dataset.json``.
        depth: slices of every volume.
        label_names: name of each class.
        num_classes: how many classes, background included.
        ignore_label: 255, the label of voxels that neither training nor evaluation may use.
        fingerprint: hash of configuration, sources and outcome: equal caches, equal fingerprints.
        dropped: cases with too few slices, with their depth.
        failed: quarantined cases, with the reason.
        task_name: as in ``dataset.json``.
    """

    def __init__(self, path: Path, manifest: Manifest, stamps: Mapping[Path, Stamp]) -> None:
        self.path = path
        self.cases: tuple[str, ...] = tuple(manifest.volumes)
        self.depth: int = manifest.configuration.depth
        self.label_names: tuple[str, ...] = manifest.label_names
        self.num_classes: int = len(manifest.label_names)
        self.ignore_label: int = IGNORE_LABEL
        self.fingerprint: str = manifest.fingerprint
        self.dropped: Mapping[str, int] = manifest.dropped
        self.failed: Mapping[str, str] = manifest.failed
        self.task_name: str = manifest.task_name
        self.configuration = manifest.configuration
        self._volumes = manifest.volumes
        self._paths = {
            case: CasePaths.of(path, case, volume.key) for case, volume in manifest.volumes.items()
        }
        self._infos: dict[str, CaseInfo] = {}
        self._stamps = stamps
        self._maps = VolumeMaps(stamps)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (str(self.path), self.fingerprint)

    def __len__(self) -> int:
        return len(self.cases)

    def __contains__(self, case: object) -> bool:
        return case in self._volumes

    def __getitem__(self, case: str) -> CaseInfo:
        """Return geometry, statistics and label counts of ``case``: no voxel is read."""
        if case not in self._infos:
            volume, record = self._volume(case), self._paths[case].record
            try:
                check_stamp(record, record.stat(), self._stamps[record])
            except FileNotFoundError as error:
                raise was_rebuilt(record) from error
            self._infos[case] = read_case(self.path, volume, num_classes=self.num_classes)
        return self._infos[case]

    def raw(self, case: str) -> npt.NDArray[Any]:
        """Return the cached grey values (D, H, W), int16 or float32: a view of the map, O(1)."""
        volume = self._volume(case)
        return self._maps.view(self._paths[case].image, volume.shape, volume.dtype)

    def labels(self, case: str) -> npt.NDArray[np.uint8]:
        """Return the labels (D, H, W), uint8: a view of the map; 255 is ignored."""
        volume = self._volume(case)
        return self._maps.view(self._paths[case].label, volume.shape, LABEL_DTYPE)

    def volume(
        self, case: str, *, intensity: Intensity = DEFAULT_INTENSITY
    ) -> npt.NDArray[np.float32]:
        """Return a fresh float32 copy (D, H, W), rescaled by ``intensity``."""
        raw, rescale = self.raw(case), self.rescale(case, intensity)
        result = np.empty(raw.shape, np.float32)
        for source, target in zip(raw, result, strict=True):
            rescale.apply(source, target)
        return result

    def slice(
        self, case: str, z: int, *, intensity: Intensity = DEFAULT_INTENSITY
    ) -> npt.NDArray[np.float32]:
        """Return a fresh float32 copy (H, W) of slice ``z``, rescaled by ``intensity``."""
        if not 0 <= z < self.depth:
            problem = f"is {z}, expected 0..{self.depth - 1}"
            raise BadInput("E_ARGUMENT", "z", problem, "use a slice of the cached volume")
        raw = self.raw(case)[z]
        result = np.empty(raw.shape, np.float32)
        self.rescale(case, intensity).apply(raw, result)
        return result

    def rescale(self, case: str, intensity: Intensity) -> Rescale:
        """Return the map from cached values of ``case`` to network input."""
        info = self[case]
        rescale = stored_rescale(
            intensity, info.statistics, slope=info.slope, intercept=info.intercept, where=case
        )
        if info.dtype != "<i2":
            return rescale
        ends = ((each - info.intercept) / info.slope for each in (info.minimum, info.maximum))
        return rescale.without_needless_clip(*map(round, ends))

    def slice_order(
        self,
        batch: int = 32,
        *,
        cases: Sequence[str] | None = None,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
        balance: Balance | None = None,
    ) -> list[tuple[tuple[str, int], ...]]:
        """Return the batches of (case, z) that :meth:`slices` yields: a pure function.

        Slices that are all padding are left out. Unshuffled: cases as in ``cases``, z rising.
        With ``world`` > 1 rank r gets batches r, r + world, ...; shuffled, a last round that
        does not serve every rank is left out of that epoch. No voxel is read; ``balance`` reads
        the records.
        """
        selected = self._selected(cases)
        items = [(case, z) for case in selected for z in range(*self._volumes[case].valid)]
        drawn = None
        if balance is not None:
            if not shuffle:
                problem = "is given and shuffle is False"
                raise BadInput("E_ARGUMENT", "balance", problem, "leave one of the two out")
            shows = [shown(self[case], self._volumes[case].valid) for case in selected]
            drawn = draw(balance, np.concatenate(shows), seed=seed, epoch=epoch)
        return batches_of(
            items, batch=batch, seed=seed, epoch=epoch, rank=rank, world=world, shuffle=shuffle,
            drawn=drawn,
        )  # fmt: skip

    def volume_order(
        self,
        batch: int = 2,
        *,
        cases: Sequence[str] | None = None,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
    ) -> list[tuple[str, ...]]:
        """Return the batches of cases that :meth:`volumes` yields; see :meth:`slice_order`."""
        return batches_of(
            self._selected(cases),
            batch=batch, seed=seed, epoch=epoch, rank=rank, world=world, shuffle=shuffle,
        )  # fmt: skip

    def slices(
        self,
        batch: int = 32,
        *,
        cases: Sequence[str] | None = None,
        channels: int = 1,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
        shuffle: bool = True,
        balance: Balance | None = None,
        intensity: Intensity = DEFAULT_INTENSITY,
        device: str | torch.device = "cpu",
        ring: int = 3,
    ) -> Batches:
        """Return an iterator of (images float32 (N, C, H, W), labels uint8 (N, H, W)).

        The order is :meth:`slice_order`'s. Slices of different size in one batch are centred in
        the largest; around them stand the volume's rescaled minimum and label 255. Channels are
        equal and share memory (stride 0). A thread prefetches.

        Args:
            batch: slices in a batch; the last may be smaller.
            cases: names to use; all by default.
            channels: equal copies of the grey channel.
            seed: with ``epoch`` it decides the order.
            epoch: see ``seed``.
            rank: which share of ``world`` shares; batches are dealt like cards.
            world: number of ranks.
            start: batches to skip, for resuming.
            shuffle: False: cases as given, z rising.
            balance: how many of the slices show foreground; by default every slice comes once.
            intensity: policy.
            device: where the tensors live; on CUDA, cached values are shipped from pinned
                memory and rescaled there.
            ring: buffers in the ring; a batch is valid until ``ring - 1`` more are drawn.
                0 allocates every batch.

        Raises:
            BadInput: E_ARGUMENT.
        """
        order = self.slice_order(
            batch, cases=cases, seed=seed, epoch=epoch, rank=rank, world=world, shuffle=shuffle,
            balance=balance,
        )  # fmt: skip
        blocks = [tuple((case, z, z + 1) for case, z in items) for items in order]
        from ._feed import feed  # torch is imported by feeders only

        return feed(
            self, blocks, start=start, channels=channels, intensity=intensity, device=device,
            ring=ring, flat=True,
        )  # fmt: skip

    def volumes(
        self,
        batch: int = 2,
        *,
        cases: Sequence[str] | None = None,
        channels: int = 1,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
        shuffle: bool = True,
        intensity: Intensity = DEFAULT_INTENSITY,
        device: str | torch.device = "cpu",
        ring: int = 3,
    ) -> Batches:
        """Return an iterator of (images float32 (N, C, D, H, W), labels uint8 (N, D, H, W)).

        The order is :meth:`volume_order`'s; all else is as in :meth:`slices`.
        """
        order = self.volume_order(
            batch, cases=cases, seed=seed, epoch=epoch, rank=rank, world=world, shuffle=shuffle
        )
        blocks = [tuple((case, 0, self.depth) for case in items) for items in order]
        from ._feed import feed  # torch is imported by feeders only

        return feed(
            self, blocks, start=start, channels=channels, intensity=intensity, device=device,
            ring=ring,
        )  # fmt: skip

    def plane_shape(self, case: str) -> tuple[int, int]:
        """Return (H, W) of ``case`` without reading its record."""
        return self._volume(case).shape[1:]

    def stored_dtype(self, case: str) -> str:
        """Return ``<i2`` or ``<f4`` without reading the record of ``case``."""
        return self._volume(case).dtype

    def _selected(self, cases: Sequence[str] | None) -> tuple[str, ...]:
        selected = self.cases if cases is None else tuple(cases)
        for case in selected:
            self._volume(case)
        if not selected:
            raise BadInput("E_ARGUMENT", "cases", "is empty", "name at least one case")
        if len(set(selected)) < len(selected):
            raise BadInput("E_ARGUMENT", "cases", "names a case twice", "name each case once")
        return selected

    def _volume(self, case: str) -> CachedVolume:
        if case not in self._volumes:
            status = "dropped" if case in self.dropped else "unknown"
            problem = f"{case!r} is {'quarantined' if case in self.failed else status}"
            raise BadInput("E_ARGUMENT", self.path, problem, "use names of cache.cases")
        return self._volumes[case]


def _open_again(path: str, fingerprint: str) -> Cache:
    cache = open_cache(path)
    if cache.fingerprint != fingerprint:
        raise was_rebuilt(cache.path)
    return cache
