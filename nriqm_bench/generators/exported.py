"""Programs of `torch.export.save` (.pt2): graphs of torch's own operators with their weights.

The exported ``forward`` takes a latent ``(n, *latent_shape)``, standard normal, and maybe
``labels`` or ``masks`` (see `graph` and `conditions`); it returns images ``(n, channels,
*spatial)``, or a tuple of images and integer masks ``(n, *spatial)``. Where the batch is dynamic it
is drawn in chunks of 16, else in the batch size of the example inputs. What the program cannot
say stands in an extra file ``nriqm.json``, all of it optional::

    torch.export.save(program, "gan.pt2", extra_files={
        "nriqm.json": '{"value_range": [-1, 1], "size": [64, 64], "num_classes": 4}'})

See `exported_check` for what loading such a file may run, and what is therefore refused.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nriqm_bench.generators import exported_check
from nriqm_bench.generators.conditions import parse, takes_masks
from nriqm_bench.generators.errors import GeneratorError, brief
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.graph import Input, feed
from nriqm_bench.generators.module import declarations, seeded
from nriqm_bench.generators.source import Options, Source

DECLARED = "nriqm.json"
_OLD = "serialized_exported_program.json"


def load(source: Source, options: Options) -> Generator | None:
    """Load a torch.export program; None when it is something else."""
    if _OLD in source.members:
        raise GeneratorError(
            f"{source.text} was written by torch.export of torch 2.7 or earlier, which can only be "
            "read by running code, and is refused; export it with this version of torch"
        )
    if not any(name.endswith("/archive_format") for name in source.members):
        return None
    program, extra = _read(source, options)
    declared = parse(source.text, extra.get(DECLARED))
    names = _user_inputs(source, program)
    plan = feed(source.text, [_input(source, program, name) for name in names], declared)
    args, words = program.example_inputs
    module = _module(source, program, options.device)

    import torch

    def draw(n: int, seed: int, masks: Any = None) -> Any:
        tensors = [torch.from_numpy(a).to(options.device) for a in plan.make(n, seed, masks)]
        named = dict(zip(list(words), tensors[len(args) :], strict=True))
        with seeded(seed, options.device), torch.inference_mode():
            return module(*tensors[: len(args)], **named)

    size, bounds = declarations(
        source.text, declared.get("size") or plan.size, declared.get("value_range")
    )
    return Generator(
        source.stem,
        "exported",
        takes_masks(draw) if plan.needs_masks else draw,
        content=source.sha256(),
        chunk=plan.chunk,
        size=size,
        value_range=bounds,
        summary=plan.summary,
    )


def _read(source: Source, options: Options) -> tuple[Any, dict[str, Any]]:
    import torch
    from torch.export.pt2_archive._package import load_pt2

    try:
        reader = torch._C.PyTorchFileReader(str(source.path))
        exported_check.check(source.text, reader, source.path.stat().st_size, trust=options.trust)
        # torch.export.load would go on to an older format, which unpickles, when this one fails.
        with source.path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load_pt2(file)
        return found.exported_programs["model"], dict(found.extra_files)
    except GeneratorError:
        raise
    except Exception as error:
        raise GeneratorError(
            f"{source.text} cannot be read as a torch.export program ({brief(error)}); it is "
            "damaged, or written by another version of torch: export it with this one"
        ) from error


def _user_inputs(source: Source, program: Any) -> list[str]:
    if program.example_inputs is None:
        raise GeneratorError(f"{source.text} has no example inputs; export it again")
    args, words = program.example_inputs
    names = list(program.graph_signature.user_inputs)
    if len(names) != len(args) + len(words) or not all(isinstance(name, str) for name in names):
        raise GeneratorError(
            f"{source.text} takes nested inputs or plain numbers; export it with tensors only: "
            "a latent z, and labels or masks where it is conditional"
        )
    return names


def _input(source: Source, program: Any, name: str) -> Input:
    import torch

    value = next(n for n in program.graph.nodes if n.name == name).meta["val"]
    if not isinstance(value, torch.Tensor):
        raise GeneratorError(f"{source.text} takes {name}, which is no tensor; export it with one")
    shape = tuple(s if isinstance(s, int) else None for s in value.shape)
    dtype = np.dtype(str(value.dtype).removeprefix("torch."))
    return Input(name, dtype, shape)


def _module(source: Source, program: Any, device: str) -> Any:
    from torch.export.passes import move_to_device_pass

    try:
        moved = program if device == "cpu" else move_to_device_pass(program, device)
        return moved.module(check_guards=False)
    except Exception as error:
        raise GeneratorError(
            f"{source.text} cannot be prepared for {device} ({brief(error)}); export it again"
        ) from error
