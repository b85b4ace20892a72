"""Read the config of a MONAI bundle without running it: references, macros and a little arithmetic.

A MONAI config is a program: a string that starts with ``$`` is Python, a dict with ``_target_`` is
a call. Here nothing is imported, called or built. What a loader has to know comes out as plain data
or as a description: `Component` (something to be built), `Stored` (what lies in a weights file),
`Loading` (weights that go into a component), `Steps` and `Noise`. Any other expression is refused,
but only when something asks for its value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nriqm_bench.generators.errors import GeneratorError, brief
from nriqm_bench.generators.monai_bundle.expressions import CodeError, Component, understand

# Configs are small; these bounds stop nested aliases and macros from growing without end.
_MOST_BYTES = 4_000_000
_MOST_NODES = 20_000
_MOST_ENTRIES = 200_000
_SEPARATOR = "::"
_REFERENCE = re.compile(r"@(\w+(?:(?:::|#)\w+)*)")
_RELATIVE = re.compile(r"([@%])((?:::|#)+)(?=\w)")


def read_config(text: str, path: Path) -> dict[str, Any]:
    """The content of a .json, .yaml or .yml file, as plain data.

    Raises
    ------
    GeneratorError
        When it is damaged, too large, or needs PyYAML, which is not installed.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise GeneratorError(
            f"{text} has a config {path.name} of {path.stat().st_size / 1e6:.0f} MB, must be at "
            f"most {_MOST_BYTES / 1e6:.0f} MB"
        )
    try:
        words = path.read_text(encoding="utf-8")
        content = json.loads(words) if path.suffix == ".json" else _yaml(text, path.name, words)
    except GeneratorError:
        raise
    except (ValueError, OSError, RecursionError) as error:
        raise GeneratorError(
            f"{text} has a damaged config {path.name} ({brief(error)}); copy it again"
        ) from error
    if not isinstance(content, dict):
        raise GeneratorError(
            f"{text} has a config {path.name} that is {type(content).__name__}, must be a dict"
        )
    return content


def _yaml(text: str, name: str, words: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise GeneratorError(
            f"{text} has a YAML config {name}, which needs PyYAML; pip install pyyaml"
        ) from error
    try:
        return yaml.safe_load(words)
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace("\n", " ")) from error


