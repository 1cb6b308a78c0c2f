"""The holder's state on the ways that do not end in a running engine."""

import asyncio
import errno
import json
import logging
import multiprocessing
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streamspace import forkserver, hardware, healing, starts
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import Engine, _sweep, set_environment
from streamspace.errors import EngineStopped
from streamspace.healing import Replica, Watchdog
from streamspace.patching import require
from streamspace.types import Status
from tests.support import final_status, wait_until

pytestmark = pytest.mark.xdist_group("processes")


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


def test_hardware_that_cannot_serve_is_a_failure_with_its_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(starts.ROOT, str(tmp_path))  # no earlier start has left there how long it took
    monkeypatch.setattr(hardware, "problem", lambda environ, built_for, driver: "The driver is too old.")
    assert final_status(Engine(load_config((), {}))) == Status("failed", "The driver is too old.")


def test_an_engine_that_dies_of_its_first_answer_has_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a model whose operations the CPU build lacks."""

    def load(engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        raise EngineStopped

    monkeypatch.setattr(Engine, "_load", load)
    monkeypatch.setattr(forkserver, "last_words", lambda wait_s: "AttributeError: '_C' has no attribute 'scan'")
    status = final_status(Engine(load_config((), {})))
    assert status.detail == (
        "vLLM could not start streamspace-tiny: its process failed: AttributeError: '_C' has no attribute 'scan' (the "
        "log has more)."
    )


def test_an_engine_that_is_stopped_while_it_loads_waits_for_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = threading.Event()

    def load(engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        loading.set()
        engine._stopping.wait()
        raise EngineStopped

    async def stop_early() -> None:
        engine = Engine(load_config((), {}))
        engine.start()
        await asyncio.to_thread(loading.wait)
        await engine.stop()

    asked: list[float] = []
    monkeypatch.setattr(Engine, "_load", load)
    monkeypatch.setattr(forkserver, "last_words", asked.append)
    asyncio.run(asyncio.wait_for(stop_early(), 60))
    assert not asked


def test_a_dying_engine_gets_the_time_to_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM tells of its death before its process has raised the exception."""
    words, writes = multiprocessing.Pipe(duplex=False)
    monkeypatch.setattr(forkserver, "_words", words)
    assert forkserver.last_words() == ""
    threading.Timer(0.3, writes.send, ["RuntimeError: why"]).start()
    assert forkserver.last_words(60) == "RuntimeError: why"
    writes.close()  # as of a process that was killed
    assert forkserver.last_words(60) == ""
    words.close()


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


def test_a_context_that_does_not_fit_whole_is_cut_to_what_fits_and_both_are_told(long_model: Path) -> None:
    memory = ["--kv-cache-memory-bytes", str(1 << 28), "--dtype", "bfloat16"]
    detail = final_status(Engine(load_config(["--model", str(long_model), *memory], {}))).detail
    found = re.fullmatch(r"Ready: the context holds (\d+) of the model's 524288 tokens", detail)
    assert found and 60_000 < int(found[1]) < 66_000, detail  # of 4 KiB each


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

    finished, is_dead = 2, True
    replicas: Sequence[Replica] = (Replica(0, 0.0),)


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
    assert final_status(built_as(Renamed, monkeypatch)).stage == "failed"
    assert "request_states any more" in caplog.text


def built_as(kind: type, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine that builds one of this kind after another, without pauses between."""

    def load(engine: Engine, loop: asyncio.AbstractEventLoop) -> Any:
        engine._vllm = built = kind()
        return built

    monkeypatch.setattr(healing, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(Engine, "_load", load)
    return Engine(load_config((), {}))


class Unwatchable(Renamed):
    """Lives, but its state cannot be asked for."""

    is_dead = property(lambda self: require(self, "errored", "to notice a dead engine"))


class Unstoppable(Dying):
    """Dies, and its shutdown fails."""

    async def abort_all(self) -> None: ...

    def shutdown(self, at_once: bool) -> None:
        raise PermissionError("not yours")


@pytest.mark.parametrize(
    ("kind", "on_the_page", "in_the_log"),
    [
        (Unwatchable, "The engine could not be watched any more: MissingName", "has no .*errored any more"),
        (Unstoppable, "The engine's process has died", "PermissionError: not yours"),
    ],
)
def test_whatever_fails_in_the_engines_thread_is_told_and_it_goes_on_to_an_end(
    kind: type, on_the_page: str, in_the_log: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = built_as(kind, monkeypatch)
    assert on_the_page in final_status(engine, 20).detail
    assert engine.num_restarts == healing.MOST_FAILURES - 1
    assert re.search(in_the_log, caplog.text) and "Traceback" in caplog.text


def test_a_fault_of_the_engines_thread_itself_is_told_and_retry_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object) -> None:
        raise SystemExit(3)

    engine = built_as(Unstoppable, monkeypatch)
    monkeypatch.setattr("streamspace.engine.collect_all", broken)

    async def ask_again() -> Status:
        engine.start()
        for num_restarts in range(2):
            while engine.status.stage != "failed" or engine.num_restarts < num_restarts:
                await asyncio.sleep(0.02)
            status = engine.status
            engine.retry()
        await engine.stop()
        return status

    detail = asyncio.run(asyncio.wait_for(ask_again(), 20)).detail
    assert detail == "The engine's own supervision failed: SystemExit (the log has more)."
    assert "SystemExit: 3" in caplog.text


def test_what_an_engine_leaves_and_cannot_be_removed_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "streamspace-x"
    (folder / "a folder").mkdir(parents=True)
    for name in ("a socket", "z socket"):
        (folder / name).touch()
    monkeypatch.setenv("VLLM_RPC_BASE_PATH", str(folder))
    _sweep({1})
    assert [path.name for path in folder.iterdir()] == ["a folder"] and "a folder is left" in caplog.text


def test_a_late_event_loop_does_not_get_an_engine_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its steps are told on that loop, so none is told while the loop stands still."""
    verdicts = []

    class Busy(Renamed):
        is_dead = False
        replicas = (Replica(1, 0.0),)

    class Recording(Watchdog):
        def __init__(self, deadline_s: float, now_s: float) -> None:
            super().__init__(1.0, now_s)

        def is_hung(self, now_s: float, loop_s: float, replicas: Sequence[Replica]) -> bool:
            verdicts.append(super().is_hung(now_s, loop_s, replicas))
            return verdicts[-1]

    engine = built_as(Busy, monkeypatch)
    monkeypatch.setattr("streamspace.engine.Watchdog", Recording)

    async def stand_still() -> None:
        engine.start()
        while not verdicts:
            await asyncio.sleep(0.01)
        time.sleep(2.5)  # on the loop
        assert len(verdicts) > 5 and not any(verdicts)
        while not any(verdicts):  # now the loop answers, and there is no step
            await asyncio.sleep(0.02)
        await engine.stop()

    asyncio.run(asyncio.wait_for(stand_still(), 30))


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


def test_work_beside_an_engines_process_begins_with_that_and_is_waited_for() -> None:
    done: list[str] = []
    with forkserver.beside(lambda: done.append("work")):
        time.sleep(0.1)
        assert not done
        process = forkserver.context.Process(target=int)
        process.start()
        wait_until(lambda: done, 60, "the work")
    process.join()
    with forkserver.beside(lambda: done.append("again")):  # no process begins
        pass
    assert done == ["work", "again"]


def test_work_beside_an_engines_process_may_fail() -> None:
    with forkserver.beside(lambda: 1 / 0):
        pass
