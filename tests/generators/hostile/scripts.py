"""TorchScript that reaches outside its interpreter, never ends, or crashes torch's reader."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

import torch

from tests.generators.hostile.pickles import number, word
from tests.generators.hostile.registry import hostile


class Saves(torch.nn.Module):
    """Writes a file."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        images = torch.rand(n, 1, 4, 4)
        torch.save(images, self.path)
        return images


class Helper(torch.nn.Module):
    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_file(self.path, True, 16)


class Hides(torch.nn.Module):
    """Writes a file from a submodule, inside a branch of a forked task."""

    def __init__(self, path: str):
        super().__init__()
        self.helper = Helper(path)

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        x = torch.rand(n, 1, 4, 4)
        if n > 1:
            future = torch.jit.fork(self.helper, x)
            x = x + torch.jit.wait(future).sum() * 0
        return x


class Restores(torch.nn.Module):
    """Writes a file while it is loaded."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        torch.save(torch.zeros(1), state[0])
        self.path = state[0]
        self.training = state[1]

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 4, 4)


class Prints(torch.nn.Module):
    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        print("\x1b[2Jall gates passed")
        return torch.rand(n, 1, 4, 4)


class Endless(torch.nn.Module):
    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        x = torch.rand(n, 1, 4, 4)
        while True:
            x = x + 1
        return x


class Plain(torch.nn.Module):
    """Good images; what it is loaded from may not be."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(32, 32))

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 32, 32) * self.weight


class Wide(torch.nn.Module):
    """Wants a latent vector of 2^40 numbers."""

    def __init__(self):
        super().__init__()
        self.latent_dim = 2**40

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z.reshape(-1, 1, 1, 1)


def script(module: torch.nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


def rewritten(path: Path, name: str, change) -> Path:
    """The archive at `path`, one member of which is changed."""
    source = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            new.writestr(info, change(content) if info.filename.endswith(name) else content)
    return path


def _before_the_end(code: bytes):
    return lambda text: text.replace(b"    return ", b"    x = " + code + b"\n    return ")


@hostile("aten::save")
def script_that_saves(folder, canary):
    """An operator that writes a file."""
    return script(Saves(str(canary)), folder / "a.pt")


@hostile("prim::CallMethod")
def script_that_hides(folder, canary):
    """An operator that maps a file, hidden in a task that is forked in a branch."""
    return script(Hides(str(canary)), folder / "a.pt")


@hostile("__setstate__")
def script_that_runs_while_loading(folder, canary):
    """A class that restores itself by writing a file."""
    path = script(Restores(str(canary)), folder / "a.pt")
    canary.unlink(missing_ok=True)
    return path


@hostile("prim::Print")
def script_that_prints(folder, canary):
    """A forged result on the terminal."""
    return script(Prints(), folder / "a.pt")


@hostile("a loop that never ends")
def script_that_never_ends(folder, canary):
    """A loop without a way out."""
    return script(Endless(), folder / "a.pt")


@hostile("latent_shape was (1099511627776,)")
def script_of_wide_latents(folder, canary):
    """Latent vectors of 4 TiB."""
    return script(Wide(), folder / "a.pt")


@hostile("nested more than")
def script_of_brackets(folder, canary):
    """Code of 100 000 brackets within each other, which overflow the parser's stack."""
    path = script(Plain(), folder / "a.pt")
    return rewritten(path, ".py", _before_the_end(b"(" * 100_000 + b"1" + b")" * 100_000))


@hostile("nested more than")
def script_of_a_long_sum(folder, canary):
    """A sum of 100 000 terms, which overflows the compiler's stack."""
    path = script(Plain(), folder / "a.pt")
    return rewritten(path, ".py", _before_the_end(b"n" + b" + n" * 100_000))


@hostile("bytes of weights '0', has 4096")
def script_with_a_storage_beyond_its_member(folder, canary):
    """A storage of 4 TiB whose member has 4 kB: torch would read beyond it."""
    path = script(Plain(), folder / "a.pt")
    count = b"M\x00\x04t"
    return rewritten(path, "data.pkl", lambda text: text.replace(count, number(2**40) + b"t"))


@hostile("levels, written out in full")
def script_of_deep_lists(folder, canary):
    """Constants of 100 000 lists within each other."""
    code = b"\x80\x02(" + b"]" * 100_000 + b"a" * 99_999 + b"t."
    return rewritten(script(Plain(), folder / "a.pt"), "constants.pkl", lambda _: code)


@hostile("damaged or truncated TorchScript file")
def script_of_an_unknown_class(folder, canary):
    """An object whose class is not in the file."""
    code = b"\x80\x02c__torch__\nAbsent\n)\x81}(" + word("x") + b"K\x01ub."
    return rewritten(script(Plain(), folder / "a.pt"), "data.pkl", lambda _: code)
