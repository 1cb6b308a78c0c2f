"""The holder's state on the ways that do not end in a running engine."""

import asyncio
import errno
import json
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from streamspace import forkserver, hardware, healing
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import Engine, set_environment
from streamspace.patching import require
from streamspace.types import Status
from tests.apps import App, health
from tests.support import Start

pytestmark = pytest.mark.xdist_group("processes")


def final_status(engine: Engine, seconds: float = 120) -> Status:
    async def load() -> Status:
        engine.start()
        while engine.status.stage in ("downloading", "loading"):
            await asyncio.sleep(0.02)
        status = engine.status
        await engine.stop()
        return status

    return asyncio.run(asyncio.wait_for(load(), seconds))


def test_a_model_that_cannot_be_had_is_a_failure_with_its_sentence() -> None:
    status = final_status(Engine(load_config(["--model", "./no/such/model"], {})))
    assert status.stage == "failed" and "./no/such/model" in status.detail


def test_an_engine_that_was_given_up_is_tried_again_when_it_is_asked_for() -> None:
    engine = Engine(load_config(["--model", "./no/such/model"], {}))

    async def ask_again() -> None:
        engine.start()
        for num_restarts in range(2):
            while engine.status.stage != "failed" or engine.num_restarts < num_restarts:
                await asyncio.sleep(0.02)
            engine.retry()
        await engine.stop()

    asyncio.run(asyncio.wait_for(ask_again(), 60))
    assert engine.num_restarts >= 1


def test_hardware_that_cannot_serve_is_a_failure_with_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "problem", lambda environ, built_for, driver: "The driver is too old.")
    assert final_status(Engine(load_config((), {}))) == Status("failed", "The driver is too old.")


def test_zerogpu_is_told_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    status = final_status(Engine(load_config(["--model", "org/never-asked-for"], {})))
    assert status.stage == "failed" and "ZeroGPU" in status.detail


def test_a_broken_model_fails_without_a_path_or_a_trace_on_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"x")
    status = final_status(Engine(load_config(["--model", str(folder)], {})))
    assert status.stage == "failed" and "broken" in status.detail
    assert str(tmp_path) not in status.detail and "\n" not in status.detail


@pytest.mark.parametrize("where", ["the sockets", "the process"])
def test_a_full_disk_fails_with_its_words_and_no_path(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/secret")

    monkeypatch.setattr(*((tempfile, "mkdtemp") if where == "the sockets" else (forkserver, "start")), full)
    set_environment.cache_clear()
    status = final_status(Engine(load_config((), {})))
    assert status.stage == "failed" and "No space left on device" in status.detail
    assert "/tmp" not in status.detail


@pytest.fixture
def long_model(tmp_path: Path) -> Path:
    """The bundled model with a context of half a million tokens: 2 GiB of KV cache or more, and little else."""
    folder = tmp_path / "long"
    shutil.copytree(BUNDLED_MODEL, folder)
    config = json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": 524288}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_context_that_does_not_fit_whole_is_cut_to_what_fits_and_both_are_told(
    long_model: Path, start: Start, tmp_path: Path
) -> None:
    memory = ("--kv-cache-memory-bytes", str(1 << 28), "--dtype", "bfloat16")
    app = App(start, tmp_path / "log", "--model", str(long_model), *memory)
    app.wait(200)
    detail = health(app.port)[1]["detail"]
    found = re.fullmatch(r"Ready: the context holds (\d+) of the model's 524288 tokens", detail)
    assert found and 60_000 < int(found[1]) < 66_000, detail  # of 4 KiB each
    app.answer_once()


def test_a_whole_context_gets_its_memory_without_a_flag(long_model: Path) -> None:
    engine = Engine(load_config(["--model", str(long_model)], {}))
    assert final_status(engine).detail == "Ready: the context holds 524288 tokens"


def test_a_context_that_cannot_be_had_is_one_sentence_at_once(long_model: Path) -> None:
    wanted = ["--model", str(long_model), "--kv-cache-memory-bytes", str(1 << 28), "--dtype", "bfloat16"]
    engine = Engine(load_config([*wanted, "--max-model-len", "500000"], {}))
    status = final_status(engine)
    found = re.fullmatch(
        r"vLLM could not start long: a context of 500000 tokens needs 1\.91 GiB of KV cache, and there are 0\.25 GiB: "
        r"set --max-model-len (\d+), or leave it out for the longest that fits, or .*--kv-cache-memory-bytes\.",
        status.detail,
    )
    assert found and 60_000 < int(found[1]) < 66_000, status.detail
    assert engine.num_restarts == 0

    most = final_status(Engine(load_config(["--max-model-len", "4096"], {}))).detail
    assert most.endswith(
        ": --max-model-len 4096 is more than the 2048 tokens of the model's context: set at most 2048."
    )


class Dying:
    """In the place of a VllmEngine: it has answered its two warm-ups, and dies as soon as it is ready."""

    finished, unfinished, last_step_s, is_dead = 2, 0, 0.0, True


def test_an_engine_that_dies_after_its_warm_up_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(Engine, "_load", lambda self, loop: Dying())
    engine = Engine(load_config((), {}))
    assert "The engine's process has died" in final_status(engine, 10).detail
    assert engine.num_restarts == healing.MOST_FAILURES - 1


class Renamed(Dying):
    """The same on a vLLM that has lost the name by which answers are ended."""

    async def abort_all(self) -> None:
        require(self, "request_states", "to end all answers under way")

    def shutdown(self, at_once: bool) -> None: ...


def test_a_name_of_vllm_that_is_missing_when_an_engine_is_ended_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load(engine: Engine, loop: asyncio.AbstractEventLoop) -> Renamed:
        engine._vllm = built = Renamed()  # type: ignore[assignment]
        return built

    monkeypatch.setattr(healing, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(Engine, "_load", load)
    assert final_status(Engine(load_config((), {}))).stage == "failed"
    assert "request_states any more" in caplog.text


def test_stopping_while_it_loads_ends_the_loading() -> None:
    engine = Engine(load_config((), {}))

    async def stop_early() -> None:
        engine.start()
        await asyncio.sleep(0.5)
        await engine.stop()

    asyncio.run(asyncio.wait_for(stop_early(), 15))
    assert engine.status.stage == "failed" and "shutting down" in engine.status.detail


@pytest.mark.parametrize("gpu", [True, False])
def test_only_a_cpu_gets_libraries_to_preload_and_says_so_once(
    gpu: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hardware, "has_gpu", lambda environ: gpu)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    with caplog.at_level(logging.INFO, "streamspace"):
        set_environment.__wrapped__(load_config((), {}))
    assert [record.message.partition(" preloads ")[0] for record in caplog.records] == (
        [] if gpu else ["On the CPU, vLLM"]
    )
    if gpu:
        assert not [name for name in os.environ if name.startswith(("LD_", "KMP_", "OMP_", "TORCH_"))]


def test_openmp_settings_of_the_operator_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "LD_PRELOAD": "libiomp5.so",
        "KMP_BLOCKTIME": "200",
        "OMP_NUM_THREADS": "7",
        "VLLM_CPU_OMP_THREADS_BIND": "0",
    }
    monkeypatch.setattr(hardware, "has_gpu", lambda environ: False)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], **given})
    set_environment.__wrapped__(load_config((), {}))
    assert given.items() <= os.environ.items() and "proclist=[0]" in os.environ["KMP_AFFINITY"]
