"""A user's own code: files and installed packages that register operations, evaluators, methods and data sets.

A configuration names them, ``plugins = ["my_ops.py", "my_package.module"]``; installed packages may also announce theirs in
the entry-point group ``evo.plugins``. A file is read once: what is hashed is what runs. Its text travels to worker processes,
so a worker on another machine needs no copy of it; a package must be installed there.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.abc import SourceLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from studies.records import EvoError

GROUP = "evo.plugins"
"""The entry-point group of installed packages."""


class PluginError(EvoError):
    """A plugin that is missing, broken, or not the one that was recorded."""


@dataclass(frozen=True)
class Plugin:
    """A plugin that this process has loaded.

    Attributes:
        spec: what the configuration calls it: a path that ends in ``.py``, or a module's dotted name.
        module: the name under which Python knows it.
        path: its file on the machine that loaded it first.
        sha256: of the file's content.
        text: the file's content; None: a package that must be installed.
    """

    spec: str
    module: str
    path: str
    sha256: str
    text: bytes | None = None

    @property
    def name(self) -> str:
        """The file's name, or the module's: what stays the same when a folder is moved."""
        return Path(self.spec).name if self.text is not None else self.spec


_LOADED: dict[str, Plugin] = {}
"""By the module's name."""

_STAND_INS: dict[str, Plugin] = {}
"""By the file's name: what stands in for a file that is no longer where a configuration says."""


def load_plugins(specs: Iterable[str], folders: Sequence[Path] = ()) -> list[Plugin]:
    """Load plugins, those that are loaded already once only.

    Args:
        specs: paths and module names, as a configuration has them.
        folders: where a relative path is looked for after the working directory.

    Raises:
        PluginError: a file or module is missing, or fails when it is run.
    """
    return [_load(spec, folders) for spec in specs]


def stand_in(specs: Iterable[str]) -> None:
    """Load plugins that a user gives beside a configuration. Each stands in for a file of its name that the configuration
    names and that is not there; whether it has the same content is checked where a run is continued.

    Raises:
        PluginError: as ``load_plugins``.
    """
    _STAND_INS.clear()
    _STAND_INS.update({plugin.name: plugin for plugin in load_plugins(specs)})


def load_installed() -> list[Plugin]:
    """Load what installed packages announce in ``GROUP``."""
    return [_load_module(entry.value.split(":")[0]) for entry in entry_points(group=GROUP)]


def loaded_plugins() -> tuple[Plugin, ...]:
    """Everything that this process has loaded, for the processes that work for it."""
    return tuple(_LOADED.values())


def install_plugins(plugins: Iterable[Plugin]) -> None:
    """Load what another process has loaded, from the text that it sent.

    Raises:
        PluginError: a package is not installed here, or is another version.
    """
    for plugin in plugins:
        if plugin.text is None:
            installed = _load_module(plugin.spec)
            if installed.sha256 != plugin.sha256:
                raise PluginError(
                    f"plugin {plugin.spec!r} is another version here (sha256 {installed.sha256[:12]}, expected "
                    f"{plugin.sha256[:12]}): install the same package everywhere"
                )
        elif plugin.module not in _LOADED:
            _execute(plugin)


def loaded_as(spec: str) -> Plugin:
    """The plugin that a checked configuration calls ``spec``: of those loaded under that name, the one loaded last.

    Raises:
        PluginError: none was, and there is no such file in the working directory.
    """
    same = [plugin for plugin in loaded_plugins() if plugin.spec == spec]
    alike = [plugin for plugin in loaded_plugins() if plugin.text is not None and plugin.name == Path(spec).name]
    return (same or alike or load_plugins([spec]))[-1]


def owner_of(thing: object) -> Plugin | None:
    """The plugin in which a class or function is defined; None: it is defined elsewhere."""
    module = getattr(thing, "__module__", "")
    package = module.split(".")[0]
    packages = (plugin for plugin in loaded_plugins() if plugin.text is None and plugin.module.split(".")[0] == package)
    return _LOADED.get(module) or next(packages, None)


def _load(spec: str, folders: Sequence[Path]) -> Plugin:
    if not spec.endswith(".py"):
        return _load_module(spec)
    places = [Path(spec), *(folder / spec for folder in folders)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        if (given := _STAND_INS.get(Path(spec).name)) is not None:
            return given
        looked = ", ".join(dict.fromkeys(str(place.absolute()) for place in places))
        raise PluginError(f"plugin {spec!r}: no such file (looked for {looked}); give its path with --plugin PATH")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise PluginError(f"plugin {spec!r}: {path} cannot be read: {error.strerror}") from None
    digest = sha256(text).hexdigest()
    plugin = Plugin(spec, f"evo_plugin_{path.stem}_{digest[:12]}", str(path.absolute()), digest, text)
    if plugin.module in _LOADED:
        _LOADED[plugin.module] = _LOADED.pop(plugin.module)  # now it is the one loaded last
        return _LOADED[plugin.module]
    return _execute(plugin)


def _load_module(name: str) -> Plugin:
    if name in _LOADED:
        return _LOADED[name]
    try:
        module = importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and name.startswith(error.name):
            raise PluginError(
                f"plugin {name!r}: no module {error.name!r} is installed; install its package in this environment, or give a "
                "file, whose name ends in .py: --plugin FILE.py"
            ) from None
        raise PluginError(f"plugin {name!r} {_failure(error, getattr(error, 'filename', None))}") from error
    path = Path(module.__file__ or "")
    if not path.is_file():
        raise PluginError(f"plugin {name!r} has no file of its own: name the module in it that registers something")
    _LOADED[name] = Plugin(name, name, str(path), sha256(path.read_bytes()).hexdigest())
    return _LOADED[name]


class _TextLoader(SourceLoader):
    """Runs the text that was hashed, whatever lies at the path by then."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def get_filename(self, fullname: str) -> str:
        return self.plugin.path

    def get_data(self, path: str) -> bytes:
        if path != self.plugin.path or self.plugin.text is None:
            raise OSError(path)  # no compiled file is looked for
        return self.plugin.text


def _execute(plugin: Plugin) -> Plugin:
    """Import a plugin's text as its module."""
    spec = importlib.util.spec_from_loader(plugin.module, _TextLoader(plugin))
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[plugin.module] = module
    _LOADED[plugin.module] = plugin
    linecache.checkcache(plugin.path)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[plugin.module], _LOADED[plugin.module]
        raise PluginError(f"plugin {plugin.spec!r} {_failure(error, plugin.path)}") from error
    return plugin


def _failure(error: Exception, path: str | None) -> str:
    """What went wrong in a plugin, and in which of its lines."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f"fails in line {line}" if line else "fails"
    return f"{where}: {error}" if isinstance(error, EvoError) else f"{where}: {type(error).__name__}: {error}"


@cache
def installed_once() -> None:
    """Load what installed packages announce, at most once in a process."""
    load_installed()
