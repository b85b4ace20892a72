"""`load_generator`: ask every kind, in order, whether the checkpoint is its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nriqm_bench import generators
from nriqm_bench.generators.errors import GeneratorError, listed
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.source import Options, Source


def load_generator(
    path: str | Path,
    *,
    trust: bool = False,
    architecture: str | Callable[..., Any] | None = None,
    device: str = "cpu",
) -> Generator:
    """Load a generator of any registered kind, recognised by its content.

    Parameters
    ----------
    path
        A TorchScript file, a torch.export program (.pt2), an ONNX file, a checkpoint written by
        `save_generator`, a state dict or training checkpoint (.pt, .pth, .ckpt, .safetensors), a
        folder, .npz or .npy of samples, or ``pkg.mod:callable``; see docs/generators.md.
    trust
        Whether the checkpoint may run Python of its own. Without it nothing in it is executed.
    architecture
        ``pkg.mod:callable`` (or the callable itself) that builds the network for a state dict.
        Naming it is consent to run it.
    device
        ``cpu``, ``cuda`` or ``cuda:0``.

    Returns
    -------
    Generator
        With ``sample(n, seed) -> ImageSet``.

    Raises
    ------
    GeneratorError
        One sentence: what was wrong, and what to pass instead.

    Examples
    --------
    >>> load_generator("nowhere.pt")
    Traceback (most recent call last):
        ...
    nriqm_bench.generators.errors.GeneratorError: no generator at 'nowhere.pt': there is no such \
file or folder, and it does not read as pkg.mod:callable; check the path
    """
    source = Source(path)
    options = Options(trust, architecture, _device(device))
    known = generators.names()
    for name in [n for n in known if n not in generators.BUILTIN] + list(generators.BUILTIN):
        generator = generators.get(name)(source, options)
        if generator is not None:
            if architecture is not None and not generator.uses_architecture:
                generator.note("architecture", "--nriqm-architecture was not needed and not used")
            return generator
    if source.is_dir:
        what = "holds no images (.nii, .nii.gz, .png, .npy) and no layout that a loader knows"
    elif source.members:
        first = source.members[0]
        what = f"is a zip archive, but neither a torch file nor an .npz (it holds {first!r})"
    else:
        what = "is in no format that a loader knows"
    added = [name for name in known if name not in generators.BUILTIN]
    raise GeneratorError(
        f"{source.text} {what}; give a TorchScript file, a torch.export program (.pt2), an ONNX "
        "file, a checkpoint of nriqm_bench.save_generator, a state dict (.pt, .ckpt, "
        ".safetensors), a folder, .npz or .npy of samples, or pkg.mod:callable"
        + (f", or a file of the kinds {listed(added)}" if added else "")
    )


def _device(device: str) -> str:
    """`device` once it is known to exist here."""
    if device == "cpu":
        return device
    import torch

    try:
        wanted = torch.device(device)
    except RuntimeError:
        wanted = torch.device("meta")
    if wanted.type == "cpu":
        return device
    if wanted.type != "cuda":
        raise GeneratorError(f"device was {device!r}, must be cpu, cuda or cuda:0")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (wanted.index or 0) >= there:
        raise GeneratorError(
            f"device was {device!r}, but torch sees {there} CUDA devices here; pass cpu"
        )
    return device
