"""One frozen `Settings`: command line, then environment, then `[tool.nriqm]`, then defaults."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

# Stands for the feature spaces that see local damage in what the dataset shows.
REMEDIES = "remedies"

REPORT_SUFFIXES = (".json", ".md", ".html", ".csv")


class SettingsError(ValueError):
    """A setting that cannot be used: one sentence with what, where and what is accepted."""


@dataclass(frozen=True)
class Option:
    """One setting: its command line flag follows from its name."""

    name: str
    help: str
    metavar: str = ""
    default: Any = None
    repeatable: bool = False

    @property
    def flag(self) -> str:
        """The command line flag."""
        dashed = self.name.replace("_", "-")
        return "--generator" if self.name == "generator" else f"--nriqm-{dashed}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"NRIQM_{self.name.upper()}"


OPTIONS = (
    Option(
        "generator",
        "checkpoint on trial: TorchScript file, saved checkpoint, state dict, folder or .npz of "
        "samples, or pkg.mod:callable; repeatable; without it held-out real images stand in",
        "CKPT",
        (),
        repeatable=True,
    ),
    Option(
        "dataset",
        "real images: phantom-tumour, folder:DIR, npz:FILE or a registered name",
        "SPEC",
        "phantom-tumour",
    ),
    Option(
        "extractor",
        "feature space: efficientnet-lite0, pixels, torchscript:PATH or a registered name; "
        "'remedies' stands for those of the lesion or vessel; repeatable, gates judge in the first "
        "(memorisation is judged in circular-harmonics and pixels too)",
        "SPEC",
        ("efficientnet-lite0", REMEDIES),
        repeatable=True,
    ),
    Option("metric", "run only metrics that match; repeatable", "GLOB", ("*",), repeatable=True),
    Option("n", "images in each set: reference, held-out, samples", "N", 200),
    Option("seed", "seed of every random draw", "S", 0),
    Option("device", "where networks run: cpu, cuda or cuda:0", "DEVICE", "cpu"),
    Option("quick", "a first look: 100 images in each set, fewer levels", default=False),
    Option("cache", "where features are kept, or 'off'", "DIR", None),
    Option(
        "report",
        f"write the run to PATH ({', '.join(REPORT_SUFFIXES)}); repeatable",
        "PATH",
        (),
        repeatable=True,
    ),
    Option(
        "no_pictures",
        "leave samples and real images out of reports (.json and .html hold some)",
        default=False,
    ),
    Option("baseline", "an earlier run to compare with", "RUN.json", None),
    Option(
        "architecture", "what builds the network of a bare state dict", "pkg.mod:callable", None
    ),
    Option(
        "expected_failures",
        "a TOML file of failures that are known, each with its reason",
        "FILE",
        None,
    ),
    Option("trust", "allow a checkpoint to run its own Python", default=False),
)

_QUICK_N = 100


@dataclass(frozen=True)
class Settings:
    """What one run was asked to do; the fields are the options of the command line.

    `gates` holds the thresholds of `[tool.nriqm.gates]`.
    """

    generator: tuple[str, ...] = ()
    dataset: str = "phantom-tumour"
    extractor: tuple[str, ...] = ("efficientnet-lite0", REMEDIES)
    metric: tuple[str, ...] = ("*",)
    n: int = 200
    seed: int = 0
    device: str = "cpu"
    quick: bool = False
    cache: str | None = None
    report: tuple[str, ...] = ()
    no_pictures: bool = False
    baseline: str | None = None
    architecture: str | None = None
    expected_failures: str | None = None
    trust: bool = False
    gates: tuple[tuple[str, float], ...] = ()

    @classmethod
    def load(
        cls,
        given: Mapping[str, Any],
        environ: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> Settings:
        """Merge what was given on the command line with environment, file and defaults.

        Parameters
        ----------
        given
            Option name to value, None where the command line did not say.
        environ
            The environment; a repeatable option is split at commas.
        root
            The folder whose ``pyproject.toml`` may hold ``[tool.nriqm]``.

        Raises
        ------
        SettingsError
            For an unknown key, a variable whose name is nearly that of a setting, a value of the
            wrong type or out of range.
        """
        environ = os.environ if environ is None else environ
        table, where = _table(root)
        table = {key.replace("-", "_"): value for key, value in table.items()}
        chosen: dict[str, Any] = {"gates": _gates(table.pop("gates", {}), where)}
        known = {option.name for option in OPTIONS}
        for key in table:
            if key not in known:
                from nriqm_bench.registry import unknown

                raise SettingsError(f"{where}: {unknown('setting', key, known | {'gates'})}")
        for option in OPTIONS:
            if given.get(option.name) is not None:
                value, said = given[option.name], option.flag
            elif environ.get(option.variable):
                value, said = _split(option, environ[option.variable]), option.variable
            elif option.name in table:
                value, said = table[option.name], f"{where}, {option.name}"
            else:
                value, said = option.default, "the default"
            chosen[option.name] = _typed(option, value, said)
        _check_variables(environ)
        said_n = given.get("n") is not None or environ.get("NRIQM_N") or "n" in table
        if chosen["quick"] and not said_n:
            chosen["n"] = _QUICK_N
        return cls(**chosen)

    @property
    def pictured(self) -> bool:
        """Whether a report that shows images was asked for."""
        shown = any(Path(path).suffix in (".json", ".html") for path in self.report)
        return shown and not self.no_pictures

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types, without what does not change a score (reports, cache)."""
        left_out = {"report", "no_pictures", "cache", "generator", "baseline", "trust"}
        left_out.add("expected_failures")
        return {
            f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in left_out
        }


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _table(root: Path | None) -> tuple[dict[str, Any], str]:
    path = (root or Path()) / "pyproject.toml"
    if not path.is_file():
        return {}, str(path)
    try:
        tool = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}") from error
    table = tool.get("nriqm", {}) if isinstance(tool, dict) else {}
    where = f"[tool.nriqm] in {path.name}"
    if not isinstance(table, dict):
        raise SettingsError(f"{where} was {table!r}, must be a table of settings")
    return dict(table), where


