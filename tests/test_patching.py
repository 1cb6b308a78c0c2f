"""Names of other packages that may go: a missing one is an error that says everything."""

from importlib.metadata import version
from types import SimpleNamespace

import gradio
import pytest

from streamspace.patching import MissingName, patch, require


def test_a_name_that_is_there_is_found_and_replaced() -> None:
    owner = SimpleNamespace(pace=1)
    assert require(owner, "pace", "to keep the pace") == 1
    patch(owner, "pace", 2, "to keep the pace")
    assert owner.pace == 2


def test_a_missing_name_is_never_made_and_the_error_says_everything() -> None:
    with pytest.raises(MissingName) as raised:
        patch(gradio, "no_such_name", 1, "to show that it is missed")
    assert str(raised.value) == (
        f"gradio {version('gradio')} has no gradio.no_such_name any more. "
        "StreamSpace needs it to show that it is missed."
    )
    assert not hasattr(gradio, "no_such_name")


def test_the_error_names_the_class_of_an_object() -> None:
    with pytest.raises(MissingName, match=r"^gradio [\d.]+ has no gradio\.blocks\.Blocks\.pace any more"):
        require(gradio.Blocks(), "pace", "to keep it")
    with pytest.raises(MissingName, match=r"^Python 3[\d.]+ has no types\.SimpleNamespace\.pace any more"):
        require(SimpleNamespace(), "pace", "to keep it")
