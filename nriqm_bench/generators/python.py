"""A user's own function, ``pkg.mod:callable``, named on the command line.

It is called once as ``callable(n, seed)`` and returns images ``(n, channels, *spatial)`` (array or
tensor), a tuple of images and integer masks, or an `ImageSet`. Attributes ``value_range`` and
``size`` of the callable are read where it has them. It may take ``labels`` or ``masks`` by these
names, int64 arrays ``(n,)`` and ``(n, *spatial)``; the attributes ``num_classes``,
``class_weights`` and ``condition`` are those of `nriqm_bench.generators.module`.
"""

from __future__ import annotations

from typing import Any

from nriqm_bench.generators.conditions import LABELS, MASKS, draw_labels, takes_masks
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.module import declarations, source_hash, wanted
from nriqm_bench.generators.resolve import import_object, working_folder
from nriqm_bench.generators.source import Options, Source


def load(source: Source, options: Options) -> Generator | None:
    """Import ``pkg.mod:callable``; None when the source is a file or a folder."""
    if not source.is_python:
        return None
    module, _, attribute = source.text.partition(":")
    function = import_object(source.text, module, attribute)
    if not callable(function) or isinstance(function, type):
        raise GeneratorError(
            f"{source.text} is {type(function).__name__}, must be a function (n, seed) -> images"
        )

    weights, from_masks = wanted(source.text, function, lambda name: getattr(function, name, None))

    def draw(n: int, seed: int, masks: Any = None) -> Any:
        given: dict[str, Any] = {}
        if weights is not None:
            given[LABELS] = draw_labels(n, seed, weights)
        if from_masks:
            given[MASKS] = masks
        with working_folder():
            return function(n, seed, **given)

    size, bounds = declarations(
        source.text, getattr(function, "size", None), getattr(function, "value_range", None)
    )
    generator = Generator(
        attribute.split(".")[-1],
        "python",
        takes_masks(draw) if from_masks else draw,
        content=source_hash(function),
        chunk=None,
        size=size,
        value_range=bounds,
        summary=source.text,
    )
    generator.note(
        "cache",
        f"{generator.name}: the cache knows only the source file of {source.text}; if it reads "
        "other files or modules that change, pass --nriqm-cache off",
    )
    return generator
