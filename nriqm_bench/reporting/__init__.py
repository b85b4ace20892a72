"""What a run found, as data and as text: every report is a pure view of one `Run`."""

from __future__ import annotations

from nriqm_bench.reporting.schema import (
    Agreement,
    Downstream,
    Gate,
    Picture,
    Row,
    Run,
    SchemaError,
    from_json,
    to_json,
)
from nriqm_bench.reporting.write import write

__all__ = [
    "Agreement",
    "Downstream",
    "Gate",
    "Picture",
    "Row",
    "Run",
    "SchemaError",
    "from_json",
    "to_json",
    "write",
]
