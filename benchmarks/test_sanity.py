"""Sanity: metrics of fidelity and diversity on clouds of points whose answers are known.

The four metrics that Raisa et al. (2025, arXiv 2505.22450) judged must come out as they published,
but for cells on a threshold; others get a column of their own. Runs only when named:
``pytest benchmarks/test_sanity.py``; docs/sanity.md explains the table at the end.
"""

import json

import pytest

from nriqm_bench import Settings, sanity


def pytest_generate_tests(metafunc):
    config = metafunc.config
    settings = Settings.load({"metric": config.getoption("nriqm_metric")}, root=config.rootpath)
    metafunc.parametrize(("check", "metric", "kind"), _cases(settings.metric))


def _cases(patterns):
    try:
        columns = sanity.columns(patterns)
    except ValueError as error:
        return [pytest.param("", "", "", id="none", marks=pytest.mark.skip(reason=str(error)))]
    return [
        pytest.param(check.name, metric, kind, id=f"{check.name}-{_name(metric, kind)}")
        for check in sanity.CHECKS
        for metric, kind in columns
    ]


def _name(metric, kind):
    return metric if len(sanity.kinds(metric)) == 1 else f"{metric}-as-{kind}"


@pytest.fixture(scope="session")
def measured(request):
    """`(check, metric) -> Result`; known metrics share one run, so that they share distances."""
    chosen = {item.callspec.params["metric"] for item in request.session.items if _is_ours(item)}
    together = [metric for metric in sanity.METRICS if metric in chosen]
    kept = {}

    def result(check, metric):
        names = together if metric in together else [metric]
        if (check, metric) not in kept:
            found = sanity.run(sanity.get(check), names)
            kept.update({(check, name): each for name, each in found.items()})
        return kept[check, metric]

    return result


def _is_ours(item):
    return item.path.name == "test_sanity.py"


def test_sanity(check, metric, kind, measured, record_property):
    cells = measured(check, metric).cells[kind]
    entries = sanity.entries(check, metric, kind, cells)
    record_property("nriqm_sanity", json.dumps([entry.to_dict() for entry in entries]))
    found = sanity.compare(check, metric, kind, cells)
    assert not found.differ, "\n".join(found.differ)
    if found.by_chance:
        pytest.xfail("\n".join(found.by_chance))
