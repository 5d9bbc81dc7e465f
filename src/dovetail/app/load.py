"""What `dovetail run FILE` is given: a Python module or a YAML/JSON declaration."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from dovetail.errors import ConfigError, DeclarationError
from dovetail.runtime.handler import HandlerSpec
from dovetail.runtime.schedule import Schedule
from dovetail.service.declaration import Service, load_services
from dovetail.service.handlers import collect

_DECLARATIONS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Program:
    """Services, handlers and schedules of one file."""

    name: str
    services: list[Service] = field(default_factory=list)
    handlers: list[HandlerSpec] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)


def load_program(path: Path) -> Program:
    """
    Load a file.

    Raises:
        ConfigError: It does not exist, is of another kind, or fails when it is imported.
        DeclarationError: A service or handler in it is declared wrongly.
    """
    if not path.exists():
        raise ConfigError(f"There is no file {path}. Name a .py, .yaml, .yml or .json file.")
    if path.suffix in _DECLARATIONS:
        return Program(name=path.stem, services=load_services(path))
    if path.suffix != ".py":
        raise ConfigError(
            f"{path} is neither Python nor a declaration; name a .py, .yaml, .yml or .json file."
        )
    return program_of(_import(path))


def program_of(module: ModuleType) -> Program:
    """
    Return what a module declares.

    Raises:
        DeclarationError: There is neither a service nor a handler in it, or one is wrong.
    """
    services = [value for value in vars(module).values() if isinstance(value, Service)]
    handlers, schedules = collect(module)
    if not services and not handlers:
        raise DeclarationError(
            f"{module.__name__} declares nothing: no Service.create(...), no @on or @every "
            "function."
        )
    return Program(module.__name__, services, handlers, schedules)


def _import(path: Path) -> ModuleType:
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be loaded as a Python module.")
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs, as an ordinary import does, so that its annotations can be read.
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except ConfigError:
        raise
    except Exception as error:
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).resolve() == path.resolve()
        ]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise ConfigError(
            f"{path}{line}: {type(error).__name__}: {error}. The file fails when it is imported."
        ) from error
    return module
