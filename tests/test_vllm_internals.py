"""What we use of vLLM, PyTorch and Python beyond their documentation is there; what is missing is named."""

import argparse
import asyncio
import atexit
import importlib.metadata
import inspect
import multiprocessing.forkserver
import re
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from streamspace import config, vllm_internals
from streamspace.errors import ConfigError
from streamspace.patching import MissingName, require
from streamspace.process import WORKER_TITLE
from streamspace.vllm_internals import NAMES, Name, find

OTHERS = [
    (torch.cpu, "_init_amx"),
    (atexit, "_run_exitfuncs"),
    (multiprocessing.forkserver, "_forkserver"),
    (multiprocessing.forkserver._forkserver, "_forkserver_pid"),
    (argparse.ArgumentParser(), "_option_string_actions"),
]


def look_up(name: Name) -> None:
    """As `find`; what only instances have must be set in the source of their class."""
    if not name.is_of_instances:
        find(name)
        return
    owner, _, attribute = name.path.rpartition(".")
    kind = find(Name(owner, name.purpose))
    if not any(re.search(rf"self\.{attribute}\b.* = ", inspect.getsource(base)) for base in kind.__mro__[:-1]):
        require(kind, attribute, name.purpose)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.path.partition(":")[2])
def test_vllm_has_every_name(name: Name) -> None:
    look_up(name)


@pytest.mark.parametrize(("owner", "name"), OTHERS, ids=[name for _, name in OTHERS])
def test_python_and_pytorch_have_theirs(owner: Any, name: str) -> None:
    require(owner, name, "to work")


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.path.partition(":")[2])
def test_a_name_that_is_gone_is_named_with_its_version_and_purpose(name: Name) -> None:
    with pytest.raises(MissingName) as missing:
        look_up(Name(f"{name.path}_renamed", name.purpose, is_of_instances=name.is_of_instances))
    attribute = re.split(r"[:.]", name.path)[-1]
    assert re.search(
        rf"^vllm\S* {re.escape(version())} has no vllm\..*\.{attribute}_renamed any more", str(missing.value)
    )
    assert str(missing.value).endswith(f"StreamSpace needs it {name.purpose}.")


def version() -> str:
    (distribution, *_) = importlib.metadata.packages_distributions()["vllm"]
    return importlib.metadata.version(distribution)


def test_what_is_patched_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module(vllm_internals.CONTEXT.path.partition(":")[0])
    monkeypatch.delattr(module, "get_mp_context")
    with pytest.raises(
        MissingName, match=r"get_mp_context any more\. StreamSpace needs it to have the engine's process"
    ):
        vllm_internals.use_context(multiprocessing.get_context())
    assert not hasattr(module, "get_mp_context")


@pytest.mark.parametrize("renamed", ["lora_requests", "show_available_models", "default_sampling_params"])
def test_a_server_of_another_shape_is_refused(renamed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these was once an assignment, which would have succeeded and done nothing."""

    async def init(client: Any, state: Any, args: Any, tasks: Any) -> None:
        async def show() -> Any: ...

        state.openai_serving_models = SimpleNamespace(lora_requests={}, show_available_models=show)
        state.openai_serving_chat = state.openai_serving_completion = SimpleNamespace(default_sampling_params={})
        for part in (state.openai_serving_models, state.openai_serving_chat):
            vars(part).pop(renamed, None)

    real_find = find
    monkeypatch.setattr(
        vllm_internals, "find", lambda name: init if name.path.endswith("init_app_state") else real_find(name)
    )
    app = SimpleNamespace(state=SimpleNamespace(args=None))
    with pytest.raises(MissingName, match=renamed):
        asyncio.run(vllm_internals.start_server(app, None, {}, 1))


def test_workers_have_the_title_by_which_they_are_known() -> None:
    executor = inspect.getsource(import_module("vllm.v1.executor.multiproc_executor"))
    titles = inspect.getsource(import_module("vllm.utils.system_utils"))
    assert f'process_name = "{WORKER_TITLE.removeprefix("::")}"' in executor and "set_process_title(" in executor
    assert 'f"{prefix}::{name}"' in titles


def test_a_vllm_without_flags_in_its_text_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_flag_source", lambda: "class EngineArgs: ...")
    with pytest.raises(ConfigError, match=r"has no flags in vllm/engine/arg_utils\.py any more"):
        config.engine_flags()
