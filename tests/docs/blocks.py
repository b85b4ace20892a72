"""What the pages tell readers to run: fenced blocks by language, and commands within the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("data/**/*.md")])

# What a command begins with.
PROGRAMS = ("pytest", "python", "python3", "pip", "cat", "curl", "bash", "git", "tox")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its language and what it says."""

    page: str
    language: str
    text: str


def blocks(*languages):
    """The fenced blocks of all pages in these languages."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
            if language in languages:
                found.append(Block(page.relative_to(ROOT).as_posix(), language, body))
    return found


def commands():
    """Page and command lines of everything that reads as such: a block's lines belong together."""
    found = []
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        text = page.read_text(encoding="utf-8")
        for block in blocks("sh", "bash", "console", ""):
            if block.page == name:
                found.append((name, _commands(block.text.replace("\\\n", " "))))
        prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        for indented in re.findall(r"(?:^    .*\n)+", prose, re.M):
            found.append((name, _commands(indented)))
        for inline in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose):
            found.append((name, _commands(" ".join(inline.split()))))
    return list(dict.fromkeys((name, lines) for name, lines in found if lines))


def _commands(text):
    return tuple(_plain(line) for line in text.splitlines() if _is_command(line))


def _is_command(line):
    words = line.split()
    return len(words) > 1 and words[0] in PROGRAMS and "..." not in words


def _plain(line):
    return " ".join(re.sub(r"\s{2,}# .*$", "", line).split())
