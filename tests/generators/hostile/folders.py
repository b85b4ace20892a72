"""Links, pipes and devices, mistaken downloads, and names that hurt a terminal."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
from PIL import Image

from tests.generators.hostile.pickles import torch_file, word
from tests.generators.hostile.registry import hostile


def picture(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)
    Image.fromarray(noise).save(path)


@hostile("leads out of the folder")
def link_to_a_secret(folder, canary):
    """A link to a system file among the samples."""
    picture(folder / "a.png")
    (folder / "b.png").symlink_to("/etc/passwd")
    return folder


@hostile("leads out of the folder")
def link_to_a_picture_outside(folder, canary):
    """A link to a picture of someone else."""
    (folder / "samples").mkdir()
    (folder / "private").mkdir()
    picture(folder / "private" / "a.png")
    (folder / "samples" / "a.png").symlink_to(Path("..", "private", "a.png"))
    return folder / "samples"


@hostile("leads out of the folder")
def link_to_a_folder_outside(folder, canary):
    """A folder that is a link to the root of the disk."""
    picture(folder / "a.png")
    (folder / "more").symlink_to("/")
    return folder


@hostile("leads nowhere or in a circle")
def link_to_itself(folder, canary):
    """Two links that lead to each other."""
    (folder / "a.png").symlink_to(folder / "b.png")
    (folder / "b.png").symlink_to(folder / "a.png")
    return folder


@hostile("leads nowhere or in a circle")
def link_to_nowhere(folder, canary):
    """A link to a file that is gone."""
    picture(folder / "a.png")
    (folder / "b.png").symlink_to(folder / "none.png")
    return folder


@hostile("there is no such file")
def named_link_to_itself(folder, canary):
    """A checkpoint that is a link to itself."""
    (folder / "a.pt").symlink_to(folder / "a.pt")
    return folder / "a.pt"


@hostile("neither a regular file nor a folder")
def pipe_in_a_folder(folder, canary):
    """A pipe among the samples: whoever opens it waits for ever."""
    picture(folder / "a.png")
    os.mkfifo(folder / "b.png")
    return folder


@hostile("neither a regular file nor a folder")
def socket_in_a_folder(folder, canary):
    """A socket among the samples."""
    here = os.getcwd()
    os.chdir(folder)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("b.png")
    finally:
        os.chdir(here)
    return folder


@hostile("neither a regular file nor a folder")
def pipe(folder, canary):
    """A pipe: whoever opens it waits for ever."""
    os.mkfifo(folder / "a.pt")
    return folder / "a.pt"


@hostile("neither a regular file nor a folder")
def endless_device(folder, canary):
    """A device that never ends."""
    return Path("/dev/zero")


@hostile("neither a regular file nor a folder")
def link_to_an_endless_device(folder, canary):
    """A link to a device that never ends, under a good name."""
    (folder / "a.npz").symlink_to("/dev/zero")
    return folder / "a.npz"


@hostile("holds no images")
def empty_folder(folder, canary):
    """Nothing at all."""
    return folder


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@hostile("is empty")
def empty_file(folder, canary):
    """A file of no bytes."""
    return _file(folder / "a.pt", b"")


@hostile("is a web page")
def web_page(folder, canary):
    """What a server says instead of the file."""
    return _file(folder / "a.pt", b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>404</body></html>")


@hostile("is a web page")
def xml_page(folder, canary):
    """What a bucket says instead of the file."""
    return _file(folder / "a.pt", b"<?xml version='1.0'?><Error>AccessDenied</Error>")


@hostile("git lfs pull")
def lfs_pointer(folder, canary):
    """A pointer to the file."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    return _file(folder / "a.safetensors", pointer)


@hostile("in no format that a loader knows")
def words(folder, canary):
    """Words."""
    return _file(folder / "a.pt", b"just some words")


@hostile("a.pt")
def one_byte(folder, canary):
    """The first byte of a pickle."""
    return _file(folder / "a.pt", b"\x80")


@hostile("in no format that a loader knows")
def line_in_a_name(folder, canary):
    """A name of several lines, which forges a second message."""
    return _file(folder / "a.pt\nERROR: all gates passed\n.pt", b"no checkpoint")


@hostile("in no format that a loader knows")
def direction_in_a_name(folder, canary):
    """A name that turns the direction of reading: exe.tp shows as pt.exe."""
    return _file(folder / "a\u202etp.exe.pt", b"no checkpoint")


@hostile("x1b[2J")
def colours_in_a_message(folder, canary):
    """A class whose name clears the terminal."""
    path = folder / "a.pt"
    return torch_file(path, b"cposix\n\x1b[2J\x07\n" + word(str(canary)) + b"\x85R")
