"""Groups of components in one flat list, as Gradio takes them, and the values that come back, group by group."""

from collections.abc import Sequence
from typing import Any


class Inputs:
    """Each group is a component, or a list of several; their order is that of the arguments."""

    def __init__(self, **groups: Any) -> None:
        self._groups = groups

    @property
    def components(self) -> list[Any]:
        """All of them, in one list."""
        return [part for group in self._groups.values() for part in (group if isinstance(group, list) else [group])]

    def split(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of all components by group: one value, or a list of as many as the group has.

        Raises:
            StopIteration: there are too few; Streams has refused such a request.
        """
        left = iter(values)
        return {
            name: [next(left) for _ in group] if isinstance(group, list) else next(left)
            for name, group in self._groups.items()
        }
