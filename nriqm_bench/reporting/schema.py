"""`Run`, `Row`, `Gate` and what is downstream: the published form of a run, to and from JSON.

``run.schema.json`` beside this file is the JSON Schema of what `to_json` writes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Self, TypeVar

SCHEMA_VERSION = "1.2"

VERDICTS = (
    "pass",
    "fail",
    "error",
    "blind (known)",
    "unspecified",
    "saturated",
    "untrusted",
    "skipped",
)

T = TypeVar("T")


class SchemaError(ValueError):
    """A file that is no run of a version that can be read: one sentence says why."""


@dataclass(frozen=True)
class _Record:
    """What is written as a dict of plain JSON types, and read from one."""

    _what: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        found: dict[str, Any] = _plain(asdict(self))
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """What `to_dict` made; of a later version, without what is not known here."""
        return _made(cls, found, cls._what)


@dataclass(frozen=True)
class Row(_Record):
    """One metric along one case: a curve, its floor, and what became of the expectation.

    `source` is ``held-out`` or the name of a generator; `floor_mean`, `floor_sd` and `values` are
    in the metric's own unit; `effect` is in floor SD, + meaning worse; `detection_level` and
    `noise_equivalent` are None where there is none.
    """

    _what = "row"

    case: str
    experiment: str
    perturbation: str
    metric: str
    extractor: str
    levels: Sequence[float]
    values: Sequence[float]
    floor_mean: float
    floor_sd: float
    effect: float
    rank: float
    detection_level: float | None
    noise_equivalent: float | None
    expectation: str
    verdict: str
    reason: str
    seconds: float
    source: str = "held-out"

    def sort_key(self) -> tuple[Any, ...]:
        """Equal runs give equal order, whatever the order of the tests."""
        own = self.source != "held-out"
        return (self.experiment, self.case, own, self.source, self.extractor, self.metric)


@dataclass(frozen=True)
class Gate(_Record):
    """One release gate for one generator: its value against threshold and floor.

    `direction` says on which side of the threshold the gate fails; `interval` is the value's 95 %
    interval or None; `pairs` are the samples nearest to training images, of memorisation gates.
    """

    _what = "gate"

    name: str
    metric: str
    extractor: str
    value: float
    interval: Sequence[float] | None
    threshold: float
    floor_mean: float
    floor_sd: float
    trusted: bool
    verdict: str
    reason: str
    generator: str = ""
    direction: str = "above"
    pairs: Sequence[Mapping[str, Any]] = ()

    def sort_key(self) -> tuple[str, ...]:
        """By generator, then name."""
        return (self.generator, self.name)


@dataclass(frozen=True)
class Downstream(_Record):
    """What a segmenter that was trained on one set of images finds in real ones.

    `case` and `level` are the damage done to the images of `source`, or empty and 0. Every estimate
    is ``[value, low, high]`` with a 95 % interval over test subjects: `dice`, `hd95` (in `unit`)
    and `f1` of the network on trial; `real_dice` of the one that it is compared with, which was
    trained on equally many undamaged real images; `dice_ratio`, `hd95_ratio`, `f1_ratio` of the
    two; `both_dice` after training on real images too; `auc` of a classifier of source against
    real images. The last two are None for damaged images. `steps` are those of each training of the
    network on trial; `seconds` those of the trainings that no other row shares.
    """

    _what = "downstream row"

    source: str
    case: str
    level: float
    dice: Sequence[float]
    hd95: Sequence[float]
    f1: Sequence[float]
    real_dice: Sequence[float]
    dice_ratio: Sequence[float]
    hd95_ratio: Sequence[float | None]
    f1_ratio: Sequence[float | None]
    both_dice: Sequence[float] | None
    auc: Sequence[float] | None
    unit: str
    images: int
    steps: Sequence[int]
    seconds: float

    def sort_key(self) -> tuple[Any, ...]:
        """Held-out images first, then generators, then damage."""
        return (bool(self.case), self.source != "held-out", self.source, self.case)


@dataclass(frozen=True)
class Agreement(_Record):
    """Does a metric rank images as the downstream task does?

    `over` is ``generators`` (`values` are the metric's, `downstream` the Dice coefficients) or
    ``perturbations`` (how far each worsened the metric, and the Dice coefficient that it cost), one
    of each an item. `tau` is Kendall's tau-b, + when a better metric goes with better
    segmentation, with a 95 % `interval` and the one-sided `p` of a random order.
    """

    _what = "agreement"

    over: str
    metric: str
    extractor: str
    items: Sequence[str]
    values: Sequence[float]
    downstream: Sequence[float]
    tau: float
    interval: Sequence[float]
    p: float

    def sort_key(self) -> tuple[Any, ...]:
        """By what is ranked, feature space and metric."""
        return (self.over, self.extractor, self.metric)


@dataclass(frozen=True)
class Picture(_Record):
    """Images side by side, as they are shown.

    `kind` is ``samples`` (images of `source`), ``copies`` (a sample of `source`, the training image
    nearest to it and the nearest other real image; `case` is the gate) or ``strip`` (one image of
    `source` under `case` at rising levels). `labels` says what each image is; `images` are the
    files, WebP in base64.
    """

    _what = "picture"

    kind: str
    source: str
    case: str
    labels: Sequence[str]
    images: Sequence[str]


@dataclass(frozen=True)
class Run:
    """Everything that one run found.

    `downstream` and `agreement` came with version 1.1, `pictures` with 1.2, where `environment`
    began to say when the run was ``made`` and, where that is known, of which ``revision``.
    """

    environment: Mapping[str, Any]
    generator: Sequence[Mapping[str, Any]]
    dataset: Mapping[str, Any]
    settings: Mapping[str, Any]
    rows: Sequence[Row]
    gates: Sequence[Gate]
    notes: Sequence[str] = field(default_factory=list)
    downstream: Sequence[Downstream] = field(default_factory=list)
    agreement: Sequence[Agreement] = field(default_factory=list)
    pictures: Sequence[Picture] = field(default_factory=list)
    schema_version: str = SCHEMA_VERSION


def to_json(run: Run) -> str:
    """The run as JSON; numbers that are not finite become null."""
    found = {
        "schema_version": run.schema_version,
        "environment": _plain(run.environment),
        "generator": _plain(run.generator),
        "dataset": _plain(run.dataset),
        "settings": _plain(run.settings),
        "rows": [row.to_dict() for row in run.rows],
        "gates": [gate.to_dict() for gate in run.gates],
        "notes": _plain(run.notes),
        "downstream": [row.to_dict() for row in run.downstream],
        "agreement": [row.to_dict() for row in run.agreement],
        "pictures": [picture.to_dict() for picture in run.pictures],
    }
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Run:
    """The run that `to_json` wrote.

    Raises
    ------
    SchemaError
        For text that is no JSON object of a run, or of another major version.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise SchemaError(f"this is no JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("schema_version"), str):
        raise SchemaError("this is no run of nriqm_bench: it has no schema_version")
    ours = SCHEMA_VERSION.partition(".")[0]
    if found["schema_version"].partition(".")[0] != ours:
        raise SchemaError(
            f"the run has schema version {found['schema_version']}, this release reads {ours}.x; "
            "make it again, or read it with the release that made it"
        )
    kinds: dict[str, type[_Record]] = {
        "rows": Row,
        "gates": Gate,
        "downstream": Downstream,
        "agreement": Agreement,
        "pictures": Picture,
    }
    for name, kind in kinds.items():
        records = found.get(name, [])
        if not isinstance(records, list):
            raise SchemaError(f"{name} of the run is {type(records).__name__}, must be a list")
        found[name] = [kind.from_dict(record) for record in records]
    return _made(Run, found, "")


def _made(kind: type[T], found: Any, what: str) -> T:
    name = f"a {what} of the run" if what else "the run"
    if not isinstance(found, Mapping):
        raise SchemaError(f"{name} is {type(found).__name__}, must be an object")
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    try:
        return kind(**{key: value for key, value in found.items() if key in known})
    except TypeError as error:
        missing = str(error).rpartition(": ")[2]
        raise SchemaError(f"{name} lacks {missing}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None
