"""huggingface_hub still has what it does not promise."""

import inspect
from importlib import import_module
from types import SimpleNamespace

import huggingface_hub
import pytest

from streamspace import hub_internals
from streamspace.patching import MissingName


@pytest.mark.parametrize(("module", "name"), hub_internals.NAMES)
def test_huggingface_hub_has_the_name(module: str, name: str) -> None:
    assert hub_internals.find(module, name) is getattr(import_module(f"huggingface_hub.{module}"), name)


def test_a_name_that_is_gone_is_told_with_its_library_version_and_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("huggingface_hub.utils._xet.abort_xet_session")
    with pytest.raises(MissingName) as caught:
        hub_internals.abort_xet()
    assert str(caught.value) == (
        f"huggingface_hub {huggingface_hub.__version__} has no huggingface_hub.utils._xet.abort_xet_session any more. "
        "StreamSpace needs it to end the downloads of xet when a download is cancelled."
    )


def test_the_bar_of_the_bytes_on_the_disk_has_its_title_still() -> None:
    source = inspect.getsource(import_module("huggingface_hub._snapshot_download"))
    assert f'desc="{hub_internals.DISK_BAR}' in source, (
        f"huggingface_hub {huggingface_hub.__version__} has no progress bar {hub_internals.DISK_BAR!r} in "
        "snapshot_download any more. StreamSpace needs it to show how many bytes are on the disk."
    )


def test_the_client_has_the_librarys_hooks_and_a_time_out_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 7)
    client = hub_internals._make_client()
    *others, limit_time = client.event_hooks["request"]
    assert [hook.__name__ for hook in others] == ["hf_request_event_hook"]
    request = SimpleNamespace(extensions={"timeout": {"connect": None, "read": 60, "write": 3}, "other": 1})
    limit_time(request)
    assert request.extensions == {"timeout": {"connect": 7, "read": 7, "write": 3, "pool": 7}, "other": 1}
