"""torch.export programs whose parts would be unpickled, evaluated, executed or loaded as code."""

from __future__ import annotations

import functools
import io
import json
import warnings
import zipfile
from pathlib import Path

import torch
from torch.export.pt2_archive._package import PT2ArchiveWriter

from tests.generators.hostile.archives import saved
from tests.generators.hostile.pickles import Bomb, archive, entry, number
from tests.generators.hostile.registry import hostile

MODEL = "models/model.json"
EXAMPLE = "data/sample_inputs/model.pt"
WEIGHTS = "data/weights/model_weights_config.json"


class Small(torch.nn.Module):
    """A latent of 5 numbers to 16 x 16 pixels."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(5, 256)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.first(z)).unflatten(1, (1, 16, 16))


@functools.cache
def program() -> bytes:
    """A good file."""
    torch.manual_seed(0)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = ({0: torch.export.Dim("n", min=2)},)
        made = torch.export.export(Small().eval(), (torch.randn(4, 5),), dynamic_shapes=shapes)
        torch.export.save(made, buffer)
    return buffer.getvalue()


def changed(folder: Path, change) -> Path:
    """The good file with its parts changed, as torch writes it."""
    with zipfile.ZipFile(io.BytesIO(program())) as file:
        parts = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    change(parts)
    buffer = io.BytesIO()
    with PT2ArchiveWriter(buffer) as writer:
        for name, content in parts.items():
            if not name.startswith((".data", "byteorder", "archive_")):
                writer.write_bytes(name, content)
    (folder / "a.pt2").write_bytes(buffer.getvalue())
    return folder / "a.pt2"


def _edited(parts: dict[str, bytes], name: str, change) -> None:
    content = json.loads(parts[name])
    change(content)
    parts[name] = json.dumps(content).encode()


def _archive(folder: Path, members: dict[str, bytes]) -> bytes:
    path = archive(folder / "inner", members)
    content = path.read_bytes()
    path.unlink()
    return content


@hostile("posix.mkdir")
def program_with_a_bomb(folder, canary):
    """A bomb among the example inputs."""
    bomb = _archive(folder, saved(Bomb(canary)))
    return changed(folder, lambda parts: parts.update({EXAMPLE: bomb}))


@hostile("builtins.bytearray")
def program_with_a_memory_bomb(folder, canary):
    """64 GiB of zeros among the example inputs, by a function that torch allows."""
    code = entry("x", b"cbuiltins\nbytearray\n(" + number(2**36) + b"tR")
    bomb = _archive(folder, {"data.pkl": b"\x80\x02" + code + b"."})
    return changed(folder, lambda parts: parts.update({EXAMPLE: bomb}))


@hostile("the pickled object")
def program_with_pickled_weights(folder, canary):
    """Weights that are a bomb."""
    bomb = _archive(folder, saved(Bomb(canary)))

    def change(parts):
        parts["data/weights/weight_99"] = bomb
        value = {"use_pickle": True, "path_name": "weight_99"}
        _edited(parts, WEIGHTS, lambda c: next(iter(c["config"].values())).update(value))

    return changed(folder, change)


@hostile("where torch writes expr_str")
def program_with_an_expression(folder, canary):
    """A size that is Python code, which torch evaluates."""
    code = f"__import__('os').mkdir({str(canary)!r}) or 4"

    def edit(model):
        for value in model["graph_module"]["graph"]["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = code

    return changed(folder, lambda parts: _edited(parts, MODEL, edit))


@hostile("where torch writes")
def program_with_code_as_a_name(folder, canary):
    """The name of an input that becomes Python source: a default value that is computed."""
    name = json.dumps(f"z=__import__('os').mkdir({str(canary)!r})").encode()

    def change(parts):
        parts[MODEL] = parts[MODEL].replace(b'"z"', name)

    return changed(folder, change)


@hostile("torch.os.mkdir")
def program_with_a_system_call(folder, canary):
    """An operator that is a function of the system, reached through torch."""

    def edit(model):
        node = model["graph_module"]["graph"]["nodes"][-1]
        node["target"] = "torch.os.mkdir"
        node["inputs"] = [{"name": "", "arg": {"as_string": str(canary)}, "kind": 1}]

    return changed(folder, lambda parts: _edited(parts, MODEL, edit))


@hostile("compiled code")
def program_with_a_library(folder, canary):
    """A compiled library, which torch would load."""
    library = {"data/aotinductor/model/a.so": b"\x7fELF"}
    return changed(folder, lambda parts: parts.update(library))


@hostile("but does not hold it")
def program_of_terabytes(folder, canary):
    """A weight of 4 TB in 5 kB."""
    sizes = [{"as_int": 10**6}, {"as_int": 10**6}]

    def edit(config):
        next(iter(config["config"].values()))["tensor_meta"]["sizes"] = sizes

    return changed(folder, lambda parts: _edited(parts, WEIGHTS, edit))


@hostile("is no JSON")
def program_of_deep_lists(folder, canary):
    """A graph of 100 000 lists within each other."""
    deep = b"[" * 100_000 + b"]" * 100_000
    return changed(folder, lambda parts: parts.update({MODEL: deep}))


@hostile("torch 2.7 or earlier")
def old_program(folder, canary):
    """The format before, whose weights are a pickle."""
    members = {"serialized_exported_program.json": b"{}"}
    members["serialized_state_dict.pt"] = _archive(folder, saved(Bomb(canary)))
    return archive(folder / "a.pt2", members, "")
