"""What a user's own file imports: ``from evo import dataset, evaluator, method, operation``.

Each decorator registers a name, the settings that go with it, and what makes it; from then on a configuration may choose it as
if it were built in. ``examples/`` has one of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from spaces.architecture import Op
from spaces.operations.grammar import defining_file, owner_file
from spaces.space import SearchSpace
from studies import config as settings_of
from studies import plugins
from studies.config import DataSection, EvaluatorSection, MethodSection, StudyConfig
from studies.plugins import Plugin

F = TypeVar("F", bound=Callable[..., Any])


def evaluator(kind: str, settings: type[EvaluatorSection] = EvaluatorSection) -> Callable[[F], F]:
    """Register a maker of evaluators: ``evaluator.kind = KIND``.

    The decorated function or class is called with the configuration and the run's first space, and gives an ``Evaluator``: an
    object with ``fit(space, context) -> Judge``. Its settings are ``config.evaluator``.

    Args:
        settings: the keys that ``[evaluator]`` may have.

    Raises:
        EvoError: the kind is taken, or the settings do not inherit from ``EvaluatorSettings``.
    """

    def registered(maker: F) -> F:
        from evo.evaluators.registry import EVALUATORS

        settings_of.register("evaluator", kind, settings, defining_file(maker))
        EVALUATORS[kind] = maker
        return maker

    return registered


def method(name: str, settings: type[MethodSection] = MethodSection) -> Callable[[F], F]:
    """Register a method: ``evolution.method = NAME``.

    The decorated function is called with its settings and the configuration, and gives an ``Evolution``: how to rate, keep
    and refill the operations of a space.

    Args:
        settings: the keys that ``[evolution]`` may have.

    Raises:
        EvoError: the name is taken, or the settings do not inherit from ``MethodSettings``.
    """

    def registered(maker: F) -> F:
        from evo.methods.registry import METHODS

        settings_of.register("evolution", name, settings, defining_file(maker))
        METHODS[name] = maker
        return maker

    return registered


def dataset(name: str, settings: type[DataSection] = DataSection) -> Callable[[F], F]:
    """Register a data set: ``data.name = NAME``.

    The decorated function is called with the section ``[data]``. It gives numpy arrays ``(x_train, y_train, x_test,
    y_test[, classes])``, with images ``(n, height, width[, channels])`` of uint8 or floats from 0 to 1; or a map-style
    ``Dataset`` of torch, whose items are an image and a label and of which every sixth is a test image; or two of these,
    ``(train, test)``. The names of classes are those in a data set's attribute ``classes``, where it has one.

    Args:
        settings: the keys that ``[data]`` may have.

    Raises:
        EvoError: the name is taken, or the settings do not inherit from ``DataSettings``.
    """

    def registered(maker: F) -> F:
        from evo.data.datasets import DATASETS

        settings_of.register("data", name, settings, defining_file(maker))
        DATASETS[name] = maker
        return maker

    return registered


def load_plugin(spec: str) -> None:
    """Load a file or an installed module with operations, evaluators, methods or data sets of your own, as a configuration's
    ``plugins`` do: before a delivered network that rests on it is loaded, for instance.

    Raises:
        EvoError: it is missing, or fails.
    """
    plugins.load_plugins([spec])


def used_plugins(config: StudyConfig, space: SearchSpace) -> dict[str, Plugin]:
    """The plugins that a run rests on: those that it names, and those of installed packages that define what it chooses."""
    ops = {op for layer in space.layers for op in layer.candidates + layer.pending}
    chosen = (type(config.evaluator), type(config.evolution), type(config.data))
    named = [plugins.loaded_as(spec) for spec in config.plugins]
    owners = [
        plugin for plugin in plugins.loaded_plugins() if any(plugins.owner_of(thing) == plugin for thing in chosen)
    ]
    return {plugin.spec: plugin for plugin in (*named, *owners, *_defining(ops))}


def operation_plugins(config: StudyConfig, ops: Iterable[Op]) -> list[Plugin]:
    """The plugins that a network of these operations cannot be built without: those whose files define some, or all that the
    configuration names where a file that one of them imports does."""
    ops = set(ops)
    defining = _defining(ops)
    elsewhere = {owner_file(op) for op in ops} - {None, *(plugin.path for plugin in defining)}
    named = [plugins.loaded_as(spec) for spec in config.plugins] if elsewhere else []
    return list({plugin.spec: plugin for plugin in (*defining, *named)}.values())


def _defining(ops: Iterable[Op]) -> list[Plugin]:
    files = {owner_file(op) for op in ops}
    return [plugin for plugin in plugins.loaded_plugins() if plugin.path in files]


def plugin_sources(config: StudyConfig, space: SearchSpace) -> dict[str, str]:
    """sha256 of each plugin that a run rests on, by its name."""
    return {f"plugin {plugin.name}": plugin.sha256 for plugin in used_plugins(config, space).values()}
