"""Finished samples: a folder of images, or one .npz or .npy file.

A folder holds one image a file (PNG, .npy, NIfTI, DICOM), read in the order of the file names,
folders below it included. The mask of ``x.png`` is ``x_mask`` or ``x_seg`` with any of these
endings, or the file of the same name in a folder ``masks`` beside a folder ``images``. Where the
first file is a NIfTI volume, or several DICOM files are slices of one series, the folder is read as
the datasets ``folder:DIR`` and ``dicom:DIR`` are: axial slices, rescaled, those of masks with them.
An .npz holds ``images`` ``(n, channels, *spatial)`` and, where there are masks, integer ``masks``
``(n, *spatial)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import limits
from nriqm_bench.datasets.dicom import read_series
from nriqm_bench.datasets.folder import read_folder
from nriqm_bench.generators import sample_files
from nriqm_bench.generators.errors import GeneratorError, brief, listed
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.source import Options, Source
from nriqm_bench.images import ImageSet

_MASK_MARKS = ("_mask", "_seg", "-mask", "-seg")
# Side of the slices that are taken from volumes.
VOLUME_SIZE = 128
_NPY = b"\x93NUMPY"


def load(source: Source, options: Options) -> Generator | None:
    """Open a collection of samples; None when it is something else."""
    if source.is_dir:
        return _folder(source)
    if source.head.startswith(_NPY) or any(n.endswith(".npy") for n in source.members):
        return _array_file(source)
    return None


def _array_file(source: Source) -> Generator:
    images, masks = _read_arrays(source)
    if images.ndim not in (4, 5):
        hint = "; add the channel axis with images[:, None]" if images.ndim == 3 else ""
        raise GeneratorError(
            f"{source.text} holds images of shape {images.shape}, must be (n, channels, height, "
            f"width) or (n, channels, depth, height, width){hint}"
        )
    if masks is not None and len(masks) != len(images):
        raise GeneratorError(
            f"{source.text} holds {len(images)} images but {len(masks)} masks, must be one each"
        )

    def pick(chosen: NDArray[np.intp]) -> Any:
        return images[chosen] if masks is None else (images[chosen], masks[chosen])

    return _collection(source, len(images), pick, source.sha256(), images.shape[2:])


def _read_arrays(source: Source) -> tuple[NDArray[Any], NDArray[Any] | None]:
    try:
        if not source.members:
            return limits.load_npy(source.path), None
        limits.check_npz(source.path)
        with np.load(source.path, allow_pickle=False) as found:
            if "images" not in found:
                raise GeneratorError(
                    f"{source.text} holds the arrays {listed(sorted(found))}, must hold 'images' "
                    "(and 'masks')"
                )
            return found["images"], found.get("masks")
    except GeneratorError:
        raise
    except Exception as error:
        if "allow_pickle" in str(error):
            raise GeneratorError(
                f"{source.text} holds Python objects, which only exist by running code from the "
                "file, and is refused; save plain numbers: images (n, channels, height, width)"
            ) from error
        raise GeneratorError(
            f"{source.text} is a damaged or truncated NumPy file ({brief(error)}); save it again"
        ) from error


def _folder(source: Source) -> Generator | None:
    files = [p for p in sorted(source.path.rglob("*")) if p.is_file() and not _hidden(source, p)]
    endings = {p: found for p in files if (found := sample_files.ending(p))}
    masks = {p for p in endings if _is_mask(p, source.path)}
    images = [p for p in endings if p not in masks]
    if not images:
        return None
    if endings[images[0]] in sample_files.NIFTI and sample_files.is_volume(images[0]):
        return _volumes(source, lambda: read_folder(source.path, size=VOLUME_SIZE), "NIfTI volumes")
    slices = [p for p in images if endings[p] == sample_files.DICOM]
    if slices and sample_files.is_series(slices):
        if masks:
            raise GeneratorError(
                f"{source.text} holds DICOM series and masks, which are not paired; save both as "
                "NIfTI volumes"
            )
        return _volumes(source, lambda: read_series(source.path, size=VOLUME_SIZE), "DICOM series")
    paired = _pairs(source, images, masks)
    digest = hashlib.sha256()
    for image, mask in zip(images, paired, strict=True):
        for path in (image, mask):
            digest.update(hashlib.sha256(path.read_bytes()).digest() if path else b"none")

    def pick(chosen: NDArray[np.intp]) -> Any:
        read = [sample_files.read(images[i]) for i in chosen]
        shapes = {a.shape for a in read}
        if len(shapes) > 1:
            raise GeneratorError(
                f"{source.text} holds images of different shapes {sorted(shapes)}, must be "
                "one shape"
            )
        if not masks:
            return np.stack(read)
        labels = [sample_files.read_labels(p) for i in chosen if (p := paired[i])]
        if odd := {a.shape for a in labels} - {shape[1:] for shape in shapes}:
            raise GeneratorError(
                f"{source.text} holds images of size {read[0].shape[1:]} and masks of {odd.pop()}, "
                "must be the same"
            )
        return np.stack(read), np.stack(labels)

    first = sample_files.read(images[0])
    made = _collection(source, len(images), pick, digest.hexdigest(), first.shape[1:])
    if slices:
        if len(slices) < len(images):
            raise GeneratorError(
                f"{source.text} holds DICOM and other images, must be of one kind; keep one of them"
            )
        made.value_range = (0.0, 1.0)
        made.note(
            "dicom",
            f"{source.stem}: DICOM images were brought to [0, 1] by the window that they declare, "
            "else by the bits that they store",
        )
    return made


def _pairs(source: Source, images: list[Path], masks: set[Path]) -> list[Path | None]:
    """The mask of each image: of all, or of none."""
    known = {(p.parent, sample_files.stem(p)): p for p in masks}
    paired = [_mask_of(p, known) for p in images]
    unpaired = [p.name for p, mask in zip(images, paired, strict=True) if mask is None]
    if masks and unpaired:
        raise GeneratorError(
            f"{source.text} has masks for some images only: none for {listed(unpaired)}; give "
            "every image x.png its x_mask.png, or remove the masks"
        )
    if lost := sorted(p.name for p in masks.difference(p for p in paired if p)):
        raise GeneratorError(
            f"{source.text} holds masks that fit no image ({listed(lost)}); rename or remove them"
        )
    return paired


def _volumes(source: Source, read: Callable[[], ImageSet], what: str) -> Generator:
    """Slices of volumes, by the same rule and scaling as real volumes."""
    try:
        found = read()
    except ValueError as error:
        raise GeneratorError(str(error)) from error
    made = _collection(
        source, len(found), lambda chosen: found[chosen], found.fingerprint(), found.spatial
    )
    made.note(
        "volumes",
        f"{source.stem}: {what} were cut into axial slices, scaled by their 1-99 percentile "
        f"and resized to {VOLUME_SIZE} x {VOLUME_SIZE}, as real volumes are",
    )
    return made


def _collection(
    source: Source,
    available: int,
    pick: Callable[[NDArray[np.intp]], Any],
    content: str,
    size: tuple[int, ...],
) -> Generator:
    """A generator that hands out a seeded random subset, without replacement."""

    def draw(n: int, seed: int) -> Any:
        if n > available:
            raise GeneratorError(
                f"{source.text} holds {available} samples, but {n} were asked for; pass --nriqm-n "
                f"{available} or fewer, or add samples"
            )
        return pick(np.random.default_rng(seed).permutation(available)[:n])

    return Generator(
        source.stem,
        "samples",
        draw,
        content=content,
        chunk=None,
        size=tuple(int(s) for s in size),
        available=available,
    )


def _hidden(source: Source, path: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(source.path).parts)


def _is_mask(path: Path, root: Path) -> bool:
    named = sample_files.stem(path).endswith(_MASK_MARKS)
    return named or "masks" in path.relative_to(root).parts[:-1]


def _mask_of(image: Path, masks: dict[tuple[Path, str], Path]) -> Path | None:
    name = sample_files.stem(image)
    parallel = Path(*("masks" if part == "images" else part for part in image.parent.parts))
    places = [(image.parent, f"{name}{mark}") for mark in _MASK_MARKS]
    for folder in (parallel, image.parent / "masks"):
        places += [(folder, f"{name}{mark}") for mark in ("", *_MASK_MARKS)]
    return next((masks[place] for place in places if place in masks), None)
