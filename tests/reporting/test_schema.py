"""The JSON run: round trip, published schema, versions."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files

import jsonschema
import pytest

from nriqm_bench.reporting import (
    Gate,
    Row,
    SchemaError,
    csv_table,
    from_json,
    html,
    markdown,
    terminal,
    to_json,
)

SCHEMA = json.loads(files("nriqm_bench.reporting").joinpath("run.schema.json").read_text())


def test_downstream_round_trip_and_fit(tested):
    assert from_json(to_json(tested)) == tested
    jsonschema.validate(json.loads(to_json(tested)), SCHEMA)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["downstream"][0].pop("dice"),
        lambda d: d["downstream"][0].update(dice=[0.5]),
        lambda d: d["downstream"][0].update(unit="cm"),
        lambda d: d["agreement"][0].update(tau=1.5),
        lambda d: d["agreement"][0].update(over="metrics"),
        lambda d: d["agreement"][0].pop("items"),
    ],
    ids=["missing", "estimate", "unit", "tau", "over", "items"],
)
def test_what_does_not_fit_downstream(tested, spoil):
    found = json.loads(to_json(tested))
    spoil(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)


@pytest.mark.parametrize(
    ("version", "later"),
    [("1.0", ("downstream", "agreement", "pictures")), ("1.1", ("pictures",))],
)
def test_a_run_of_an_earlier_version_is_read_and_shown(tested, version, later):
    found = json.loads(to_json(tested))
    for name in later:
        del found[name]
    found["schema_version"] = version
    jsonschema.validate(found, SCHEMA)
    read = from_json(json.dumps(found))
    assert not any(getattr(read, name) for name in later)
    assert read.rows == tested.rows
    for form in (html, markdown, terminal, csv_table):
        assert form.render(read)


def test_round_trip(run):
    assert from_json(to_json(run)) == run
    assert to_json(from_json(to_json(run))) == to_json(run)


def test_schema_is_a_schema_and_runs_fit_it(run):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(to_json(run)), SCHEMA)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("rows"),
        lambda d: d.update(schema_version="2.0"),
        lambda d: d["rows"][0].pop("effect"),
        lambda d: d["rows"][0].update(verdict="fine"),
        lambda d: d["rows"][0].update(rank=1.5),
        lambda d: d["rows"][0].update(levels=["0", "1"]),
        lambda d: d["gates"][0].update(trusted="yes"),
        lambda d: d["gates"][0].update(interval=[1]),
    ],
    ids=["rows", "version", "missing", "verdict", "rank", "levels", "trusted", "interval"],
)
def test_what_does_not_fit_the_schema(run, spoil):
    found = json.loads(to_json(run))
    spoil(found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)


def test_numbers_that_are_not_finite_become_null(run):
    row = dataclasses.replace(run.rows[0], effect=float("inf"), rank=float("nan"))
    found = json.loads(to_json(dataclasses.replace(run, rows=[row])))["rows"][0]
    assert found["effect"] is None
    assert found["rank"] is None


def test_rows_and_gates_sort_the_same_from_any_order(run):
    for things, kind in ((run.rows, Row), (run.gates, Gate)):
        shuffled = [things[i] for i in (2, 0, 1)] + list(things[3:])
        assert sorted(shuffled, key=kind.sort_key) == list(things)
    assert [r.source for r in run.rows][-1] == "model"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ("[]", "no run of nriqm_bench"),
        ('{"rows": []}', "no schema_version"),
        ('{"schema_version": "2.1"}', "schema version 2.1, this release reads 1.x"),
        ('{"schema_version": "1.9"}', "the run lacks 'environment'"),
        ('{"schema_version": "1.2", "rows": 3}', "rows of the run is int, must be a list"),
        ('{"schema_version": "1.2", "gates": [3]}', "a gate of the run is int, must be an object"),
        ('{"schema_version": "1.0", "rows": [{"case": "blur"}]}', "a row of the run lacks"),
    ],
)
def test_what_cannot_be_read(text, told):
    with pytest.raises(SchemaError, match=told):
        from_json(text)


def test_a_later_minor_version_with_more_fields_is_read(run):
    found = json.loads(to_json(run)) | {"schema_version": "1.7", "novelty": 1}
    found["rows"][0]["novelty"] = 2
    assert len(from_json(json.dumps(found)).rows) == len(run.rows)
