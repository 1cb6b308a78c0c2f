"""Look up and replace undocumented names of other packages. A missing name is an error. Pure.

A plain assignment to an attribute that a newer version has renamed succeeds and does nothing.
"""

import platform
import sys
from importlib.metadata import packages_distributions, version
from types import ModuleType
from typing import Any


class MissingName(AttributeError):
    """A package has no such name; the sentence says the package, its version and the purpose of the name."""


def require(owner: Any, name: str, purpose: str) -> Any:
    """The attribute of a module, a class or an object; `purpose` completes "StreamSpace needs it ...".

    Raises:
        MissingName: the owner has no such attribute.
    """
    try:
        return getattr(owner, name)
    except AttributeError:
        raise MissingName(
            f"{_release(owner)} has no {_path(owner)}.{name} any more. StreamSpace needs it {purpose}."
        ) from None


def patch(owner: Any, name: str, value: Any, purpose: str) -> None:
    """Replace an existing attribute; `purpose` and errors as in `require`."""
    require(owner, name, purpose)
    setattr(owner, name, value)


def _path(owner: Any) -> str:
    if isinstance(owner, ModuleType):
        return owner.__name__
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__module__}.{kind.__qualname__}"


def _release(owner: Any) -> str:
    """The name and version of the owner's distribution, or of Python for the standard library."""
    package = _path(owner).partition(".")[0]
    if package in sys.stdlib_module_names:
        return f"Python {platform.python_version()}"
    names = packages_distributions().get(package)
    return f"{names[0]} {version(names[0])}" if names else package
