"""Pickles that run code, or fill the memory without running any."""

from __future__ import annotations

import base64
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from nriqm_bench.generators.checkpoint import FORMAT
from tests.generators.hostile.registry import hostile


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, canary: Path, function=os.mkdir, *arguments):
        self.call = function, arguments or (str(canary),)

    def __reduce__(self):
        return self.call


def weights() -> dict[str, torch.Tensor]:
    return {"weight": torch.ones(4, 4)}


def archive(path: Path, members: dict[str, bytes], top: str = "archive/") -> Path:
    """A zip like that of torch.save, with the members given."""
    usual = {"version": b"3\n", "byteorder": b"little"}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {**members, **usual}.items():
            file.writestr(top + name, content)
    return path


def torch_file(path: Path, code: bytes, **records: bytes) -> Path:
    """A torch archive whose pickle has the opcodes `code`."""
    members = {"data.pkl": b"\x80\x02" + code + b"."}
    return archive(path, members | {f"data/{k.lstrip('_')}": v for k, v in records.items()})


def word(text: str) -> bytes:
    """The opcode of a string."""
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def number(value: int) -> bytes:
    """The opcode of an integer."""
    content = value.to_bytes(12, "little")
    return b"\x8a" + bytes([len(content)]) + content


def storage(count: int) -> bytes:
    """The opcodes of a storage of `count` float32, kept under the name 0."""
    named = word("storage") + b"ctorch\nFloatStorage\n" + word("0") + word("cpu")
    return b"(" + named + number(count) + b"tQ"


def tensor(count: int, shape: tuple[int, int], stride: tuple[int, int]) -> bytes:
    """The opcodes of a tensor on such a storage."""
    sizes = b"".join(b"(" + b"".join(map(number, pair)) + b"t" for pair in (shape, stride))
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    made = storage(count) + number(0) + sizes + hooks
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + made + b"tR"


def entry(name: str, value: bytes) -> bytes:
    """The opcodes of a dict with one entry."""
    return b"}(" + word(name) + value + b"u"


@hostile("posix.mkdir")
def state_dict_bomb(folder, canary):
    """A bomb beside good weights."""
    torch.save({"state_dict": weights(), "x": Bomb(canary)}, folder / "a.pt")
    return folder / "a.pt"


@hostile("posix.mkdir")
def legacy_bomb(folder, canary):
    """A bomb in the format of torch before 1.6."""
    torch.save(Bomb(canary), folder / "a.pt", _use_new_zipfile_serialization=False)
    return folder / "a.pt"


@hostile("bare Python pickle")
def bare_pickle(folder, canary):
    """A bomb in a plain pickle."""
    (folder / "a.pkl").write_bytes(pickle.dumps(Bomb(canary)))
    return folder / "a.pkl"


@hostile("no format that a loader knows")
def old_pickle(folder, canary):
    """A bomb in a pickle of protocol 0, which is plain text."""
    (folder / "a.pt").write_bytes(pickle.dumps(Bomb(canary), protocol=0))
    return folder / "a.pt"


@hostile("of pickle protocol 4")
def new_pickle(folder, canary):
    """A bomb in a torch file of pickle protocol 4."""
    torch.save(Bomb(canary), folder / "a.pt", pickle_protocol=4)
    return folder / "a.pt"


@hostile("posix.system")
def shell_in_the_optimizer(folder, canary):
    """A shell command deep inside a training checkpoint."""
    groups = [{"lr": 1e-3, "hook": Bomb(canary, os.system, f"mkdir {canary}")}]
    content = {"epoch": 3, "model": weights(), "optimizer": {"state": {}, "param_groups": groups}}
    torch.save(content, folder / "a.pth")
    return folder / "a.pth"


@hostile("Lightning checkpoint with hyper-parameters or callbacks that are Python objects")
def lightning_bomb(folder, canary):
    """Code among the hyper-parameters of a Lightning checkpoint."""
    code = f"import os; os.mkdir({str(canary)!r})"
    content = {
        "pytorch-lightning_version": "2.5.0",
        "state_dict": weights(),
        "hyper_parameters": Bomb(canary, exec, code),
    }
    torch.save(content, folder / "a.ckpt")
    return folder / "a.ckpt"


@hostile("posix.mkdir")
def bomb_in_a_config(folder, canary):
    """A bomb in a checkpoint of this package."""
    torch.save({"format": FORMAT, "version": 1, "config": Bomb(canary)}, folder / "a.pt")
    return folder / "a.pt"


@hostile("Linear")
def whole_network(folder, canary):
    """A whole network, pickled; loading it would import what it names."""
    network = torch.nn.Linear(2, 2)
    network.bomb = Bomb(canary)
    torch.save(network, folder / "a.pt")
    return folder / "a.pt"


@hostile("torch.hub.load")
def download(folder, canary):
    """Code from a repository on the network, through torch itself."""
    torch.save(Bomb(canary, torch.hub.load, "nobody/nothing", "model"), folder / "a.pt")
    return folder / "a.pt"


def _objects(canary: Path) -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = Bomb(canary)
    return array


@hostile("Python objects")
def npz_objects(folder, canary):
    """A bomb in an object array."""
    np.savez(folder / "a.npz", images=_objects(canary))
    return folder / "a.npz"


@hostile("Python objects")
def npy_objects(folder, canary):
    """A bomb in an object array."""
    np.save(folder / "a.npy", _objects(canary))
    return folder / "a.npy"


