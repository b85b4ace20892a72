"""Finished samples: a folder of images, or one .npz or .npy file.

A folder holds one image a file (NIfTI, PNG, .npy), read in the order of the file names, folders
below it included. The mask of ``x.png`` is ``x_mask.png`` or ``x_seg.png``, or the file of the same
name in a folder ``masks`` beside a folder ``images``. Where the first file is a NIfTI volume, the
folder is read as the dataset ``folder:DIR`` is: axial slices, rescaled. An .npz holds ``images``
``(n, channels, *spatial)`` and, where there are masks, integer ``masks`` ``(n, *spatial)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import limits
from nriqm_bench.datasets.folder import read_folder
from nriqm_bench.generators.errors import GeneratorError, brief, listed
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.source import Options, Source

_ENDINGS = (".nii.gz", ".nii", ".png", ".npy")
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
    files = [p for p in sorted(source.path.rglob("*")) if _ending(p) and p.is_file()]
    files = [p for p in files if not p.name.startswith(".")]
    masks = {p for p in files if _is_mask(p, source.path)}
    images = [p for p in files if p not in masks]
    if not images:
        return None
    if _ending(images[0]).startswith(".nii") and _is_volume(images[0]):
        return _volumes(source)
    paired = [_mask_of(p, masks) for p in images]
    unpaired = [p.name for p, mask in zip(images, paired, strict=True) if mask is None]
    if masks and unpaired:
        raise GeneratorError(
            f"{source.text} has masks for some images only: none for {listed(unpaired)}; give "
            "every image x.png its x_mask.png, or remove the masks"
        )
    digest = hashlib.sha256()
    for image, mask in zip(images, paired, strict=True):
        for path in (image, mask):
            digest.update(hashlib.sha256(path.read_bytes()).digest() if path else b"none")

    def pick(chosen: NDArray[np.intp]) -> Any:
        read = [_read(images[i]) for i in chosen]
        shapes = {a.shape for a in read}
        if len(shapes) > 1:
            raise GeneratorError(
                f"{source.text} holds images of different shapes {sorted(shapes)}, must be "
                "one shape"
            )
        if not masks:
            return np.stack(read)
        labels = [_read(p)[0] for i in chosen if (p := paired[i])]
        return np.stack(read), np.stack(labels)

    first = _read(images[0])
    return _collection(source, len(images), pick, digest.hexdigest(), first.shape[1:])


def _volumes(source: Source) -> Generator:
    """Slices of NIfTI volumes, by the same rule and scaling as real volumes."""
    try:
        found = read_folder(source.path, size=VOLUME_SIZE)
    except ValueError as error:
        raise GeneratorError(str(error)) from error
    made = _collection(
        source, len(found), lambda chosen: found[chosen], found.fingerprint(), found.spatial
    )
    made.note(
        "volumes",
        f"{source.stem}: NIfTI volumes were cut into axial slices, scaled by their 1-99 percentile "
        f"and resized to {VOLUME_SIZE} x {VOLUME_SIZE}, as the dataset folder: does",
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


def _is_volume(path: Path) -> bool:
    import nibabel

    try:
        limits.check_nifti(path)
        shape = nibabel.load(path).shape
    except Exception as error:
        raise GeneratorError(
            f"{path} could not be read as an image ({brief(error)}); save it again or remove it"
        ) from error
    return len([s for s in shape if s > 4]) >= 3


def _ending(path: Path) -> str:
    return next((e for e in _ENDINGS if path.name.lower().endswith(e)), "")


def _bare(path: Path) -> str:
    return path.name[: -len(_ending(path))]


def _is_mask(path: Path, root: Path) -> bool:
    return _bare(path).endswith(_MASK_MARKS) or "masks" in path.relative_to(root).parts[:-1]


def _mask_of(image: Path, masks: set[Path]) -> Path | None:
    beside = [image.with_name(f"{_bare(image)}{m}{_ending(image)}") for m in _MASK_MARKS]
    parallel = Path(*("masks" if part == "images" else part for part in image.parts))
    below = image.parent / "masks" / image.name
    return next((p for p in (*beside, parallel, below) if p in masks), None)


def _read(path: Path) -> NDArray[Any]:
    """One image as (channels, *spatial), or one mask as (1, *spatial)."""
    try:
        if _ending(path) == ".npy":
            array = limits.load_npy(path)
        elif _ending(path) == ".png":
            array = _png(path)
        else:
            import nibabel

            limits.check_nifti(path)
            array = np.asanyarray(nibabel.load(path).dataobj).squeeze().T
    except Exception as error:
        if "allow_pickle" in str(error):
            raise GeneratorError(
                f"{path} holds Python objects, which only exist by running code from the file, and "
                "is refused; save plain numbers"
            ) from error
        raise GeneratorError(
            f"{path} could not be read as an image ({brief(error)}); save it again or remove it"
        ) from error
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[0] > 4)
    image: NDArray[Any] = array[None] if grey else array
    return image


def _png(path: Path) -> NDArray[Any]:
    with limits.open_png(path) as picture:
        array = np.asarray(picture)
    if array.ndim == 3:
        return np.moveaxis(array[..., :3], -1, 0)
    return array
