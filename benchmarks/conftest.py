"""The table of the sanity checks, which run only when their file is named.

They put metrics on trial, not a generator, and take minutes that `pytest benchmarks/` is spared.
"""

import json


def pytest_ignore_collect(collection_path, config):
    if collection_path.name != "test_sanity.py":
        return None
    files = [argument.partition("::")[0] for argument in config.args]
    named = any(file.endswith(("test_sanity.py", ".test_sanity")) for file in files)
    return None if named else True


def pytest_configure(config):
    config.pluginmanager.register(SanityTable(), "nriqm-sanity-table")


class SanityTable:
    """Collects the cells of all reports, also those of xdist workers, and shows them at the end."""

    def __init__(self):
        self.entries = []

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties if report.when == "call" else ():
            if name == "nriqm_sanity":
                self.entries += json.loads(value)

    def pytest_terminal_summary(self, terminalreporter):
        if not self.entries:
            return
        from nriqm_bench import sanity

        terminalreporter.section("sanity checks", sep="=")
        for line in sanity.render(sanity.Entry(**entry) for entry in self.entries):
            terminalreporter.write_line(line)
