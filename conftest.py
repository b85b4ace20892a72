"""Load the plugin from a bare clone; an installed package announces it by its entry point."""

import sys
from importlib.metadata import entry_points
from pathlib import Path

if not any(point.name == "nriqm" for point in entry_points(group="pytest11")):
    sys.path.insert(0, str(Path(__file__).parent))
    pytest_plugins = ["nriqm_bench.plugin"]
