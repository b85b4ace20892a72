"""MONAI bundle folders (or a zip of one): diffusion, latent diffusion, VAE, GAN and SPADE networks.

The parts are read from ``configs/inference.json`` (or .yaml, or the training config), the weights
from the file that the config loads, by default ``models/model.pt`` and, for an autoencoder beside a
diffusion network, ``models/model_autoencoder.pt``. The config is a program: it is read, not run
(see `config`), and the parts are sampled by MONAI's own schedulers and inferers.
``configs/metadata.json`` says the range and size of the images; ``nriqm.json`` beside it overrides
both (see `beside`).
"""

from __future__ import annotations

import contextlib
import stat
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nriqm_bench.generators.beside import read_settings
from nriqm_bench.generators.errors import GeneratorError, brief
from nriqm_bench.generators.folder import Folder
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.monai_bundle.build import make_sampler
from nriqm_bench.generators.monai_bundle.config import Config, read_config
from nriqm_bench.generators.monai_bundle.parts import find_facts, find_parts
from nriqm_bench.generators.source import Options, Source

_CONFIGS = tuple(
    f"configs/{name}{ending}"
    for name in ("inference", "sample", "generate", "train")
    for ending in (".json", ".yaml", ".yml")
)
_METADATA = "configs/metadata.json"
# A zip is unpacked into a temporary folder; weights hardly compress.
_MOST_MEMBERS = 2_000


def load(source: Source, options: Options) -> Generator | None:
    """Load a MONAI bundle; None when it is something else."""
    if source.is_dir:
        if not _is_bundle(source.path):
            return None
        return _load(source.text, source.stem, source.path, options)
    top = _top(source.members)
    if top is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        _unpack(source, Path(folder))
        return _load(source.text, source.stem, Path(folder) / top, options)


def _is_bundle(folder: Path) -> bool:
    return (folder / _METADATA).is_file() or any((folder / n).is_file() for n in _CONFIGS)


def _load(text: str, stem: str, folder: Path, options: Options) -> Generator:
    bundle = Folder(text, folder, trust=options.trust)
    name = next((n for n in _CONFIGS if bundle.has(n)), None)
    if name is None:
        raise GeneratorError(
            f"{text} is a MONAI bundle without a config to sample by, must have "
            "configs/inference.json, .yaml or configs/train.json"
        )
    content = read_config(text, bundle.path(name))
    metadata: Mapping[str, Any] = {}
    if bundle.has(_METADATA):
        metadata = read_config(text, bundle.path(_METADATA))
    settings = read_settings(bundle)
    with _own_code(folder, options.trust):
        real = _evaluator(text, folder, name, options) if options.trust else None
        config = Config(text, content, real)
        parts = find_parts(config, trusted=options.trust)
        facts = find_facts(Config(text, content))
        made = make_sampler(bundle, config, parts, facts, metadata, settings, options.device)
    if options.trust:
        for path in sorted(folder.rglob("*.py")):
            bundle.path(str(path.relative_to(folder)))
    generator = Generator(
        stem,
        "monai-bundle",
        made.sampler,
        content=bundle.sha256(),
        settings=made.settings,
        chunk=made.chunk,
        size=made.size,
        value_range=made.value_range,
        summary=made.summary,
    )
    for sentence in made.notes:
        generator.note(sentence, f"{stem}: {sentence}")
    return generator


def _evaluator(text: str, folder: Path, name: str, options: Options) -> Any:
    """MONAI's own parser, which runs expressions: only for bundles that the user trusts."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(folder / name)
    parser["bundle_root"] = str(folder)
    parser["device"] = f"$torch.device({options.device!r})"

    def evaluate(key: str) -> Any:
        try:
            return parser.get_parsed_content(key)
        except Exception as error:
            raise GeneratorError(
                f"{text}: key {key!r} of its config could not be run ({brief(error)})"
            ) from error

    return evaluate


@contextlib.contextmanager
def _own_code(folder: Path, trust: bool) -> Iterator[None]:
    """The bundle's ``scripts`` are importable inside, when it is trusted, and forgotten after."""
    if not trust:
        yield
        return
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        # Another bundle has scripts of the same names.
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and Path(file).resolve().is_relative_to(folder.resolve()):
                del sys.modules[name]


def _top(members: tuple[str, ...]) -> str | None:
    """The folder in a zip that is a bundle; None when there is none."""
    for member in members:
        if member == _METADATA or member.endswith(f"/{_METADATA}"):
            top = member.removesuffix(_METADATA)
            if any(f"{top}{name}" in members for name in _CONFIGS):
                return top
    return None


def _unpack(source: Source, folder: Path) -> None:
    """Unpack a zip of plain files; names that lead outside, links and bombs are refused."""
    with zipfile.ZipFile(source.path) as archive:
        inside_zip = archive.infolist()
        for info in inside_zip:
            parts = Path(info.filename).parts
            if info.filename.startswith("/") or ".." in parts or "\\" in info.filename:
                raise GeneratorError(
                    f"{source.text} holds {info.filename!r}, a path that leads out of the archive, "
                    "and is refused"
                )
            if stat.S_ISLNK(info.external_attr >> 16):
                raise GeneratorError(
                    f"{source.text} holds {info.filename!r}, a symbolic link, and is refused"
                )
        if len(inside_zip) > _MOST_MEMBERS:
            raise GeneratorError(
                f"{source.text} holds {len(inside_zip)} files, must be a bundle of at most "
                f"{_MOST_MEMBERS}"
            )
        try:
            archive.extractall(folder)
        except (
            zipfile.BadZipFile,
            OSError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise GeneratorError(
                f"{source.text} is a damaged or truncated archive ({brief(error)}); copy or "
                "download it again"
            ) from error
