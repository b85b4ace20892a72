"""Zip archives that lead outside, unpack to too much or hold one thing under two names."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

from tests.generators.hostile.pickles import Bomb, archive, entry, tensor, torch_file, weights
from tests.generators.hostile.registry import hostile

OUTSIDE = "lead outside the archive"


def saved(content: object) -> dict[str, bytes]:
    """The members of what torch.save makes, without the folder they lie in."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _with(folder: Path, name: str) -> Path:
    torch.save({"state_dict": weights()}, folder / "a.pt")
    with zipfile.ZipFile(folder / "a.pt", "a") as file:
        file.writestr(name, b"#!/bin/sh")
    return folder / "a.pt"


@hostile(OUTSIDE)
def upward_member(folder, canary):
    """A member that would be unpacked above the folder."""
    return _with(folder, f"archive/../../{canary.name}")


@hostile(OUTSIDE)
def absolute_member(folder, canary):
    """A member that would be unpacked at the root."""
    return _with(folder, str(canary))


@hostile(OUTSIDE)
def windows_member(folder, canary):
    """A member that would be unpacked on another drive."""
    return _with(folder, "C:\\Windows\\a.dll")


@hostile(OUTSIDE)
def upward_array(folder, canary):
    """An array that would be unpacked above the folder."""
    with zipfile.ZipFile(folder / "a.npz", "w") as file:
        file.writestr("images.npy", _npy(np.zeros((4, 1, 4, 4))))
        file.writestr("../../" + canary.name, b"x")
    return folder / "a.npz"


@hostile("members of the same name")
def two_pickles(folder, canary):
    """A good pickle and a bomb under one name: one is checked, the other read."""
    path = archive(folder / "a.pt", saved({"state_dict": weights()}))
    with zipfile.ZipFile(path, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr("archive/data.pkl", saved(Bomb(canary))["data.pkl"])
    return path


@hostile("members in 2 folders")
def two_folders(folder, canary):
    """A good checkpoint and a bomb in two folders of one archive."""
    path = archive(folder / "a.pt", saved({"state_dict": weights()}), "one/")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("two/data.pkl", saved(Bomb(canary))["data.pkl"])
    return path


@hostile("would unpack to 0.5 GiB")
def packed_zeros(folder, canary):
    """An array of half a gibibyte of zeros in half a megabyte."""
    header = io.BytesIO()
    shape = (2**9, 1, 2**10, 2**10)
    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    with (
        zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w") as file,
    ):
        file.write(header.getvalue())
        for _ in range(2**9):
            file.write(bytes(2**20))
    return folder / "a.npz"


@hostile("neither a torch file nor an .npz")
def zip_of_zips(folder, canary):
    """Ten archives of ten archives of ten archives of zeros."""
    content = bytes(2**20)
    for level in range(4):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for i in range(10):
                file.writestr(f"{level}-{i}.zip", content)
        content = buffer.getvalue()
    (folder / "a.zip").write_bytes(content)
    return folder / "a.zip"


def directory_entries(content: bytes) -> list[int]:
    """Where the entries of the central directory begin."""
    found, at = [], content.find(b"PK\x01\x02")
    while at >= 0:
        found.append(at)
        at = content.find(b"PK\x01\x02", at + 4)
    return found


@hostile("overlap or reach beyond its end")
def overlapping_members(folder, canary):
    """A hundred members that are all the same packed bytes."""
    path = folder / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images.npy", _npy(np.random.default_rng(0).random((4, 1, 64, 64))))
        for i in range(100):
            file.writestr(f"{i}.npy", b"")
    content = bytearray(path.read_bytes())
    first, *others = directory_entries(bytes(content))
    for at in others:
        content[at + 16 : at + 28] = content[first + 16 : first + 28]
        content[at + 42 : at + 46] = content[first + 42 : first + 46]
    path.write_bytes(content)
    return path


@hostile("would unpack to")
def declared_sizes(folder, canary):
    """Members of a hundred bytes that declare 4 GiB each."""
    path = archive(folder / "a.pt", saved({"state_dict": weights()}))
    content = bytearray(path.read_bytes())
    for at in directory_entries(bytes(content)):
        content[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(content)
    return path


@hostile("has a packed member")
def packed_weights(folder, canary):
    """Weights of 200 MB that are packed into 200 kB, below any limit for the whole archive."""
    code = entry("weight", tensor(50_000_000, (5000, 10_000), (10_000, 1)))
    torch_file(folder / "b.pt", code, _0=bytes(200_000_000))
    with (
        zipfile.ZipFile(folder / "b.pt") as source,
        zipfile.ZipFile(folder / "a.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    (folder / "b.pt").unlink()
    return folder / "a.pt"


@hostile("password required")
def encrypted_member(folder, canary):
    """A member that says it is encrypted."""
    path = folder / "a.npz"
    np.savez(path, images=np.zeros((4, 1, 4, 4)))
    content = bytearray(path.read_bytes())
    content[directory_entries(bytes(content))[0] + 8] |= 1
    content[6] |= 1
    path.write_bytes(content)
    return path


@hostile("Bad CRC-32")
def damaged_weights(folder, canary):
    """One bit of a weight is another: the scores would be those of another network."""
    path = archive(folder / "a.pt", saved({"weight": torch.full((64, 64), 2.0)}))
    content = path.read_bytes()
    at = content.index(struct.pack("<4f", 2, 2, 2, 2)) + 3
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    return path


@hostile("it holds 'readme.txt'")
def zip_of_words(folder, canary):
    """An archive of something else."""
    with zipfile.ZipFile(folder / "a.pt", "w") as file:
        file.writestr("readme.txt", "hello")
    return folder / "a.pt"
