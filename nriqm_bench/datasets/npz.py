"""The dataset ``npz:FILE``: arrays saved by `numpy.savez`, for images already in memory."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import limits, split
from nriqm_bench.datasets.preprocess import Preprocess
from nriqm_bench.datasets.source import Progress
from nriqm_bench.images import ImageSet

_OPTIONAL = ("masks", "subjects", "sites", "spacing", "part")


def npz(
    path: str | Path,
    n: int | None = None,
    seed: int = 0,
    *,
    part: str = "train",
    size: int | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """`n` images of one part of an .npz file.

    The file holds ``images``, ``(n, height, width)``, ``(n, channels, height, width)`` or
    ``(n, channels, depth, height, width)``, floating point in [0, 1] or uint8 (divided by 255);
    they are not rescaled. It may hold ``masks`` ``(n, *spatial)`` (integers), ``subjects``,
    ``sites`` and ``part`` (one word an image), and ``spacing`` (mm). Without ``part`` the subjects
    are dealt into thirds by a hash; without ``subjects`` every image is a subject of its own.

    Parameters
    ----------
    path
        The file.
    n
        How many images; None is all of the part. Fewer than there are: whole subjects in an order
        that `seed` decides, the last one cut.
    seed
        Of that order, and of the thirds.
    part
        ``train``, ``reference`` or ``held-out``. In the file ``val`` and ``validation`` also mean
        reference, ``test`` and ``heldout`` also mean held-out.
    size
        Height and width; 2-D images of another size are padded to a square and resampled, volumes
        are left as they are.
    progress
        Not used: the file is read at once.

    Raises
    ------
    ValueError
        In one sentence: a damaged file, arrays that do not fit, fewer than three subjects, or
        fewer than `n` images.
    """
    path = Path(path)
    split.check_part(part)
    arrays = _arrays(path)
    found = _image_set(path, arrays)
    return _sized(found[_chosen(path.name, found, arrays.get("part"), n, seed, part)], size)


def read(path: Path) -> ImageSet:
    """Every image of the file, of all parts, as it is; the errors of `npz` about files."""
    return _image_set(path, _arrays(path))


def native_size(path: str | Path) -> int | None:
    """Height and width of the file's images, read from its header; None unless square and 2-D."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("images.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape = read(stream)[0]
    except Exception:
        # npz() says in one sentence what is wrong with the file.
        return None
    return shape[-1] if len(shape) in (3, 4) and shape[-1] == shape[-2] else None


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the file by name."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            limits.check_npz(path)
            if "images" not in found:
                raise ValueError(
                    f"it holds the arrays {', '.join(sorted(found)) or 'none'}, must hold 'images'"
                )
            return {name: found[name] for name in ("images", *_OPTIONAL) if name in found}
    except Exception as error:
        told = str(error) or type(error).__name__
        if isinstance(error, TypeError):
            told = "it is a single array; save it by numpy.savez(file, images=array)"
        if "allow_pickle" in told:
            told = "it holds Python objects and is refused; save plain numbers and text"
        raise ValueError(f"{path.name} could not be read as .npz: {told}") from error


def _image_set(path: Path, arrays: dict[str, NDArray[Any]]) -> ImageSet:
    try:
        images = _unit(arrays["images"])
        return ImageSet(
            images[:, None] if images.ndim == 3 else images,
            masks=arrays.get("masks"),
            subjects=arrays.get("subjects"),
            sites=arrays.get("sites"),
            spacing=tuple(arrays["spacing"].ravel().tolist()) if "spacing" in arrays else None,
        )
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def _unit(images: NDArray[Any]) -> NDArray[Any]:
    """Images as floating point: uint8 divided by 255, floating point as it is."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    if images.dtype.kind != "f":
        raise ValueError(
            f"images had dtype {images.dtype}, must be floating point in [0, 1] or uint8; divide "
            "them by their full scale"
        )
    return images


def _chosen(
    where: str,
    found: ImageSet,
    words: NDArray[Any] | None,
    n: int | None,
    seed: int,
    part: str,
) -> NDArray[np.intp]:
    """The positions of the images of `part`, `n` of them, in the order of the file."""
    subjects = np.arange(len(found)).astype(str) if found.subjects is None else found.subjects
    if words is None:
        order = split.third(subjects.tolist(), part, seed, where)
        here = np.isin(subjects, order)
    else:
        here = _in_part(where, words, subjects, part)
        order = split.shuffled(subjects[here].tolist(), seed)
    if n is not None and here.sum() < n:
        raise split.too_few(where, part, int(here.sum()), n)
    rank = {subject: i for i, subject in enumerate(order)}
    positions = np.flatnonzero(here)
    ranks = np.array([rank[s] for s in subjects[here].tolist()], np.intp)
    return np.sort(positions[np.argsort(ranks, kind="stable")][:n])


def _in_part(
    where: str, words: NDArray[Any], subjects: NDArray[np.str_], part: str
) -> NDArray[np.bool_]:
    if words.shape != subjects.shape:
        raise ValueError(
            f"{where}: part had shape {words.shape}, must be {subjects.shape}: one word an image"
        )
    parts = [split.part_of(str(word)) for word in words.tolist()]
    if None in parts:
        raise ValueError(
            f"{where}: part held {str(words[parts.index(None)])!r}, must be one of "
            f"{', '.join(split.WORDS)}"
        )
    named = [str(p) for p in parts]
    split.check_apart(subjects.tolist(), named, where)
    here: NDArray[np.bool_] = np.array(named) == part
    if not here.any():
        raise ValueError(f"{where} holds no {part} images; its parts are {sorted(set(named))}")
    return here


def _sized(found: ImageSet, size: int | None) -> ImageSet:
    if size is None or len(found.spatial) != 2:
        return found
    fit = Preprocess(size)
    height, width = found.spatial
    spacing = found.spacing
    return found.replace(
        images=fit.images(found.images),
        masks=None if found.masks is None else fit.masks(found.masks),
        spacing=None if spacing is None else fit.spacing((spacing[0], spacing[1]), (height, width)),
    )
