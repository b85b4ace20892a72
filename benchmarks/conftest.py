"""Tables of the files that run only when they are named.

They put metrics on trial, not a generator, and take minutes that `pytest benchmarks/` is spared.
"""

import json

ONLY_WHEN_NAMED = ("test_sanity", "test_speed")


def pytest_ignore_collect(collection_path, config):
    if collection_path.stem not in ONLY_WHEN_NAMED:
        return None
    asked = [argument.partition("::")[0].removesuffix(".py") for argument in config.args]
    return None if any(name.endswith(collection_path.stem) for name in asked) else True


def pytest_configure(config):
    config.pluginmanager.register(Tables(), "nriqm-tables")


class Tables:
    """Collects what the reports carry, also those of xdist workers, and shows it at the end."""

    def __init__(self):
        self.cells, self.speeds = [], []

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "nriqm_sanity":
                self.cells += json.loads(value)
            elif name == "nriqm_speed":
                self.speeds += json.loads(value)

    def pytest_terminal_summary(self, terminalreporter):
        from nriqm_bench import sanity

        if self.cells:
            terminalreporter.section("sanity checks", sep="=")
            for line in sanity.render(sanity.Entry(**cell) for cell in self.cells):
                terminalreporter.write_line(line)
        if self.speeds:
            terminalreporter.section("speed", sep="=")
            for line in speed_table(self.speeds):
                terminalreporter.write_line(line)


def speed_table(rows):
    yield f"{'one core':20} {'':24} {'seconds':>9} {'ratio':>7} {'peak MB':>9}"
    last = None
    for row in rows:
        job = "" if row["job"] == last else row["job"]
        last = row["job"]
        if "absent" in row:
            yield f"{job:20} {row['who']:24} {row['absent']}"[:79]
            continue
        ratio = f"{row['ratio']:.1f}" if "ratio" in row else ""
        yield f"{job:20} {row['who']:24} {row['seconds']:9.3g} {ratio:>7} {row['memory']:9.0f}"