def _check_variables(environ: Mapping[str, str]) -> None:
    """A mistyped variable would be ignored in silence; those of others are their business."""
    known = {option.variable for option in OPTIONS}
    for name in environ:
        if name.startswith("NRIQM_") and name not in known:
            from nriqm_bench.registry import closest

            if close := closest(name, known, cutoff=0.85):
                raise SettingsError(
                    f"the environment sets {name}, which is no setting; did you mean "
                    f"{' or '.join(close)}?"
                )


def _gates(value: Any, where: str) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, dict) or not all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in value.values()
    ):
        raise SettingsError(f"{where}: gates was {value!r}, must be a table of names and numbers")
    return tuple(sorted((str(k), float(v)) for k, v in value.items()))


def _split(option: Option, text: str) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()] if option.repeatable else text


def _typed(option: Option, value: Any, said: str) -> Any:
    if option.repeatable:
        values = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not all(isinstance(v, str) and v for v in values) or (option.default and not values):
            least = ", at least one" if option.default else ""
            raise SettingsError(f"{said} was {value!r}, must be a list of non-empty texts{least}")
        if option.name == "report":
            for path in values:
                if Path(path).suffix not in REPORT_SUFFIXES:
                    raise SettingsError(
                        f"{said} was {path!r}, must end in {', '.join(REPORT_SUFFIXES)}"
                    )
        return values
    if isinstance(option.default, bool):
        return _boolean(value, said)
    if isinstance(option.default, int):
        return _integer(option, value, said)
    if value is not None and (not isinstance(value, str) or not value):
        raise SettingsError(f"{said} was {value!r}, must be a non-empty text")
    if option.name == "device" and value not in ("cpu", "cuda") and not _is_cuda(value):
        raise SettingsError(f"{said} was {value!r}, must be cpu, cuda or cuda:NUMBER")
    return value


def _boolean(value: Any, said: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise SettingsError(f"{said} was {value!r}, must be true or false")
    return found


def _integer(option: Option, value: Any, said: str) -> int:
    least = 16 if option.name == "n" else 0
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise SettingsError(f"{said} was {value!r}, must be a whole number, at least {least}")
    return number


def _is_cuda(value: str | None) -> bool:
    return value is not None and value.startswith("cuda:") and value[5:].isdigit()