@hostile("Python objects")
def folder_of_npy_objects(folder, canary):
    """A bomb in one of many samples."""
    np.save(folder / "0.npy", _objects(canary))
    np.save(folder / "1.npy", np.zeros((4, 4)))
    return folder


@hostile("bare Python pickle")
def pickle_named_safetensors(folder, canary):
    """A bomb that bears the name of a safe format."""
    (folder / "a.safetensors").write_bytes(pickle.dumps(Bomb(canary)))
    return folder / "a.safetensors"


@hostile("posix.mkdir")
def torch_file_named_npz(folder, canary):
    """A bomb that bears the name of a safe format."""
    torch.save(Bomb(canary), folder / "a.npz")
    return folder / "a.npz"


@hostile("pass --nriqm-architecture")
def pickle_in_safetensors_metadata(folder, canary):
    """A bomb in the metadata of a sound safetensors file."""
    bomb = base64.b64encode(pickle.dumps(Bomb(canary))).decode()
    save_file(weights(), folder / "a.safetensors", {"architecture": bomb})
    return folder / "a.safetensors"


@hostile("builtins.bytearray")
def memory_by_bytearray(folder, canary):
    """64 GiB of zeros by a function that torch allows."""
    code = b"cbuiltins\nbytearray\n(" + number(2**36) + b"tR"
    return torch_file(folder / "a.pt", entry("weight", code))


@hostile("torch.Tensor")
def memory_by_tensor(folder, canary):
    """A tensor of 40 GB by a class that torch allows."""
    code = b"ctorch\nTensor\n(" + 2 * number(100_000) + b"tR"
    return torch_file(folder / "a.pt", entry("weight", code))


@hostile("_codecs.encode")
def memory_by_codecs(folder, canary):
    """A text that doubles forty times, by a function that torch allows."""
    code = word("aaaa")
    for _ in range(40):
        code = b"c_codecs\nencode\n(" + code + word("hex") + b"tR"
    return torch_file(folder / "a.pt", entry("weight", code))


@hostile("_rebuild_device_tensor_from_cpu_tensor")
def memory_by_a_copy(folder, canary):
    """One number seen as 10^12, then copied."""
    wide = tensor(1, (10**6, 10**6), (0, 0))
    kind = b"ctorch\nfloat64\n" + word("cpu") + b"\x89"
    code = b"ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n(" + wide + kind + b"tR"
    return torch_file(folder / "a.pt", entry("weight", code), _0=bytes(4))


@hostile("torch.storage.UntypedStorage")
def memory_by_a_called_storage(folder, canary):
    """A storage that is called as a function to take 64 GiB."""
    code = b"ctorch.storage\nUntypedStorage\n(" + number(2**36) + b"tR"
    return torch_file(folder / "a.pt", entry("weight", code))


@hostile("bytes of weights '0', has 64")
def storage_beyond_its_member(folder, canary):
    """A storage of 4 TiB whose member has 64 bytes: torch would read beyond it."""
    code = entry("weight", tensor(2**40, (2**20, 2**20), (2**20, 1)))
    return torch_file(folder / "a.pt", code, _0=bytes(64))


@hostile("bytes of weights, more than it is")
def legacy_storage_beyond_the_file(folder, canary):
    """The same in the format of torch before 1.6: 16 GiB would be set aside."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(7)}, buffer, _use_new_zipfile_serialization=False)
    content = buffer.getvalue()
    assert content.count(b"K\x07N") == 1
    large = b"J" + struct.pack("<i", 2**31 - 1) + b"N"
    (folder / "a.pt").write_bytes(content.replace(b"K\x07N", large))
    return folder / "a.pt"


@hostile("is no readable torch file")
def tensor_beyond_its_storage(folder, canary):
    """A tensor whose strides reach a terabyte beyond its storage."""
    code = entry("weight", tensor(16, (4, 4), (2**40, 2**38)))
    return torch_file(folder / "a.pt", code, _0=bytes(64))


@hostile("levels, written out in full")
def deep_lists(folder, canary):
    """100 000 lists within each other: whoever walks them runs out of stack."""
    return torch_file(folder / "a.pt", entry("x", b"]" * 100_000 + b"a" * 99_999))


@hostile("written out in full")
def laughing_tuples(folder, canary):
    """Sixty tuples, each twice the one before: 2^60 steps to use the last as a key."""
    code = b")q\x00"
    for i in range(60):
        code += b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1])
    return torch_file(folder / "a.pt", b"}(" + code + b"K\x01u")


@hostile("it changes an object that it has already stored")
def circle(folder, canary):
    """A list that holds itself: whoever walks it never ends."""
    return torch_file(folder / "a.pt", entry("x", b"]q\x00h\x00a"))


@hostile("weights belong beside it")
def large_pickle(folder, canary):
    """A pickle of 20 MB that pushes nothing but None."""
    return torch_file(folder / "a.pt", b"]" + b"(" + b"N" * 20_000_000 + b"e")


@hostile("is no readable torch file")
def missing_memo(folder, canary):
    """A reference to an object that was never stored."""
    return torch_file(folder / "a.pt", entry("x", b"j\xff\xff\xff\x7f"))


@hostile("must hold a network or its state dict")
def a_number(folder, canary):
    """No weights at all."""
    return torch_file(folder / "a.pt", b"K\x07")
