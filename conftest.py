"""Load the plugin from a bare clone; an installed package announces it by its entry point."""

from importlib.metadata import entry_points

if not any(point.name == "nriqm" for point in entry_points(group="pytest11")):
    pytest_plugins = ["nriqm_bench.plugin"]
