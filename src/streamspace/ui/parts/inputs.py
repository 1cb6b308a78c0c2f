"""Groups of components as one flat list for Gradio, and the values that Gradio sends for it, by group."""

from collections.abc import Sequence
from typing import Any


class Inputs:
    """Each group is a component, or a list of components; the order is that of the arguments."""

    def __init__(self, **groups: Any) -> None:
        self._groups = groups
        self.components: list[Any] = []
        for group in groups.values():
            self.components += group if isinstance(group, list) else [group]

    def split(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of all components by group: one value, or a list of as many as the group has.

        Raises StopIteration if there are too few, but `Streams` refuses such a request before.
        """
        left, groups = iter(values), self._groups.items()
        return {name: [next(left) for _ in each] if isinstance(each, list) else next(left) for name, each in groups}