class Config:
    """The values of one config, resolved when asked for.

    Parameters
    ----------
    text
        The bundle, for the messages.
    content
        The config as plain data.
    evaluate
        ``key -> value``: called for expressions that are not understood here, with the whole key
        of the expression. None: they are refused.
    """

    def __init__(
        self,
        text: str,
        content: Mapping[str, Any],
        evaluate: Callable[[str], Any] | None = None,
    ) -> None:
        self.text = text
        # Wherever the bundle was when it was written, it is here now.
        self.content = {**content, "bundle_root": "."}
        self._evaluate = evaluate
        self._open: list[str] = []
        self._nodes = 0

    def get(self, key: str, default: Any = None) -> Any:
        """The value at a key, ``name`` or ``name::inner::0``; `default` where there is none."""
        try:
            raw = self._raw(key)
        except KeyError:
            return default
        return self._within(key, raw)

    def arguments(self, component: Component) -> dict[str, Any]:
        """The arguments of a component, without the directives ``_..._``."""
        return {
            name: self._within(f"{component.key}{_SEPARATOR}{name}", value)
            for name, value in component.raw.items()
            if not re.fullmatch(r"_\w+_", str(name))
        }

    def components(self) -> dict[str, Component]:
        """Every enabled component at the top of the config, by key.

        One whose ``_disabled_`` is code is left out: whoever needs it asks for it by its key.
        """
        found: dict[str, Component] = {}
        for key, raw in self.content.items():
            value = self._macro(key, raw) if isinstance(raw, str) and raw[:1] == "%" else raw
            if isinstance(value, dict) and isinstance(value.get("_target_"), str):
                try:
                    resolved = self._within(key, value)
                except GeneratorError:
                    continue
                if isinstance(resolved, Component):
                    found[key] = resolved
        return found

    def expressions(self) -> Iterator[tuple[str, str]]:
        """Every ``$`` string and its key, the top of the config first."""
        for key, raw in self._walk():
            if isinstance(raw, str) and raw.startswith("$"):
                yield key, raw

    def nested(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every dict with ``_target_``, however deep, and its key."""
        for key, raw in self._walk():
            if isinstance(raw, dict) and isinstance(raw.get("_target_"), str):
                yield key, raw

    def _walk(self) -> Iterator[tuple[str, Any]]:
        queue: list[tuple[str, Any]] = [(str(k), v) for k, v in self.content.items()]
        for key, raw in queue:
            yield key, raw
            if isinstance(raw, dict | list):
                if len(queue) + len(raw) > _MOST_ENTRIES:
                    raise self._too_large()
                pairs = raw.items() if isinstance(raw, dict) else enumerate(raw)
                queue.extend((f"{key}{_SEPARATOR}{k}", v) for k, v in pairs)

    def _raw(self, key: str) -> Any:
        value: Any = self.content
        passed = ""
        for part in re.split(r"::|#", key):
            if isinstance(value, str) and value[:1] == "%":
                value = self._macro(passed, value)
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                raise KeyError(key)
            passed = f"{passed}{_SEPARATOR}{part}" if passed else part
        return value

    def _within(self, key: str, raw: Any) -> Any:
        """Resolve `raw`, which stands at `key`; a key that needs itself is refused."""
        if key in self._open:
            raise GeneratorError(
                f"{self.text}: key {key!r} of its config refers to itself, by way of "
                f"{' and '.join(repr(k) for k in self._open[-3:])}"
            )
        if len(self._open) > 100:
            raise self._too_large()
        self._open.append(key)
        try:
            return self._resolve(key, raw)
        finally:
            self._open.pop()

    def _resolve(self, key: str, raw: Any) -> Any:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise self._too_large()
        if isinstance(raw, dict):
            if self._disabled(key, raw):
                return None
            if "_target_" in raw:
                return Component(key, str(raw["_target_"]), raw)
            return {k: self._within(f"{key}{_SEPARATOR}{k}", v) for k, v in raw.items()}
        if isinstance(raw, list):
            return [
                self._within(f"{key}{_SEPARATOR}{i}", v)
                for i, v in enumerate(raw)
                if not (isinstance(v, dict) and self._disabled(f"{key}{_SEPARATOR}{i}", v))
            ]
        if not isinstance(raw, str):
            return raw
        value = self._absolute(key, raw)
        if value.startswith("%"):
            return self._within(value[1:].replace("#", _SEPARATOR), self._macro(key, value))
        if value.startswith("$"):
            return self._expression(key, value[1:])
        if reference := _REFERENCE.fullmatch(value):
            return self._referred(key, reference[1])
        return value

    def _disabled(self, key: str, raw: Mapping[str, Any]) -> bool:
        flag = raw.get("_disabled_", False)
        if isinstance(flag, str):
            flag = self._within(f"{key}{_SEPARATOR}_disabled_", flag)
            flag = flag.strip().lower() == "true" if isinstance(flag, str) else flag
        return bool(flag)

    def _referred(self, key: str, name: str) -> Any:
        try:
            raw = self._raw(name)
        except KeyError as error:
            raise GeneratorError(
                f"{self.text}: key {key!r} of its config refers to {name!r}, which is not there"
            ) from error
        return self._within(name.replace("#", _SEPARATOR), raw)

    def _macro(self, key: str, value: str) -> Any:
        name = self._absolute(key, value)[1:]
        if not re.fullmatch(r"\w+(?:(?:::|#)\w+)*", name):
            raise GeneratorError(
                f"{self.text}: key {key!r} of its config takes {value!r} from another file, which "
                "is refused; copy the content in"
            )
        if len(self._open) > 100:
            raise self._too_large()
        self._open.append(key)
        try:
            return self._raw(name)
        except KeyError as error:
            raise GeneratorError(
                f"{self.text}: key {key!r} of its config copies {name!r}, which is not there"
            ) from error
        finally:
            self._open.pop()

    def _absolute(self, key: str, value: str) -> str:
        """`value` with ids like ``@::name``, relative to `key`, written out."""

        def write(match: re.Match[str]) -> str:
            up = len(match[2].replace(_SEPARATOR, "#"))
            base = key.split(_SEPARATOR)[:-up]
            return match[1] + "".join(part + _SEPARATOR for part in base)

        return _RELATIVE.sub(write, value)

    def _too_large(self) -> GeneratorError:
        return GeneratorError(f"{self.text} has a config that grows without end; it is refused")

    def _expression(self, key: str, expression: str) -> Any:
        shown = f"key {key!r} of its config is the expression {'$' + expression[:120]!r}"
        try:
            return understand(expression, lambda name: self._referred(key, name))
        except GeneratorError:
            raise
        except CodeError as error:
            if self._evaluate is not None:
                return self._evaluate(key)
            raise GeneratorError(
                f"{self.text}: {shown}, which would run code ({error}) and is refused; write its "
                "value as plain data, or pass --nriqm-trust if you trust whoever made it"
            ) from error
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise GeneratorError(f"{self.text}: {shown}, which fails ({brief(error)})") from error
