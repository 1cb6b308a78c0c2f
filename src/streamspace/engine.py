"""The holder of the engine: it loads the model in a thread, says its state, streams, restarts and shuts down.

app.py makes it; the server starts it on its event loop, on which it serves every visitor. It holds one
`streamspace.llm.VllmEngine` after another, each with its `streamspace.openai_vllm`. The engine's thread imports both
after the page is up, then watches the engine and builds another one when `streamspace.healing` says so.
"""

import asyncio
import atexit
import logging
import multiprocessing
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamspace import fits, forkserver, hardware, starts
from streamspace.config import Config
from streamspace.download import Progress, check_whole, fetch
from streamspace.errors import (
    ConfigError,
    EngineError,
    EngineNotReady,
    EngineRestarting,
    EngineStopped,
    StreamSpaceError,
)
from streamspace.healing import NOBODY, Failures, Watchdog
from streamspace.metrics import RESTARTS
from streamspace.model_files import ADAPTER, kind_of_model
from streamspace.patching import MissingName
from streamspace.pictures import MOST_PIXELS
from streamspace.process import (
    collect_all,
    collect_rarely,
    has_ended,
    unchanged_log_levels,
    workers_of,
)
from streamspace.reasons import PROCESS_FAILED, quoted, reason
from streamspace.sampling import Settings
from streamspace.stats import Facts, Stats
from streamspace.suspects import Blame, Suspects
from streamspace.translation import Sentence
from streamspace.types import Delta, Message, Prompt, Status, ToolSpec

if TYPE_CHECKING:  # importing it for real takes 5 to 10 seconds, which the page must not wait for
    from starlette.types import ASGIApp

    from streamspace.llm import VllmEngine

log = logging.getLogger(__name__)

LAST_WORDS_S = 2.0  # vLLM tells of a death at the start before the process that dies has said why
NUM_STEPS = 4  # on the way to ready: files, vLLM, weights, warm-up
STOP_S = 7.0  # how long the engine's thread may take to end, 5 of them for vLLM's own shutdown
BUILD_STOP_S = 4.0  # the same while it loads; an import of vLLM cannot be interrupted at all
WATCH_S = 0.2  # between two checks of the engine; a stream that breaks off causes one at once
WARM_UP_S = 300.0  # how long a new engine may take over its first answer, compilation included
RELEASE_S = 2.0  # how long the streams of a broken engine may take to end
SOCKETS = "streamspace-"  # prefix of the folder that an engine's sockets are in
_RESTARTING = Status("restarting", Sentence("The engine has broken down and is being restarted"), 0, NUM_STEPS)


@dataclass(frozen=True)
class _Life:
    """How one engine ended."""

    cause: str  # a sentence, for everybody
    may_heal: bool
    lived_s: float = 0.0  # since it was ready
    num_answers: int = 0
    blame: Blame = NOBODY


class Engine:
    """One engine for every visitor.

    `start` must be called on the event loop that will stream; `stop` must be called in the end. All other methods are
    for that loop alone; `status` may be read from any thread. The attributes are to be read only.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._status = Status("loading", Sentence("Starting"), 0, NUM_STEPS)
        self._vllm: VllmEngine | None = None
        self._openai: ASGIApp | None = None
        self.max_prompt_tokens = config.max_prompt_tokens  # the operator's limit; 0 is as many as the context holds
        self.images_per_message = config.images_per_message
        self.max_seconds: float = config.max_seconds  # the operator's limit for one answer
        # These are set when the engine is first ready.
        self.max_model_len: int | None = None  # tokens that the context holds, prompt and answer together
        self.capacity: int | None = None  # requests that the engine works on at once (its max_num_seqs)
        self.most_images = 0  # pictures that one conversation may have; 0 where the model sees none
        self.reads_media = False  # pictures and the like, in requests to /v1
        self.thinks: bool | None = None  # whether the chat template asks for thoughts; None if it has no switch
        self.facts: Facts | None = None
        self.defaults = Settings(max_tokens=1024, seed=None)  # those that the model recommends; a guess before
        self._stopping = threading.Event()
        self._wake = threading.Event()  # has the engine's thread check the engine at once
        self._again = threading.Event()  # has it try again after the engine was given up
        self._usual_s = 0  # how long a start takes, from the last ones
        self._began_s = 0.0
        self._has_kept = False  # whether the start under way uses what an earlier one has left
        self._is_renewed = False
        self._folders: tuple[Path, Mapping[str, Path]] | None = None  # of the model; of each adapter, by name
        self._thread: threading.Thread | None = None
        self._processes: set[BaseProcess] = set()  # of the newest engine
        self._pids: set[int] = set()
        self._suspects = Suspects()
        self._beat_s = 0.0  # when the event loop last answered the engine's thread, by the monotonic clock
        self._others: set[BaseProcess] = set()  # children of this process that are not the engine's
        self.stats = Stats()
        self.num_restarts = 0  # since the start of the app, failed attempts included
        self.operator_key = secrets.token_urlsafe(16)  # lets a reader of the log use `operator_routes`

    @property
    def status(self) -> Status:
        """What the engine is doing now."""
        vllm = self._vllm  # read once: the engine's thread may set it to None at any time
        return _RESTARTING if self._status.stage == "ready" and vllm and vllm.is_dead else self._status

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def running(self) -> int:
        """How many requests the engine works on."""
        return vllm.running if (vllm := self._vllm) else 0

    @property
    def waiting(self) -> int:
        """How many requests wait in the engine's own queue."""
        return vllm.waiting if (vllm := self._vllm) else 0

    @property
    def openai(self) -> "ASGIApp":
        """vLLM's own OpenAI routes on the engine of now; raises EngineNotReady if there is none."""
        self._ready()
        if self._openai is None:
            raise EngineNotReady(self.status.detail)
        return self._openai

    def begin_import(self) -> None:
        """Have vLLM imported in another process, beside the page's own imports; `start` does it otherwise."""
        with suppress(ConfigError, OSError):  # `start` tells of them
            set_environment(self.config)
            if hardware.problem(os.environ, None, None) is None:
                forkserver.start()

    def start(self) -> None:
        """Begin to load, in a thread; returns at once. `status` shows the progress, failures included."""
        try:
            set_environment(self.config)
        except ConfigError as error:
            self._set_status(Status("failed", error.sentence))
            return
        self._usual_s, self._began_s = starts.usual_s(os.environ, self._kind), time.monotonic()
        self._others = set(multiprocessing.active_children())
        loop = asyncio.get_running_loop()
        # A daemon, so that the process can end during an import of vLLM, which cannot be interrupted.
        self._thread = threading.Thread(target=self._run, args=(loop,), name="engine", daemon=True)
        self._thread.start()

    def retry(self) -> None:
        """Try again to build an engine that was given up; does nothing in any other state."""
        if self.status.stage == "failed":
            self._again.set()

    async def stop(self) -> None:
        """Abort all answers and stop the engine's processes; also while it loads, and if it never started."""
        self._status, is_built = Status("failed", Sentence("The app is shutting down.")), self._vllm is not None
        for event in (self._stopping, self._wake, self._again):
            event.set()
        thread, self._thread = self._thread, None  # a second call has nothing to wait for
        if thread is not None:
            await asyncio.to_thread(self._join, thread, is_built)

    async def render_chat(
        self, messages: Sequence[Message], enable_thinking: bool | None = None, tools: Sequence[ToolSpec] = ()
    ) -> Prompt:
        """As `VllmEngine.render_chat`; raises EngineNotReady too."""
        return await self._ready().render_chat(messages, enable_thinking, tools)

    async def render_text(self, text: str) -> Prompt:
        """As `VllmEngine.render_text`; raises EngineNotReady too."""
        return await self._ready().render_text(text)

    def resumed(self, prompt: Prompt, token_ids: Sequence[int]) -> Prompt:
        """As `VllmEngine.resumed`; raises EngineNotReady too."""
        return self._ready().resumed(prompt, token_ids)

    def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        """As `VllmEngine.generate`; raises EngineNotReady at once."""
        return self._ready().generate(prompt, settings, ended)

    def is_queued(self, ended: asyncio.Event) -> bool:
        """Whether the request of this event, an argument of `generate`, waits in the engine's queue."""
        vllm = self._vllm
        return vllm is not None and vllm.is_queued(ended)

    async def rest(self) -> None:
        """Let go of what is kept for later requests, unless one is under way."""
        if self.status.stage == "ready" and (vllm := self._vllm):
            await vllm.rest()

    def check_ready(self) -> None:
        """Raises EngineNotReady unless an answer can begin now."""
        self._ready()

    def _ready(self) -> "VllmEngine":
        status, vllm = self.status, self._vllm
        if status.stage == "restarting":
            raise EngineRestarting
        if status.stage != "ready" or vllm is None:
            raise EngineNotReady(status.detail)
        return vllm

    @property
    def _kind(self) -> str:
        """By what starts take the same time."""
        config = self.config
        flags = *config.engine_arguments, *(f"{flag}={value}" for flag, value in config.engine_environ)
        return " ".join((config.model, config.revision or "", *flags))

    def _set_status(self, status: Status) -> None:
        status = replace(status, usual_s=self._usual_s)
        if not self._stopping.is_set():
            if status.detail != self._status.detail:
                log.info("%s", status.detail)
            self._status = status

    def _set_step(self, number: int, words: Sentence) -> None:
        """A step on the way to ready, as part of a longer sentence if this is a restart."""
        if self.max_model_len is None:
            self._set_status(Status("loading", words, number, NUM_STEPS))
        else:
            step = Sentence(words[0].lower() + words[1:])
            detail = Sentence("The engine has broken down and is being restarted: {step}", step=step)
            self._set_status(replace(_RESTARTING, detail=detail, done=number))

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """The engine's thread, from start to stop: one engine after another; after too many failures, it waits."""
        failures = Failures()
        while not self._stopping.is_set():
            try:
                failures = self._live_and_end(loop, failures)
            except BaseException as error:  # else the state of now would stand for ever, and nobody would build again
                log.exception("The engine's thread has failed")
                name = type(error).__name__
                failures = self._give_up(loop, f"The engine's own supervision failed: {name} (the log has more).")
            if not self._stopping.is_set():
                self.num_restarts += 1
                RESTARTS.inc()
        self._drop(loop)

    def _live_and_end(self, loop: asyncio.AbstractEventLoop, failures: Failures) -> Failures:
        """One engine from its start to its end, and the pause after it; returns the row of failures."""
        life = self._live(loop)
        if self._stopping.is_set():
            return failures
        failures = failures.after(life.lived_s, life.num_answers, life.blame)
        if not life.may_heal or failures.are_too_many:
            return self._give_up(loop, life.cause)
        waiting, again = Sentence("Waiting for the next attempt"), Sentence("Beginning again")
        self._set_step(0, waiting if failures.pause_s else again)
        log.warning("%s It is built again in %g s.", life.cause, failures.pause_s)
        self._drop(loop)
        self._stopping.wait(failures.pause_s)
        return failures

    def _give_up(self, loop: asyncio.AbstractEventLoop, cause: str) -> Failures:
        """Say so, and wait for `retry` or `stop`; returns a new row of failures."""
        self._set_status(Status("failed", cause))
        log.error("The engine is given up. To have it tried again, open /retry?key=%s", self.operator_key)
        try:
            self._drop(loop)
        except BaseException:
            log.exception("The engine that was given up could not be ended")
        self._again.wait()
        self._again.clear()
        return Failures()

    def _live(self, loop: asyncio.AbstractEventLoop) -> "_Life":
        """Load an engine and watch it to its end."""
        try:
            vllm = self._load(loop)
        except EngineStopped as error:
            if self._stopping.is_set():
                return _Life(error.sentence, may_heal=False)
            return self._not_started(RuntimeError(PROCESS_FAILED))  # it has died of its first answer
        except StreamSpaceError as error:
            return _Life(error.sentence, may_heal=False)
        except Exception as error:
            if not self._stopping.is_set():
                log.exception("The engine did not start")
            return self._not_started(error)
        ready_s, num_warm_ups = time.monotonic(), vllm.finished
        try:
            cause, is_own = self._watch(vllm, loop), False
        except Exception as error:
            log.exception("The engine could not be watched")
            cause = f"The engine could not be watched any more: {type(error).__name__} (the log has more)."
            is_own = True
        blame = self._blame(loop, is_own)
        return _Life(cause, True, time.monotonic() - ready_s, vllm.finished - num_warm_ups, blame)

    def _blame(self, loop: asyncio.AbstractEventLoop, is_own: bool) -> Blame:
        """Whose requests broke the engine, before their streams are ended; nobody's if the fault `is_own`."""
        # The kernel kills so when memory is short, and a person may; what a request causes is an exception or a crash.
        by_itself = all(process.exitcode != -signal.SIGKILL for process in self._processes)

        async def look_into() -> Blame:
            return self._suspects.spare() if is_own else self._suspects.died(by_itself)

        if self._stopping.is_set():
            return NOBODY
        try:
            return asyncio.run_coroutine_threadsafe(look_into(), loop).result(RELEASE_S)
        except TimeoutError:  # of a late loop
            return NOBODY

    def _not_started(self, error: Exception) -> "_Life":
        if isinstance(error, TimeoutError):
            late = f"vLLM could not start {self.config.model_name}: its first answer took longer than {WARM_UP_S:g} s."
            return _Life(late, may_heal=True)
        words = forkserver.last_words(LAST_WORDS_S) if PROCESS_FAILED in str(error) else ""
        why = reason(error, words, self.config, hardware.has_gpu(os.environ))
        if why.may_heal and self._has_kept and not self._is_renewed:
            self._is_renewed = True
            starts.renew(os.environ)
        return _Life(why.sentence, why.may_heal)

    def _load(self, loop: asyncio.AbstractEventLoop) -> "VllmEngine":
        """Files → vLLM → weights → warm-up → ready; raises whatever fails on the way."""
        if problem := hardware.problem(os.environ, None, None):
            raise EngineError(problem)
        forkserver.start()
        self._has_kept = starts.is_kept(os.environ)
        self._check_flags()
        if self._folders is None:
            threading.Thread(target=_import_vllm, name="import-vllm", daemon=True).start()  # beside the download
        self._folders = self._folders or self._fetch()  # only once: a restart needs no network
        folder, adapters = self._folders
        self._set_step(1, Sentence("Starting vLLM"))
        if hardware.has_gpu(os.environ):
            starts.read_ahead(folder.glob("*.safetensors"), hardware.free_ram_bytes() // 2, self._stopping)
        from streamspace import flags, llm

        if problem := hardware.problem(os.environ, llm.CUDA_VERSION, hardware.driver_cuda_version()):
            raise EngineError(problem)
        args = flags.engine_args(self.config, folder, adapters.values())
        self._set_step(2, Sentence("Loading the weights"))
        template = flags.chat_template(self.config, folder)
        parser = flags.tool_parser(self.config, folder)
        with forkserver.beside(self._import_server):  # there is nothing else to do then
            built = self._vllm = llm.VllmEngine(args, self.stats, adapters, self._wake.set, template, parser)
        self._processes = self._children()
        self._pids = {process.pid for process in self._processes if process.pid}
        if self._stopping.is_set():  # the loop for the warm-up may be gone
            raise EngineStopped
        asyncio.run_coroutine_threadsafe(built.load_adapters(), loop).result(WARM_UP_S)
        self._set_step(3, Sentence("Warming up"))
        warming = asyncio.run_coroutine_threadsafe(built.warm_up(), loop)
        if self.config.serves_openai:
            self._serve_openai(built, folder, loop)
        warming.result(WARM_UP_S)
        self._begin(built, loop)
        return built

    def _import_server(self) -> None:
        if self.config.serves_openai:
            with unchanged_log_levels():
                from streamspace import openai_vllm

                openai_vllm.prepare()

    def _serve_openai(self, built: "VllmEngine", folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        with unchanged_log_levels():
            from streamspace import openai_vllm

            app = openai_vllm.build(self.config, folder, built)
        asyncio.run_coroutine_threadsafe(openai_vllm.start(app, built, self.config), loop).result(WARM_UP_S)
        self._openai = app

    def _begin(self, built: "VllmEngine", loop: asyncio.AbstractEventLoop) -> None:
        """Take over what the engine says of itself, and be ready."""
        self.max_model_len, self.capacity, self.defaults = built.max_model_len, built.capacity, built.defaults
        self.thinks, self.facts, self.reads_media = built.thinks, built.facts, built.reads_media
        self.most_images = built.most_images
        built.suspects = self._suspects
        loop.call_soon_threadsafe(self.stats.begin, built.num_replicas)
        collect_rarely()
        if self.num_restarts == 0:
            starts.remember(os.environ, self._kind, time.monotonic() - self._began_s)
        self._set_status(Status("ready", _ready_sentence(built), NUM_STEPS, NUM_STEPS))

    def _check_flags(self) -> None:
        """Have vLLM check its own flags, if any are set, before anything is fetched; raises ConfigError."""
        if self._folders is None and (self.config.engine_arguments or self.config.engine_environ):
            self._set_step(0, Sentence("Checking vLLM's flags"))
            from streamspace import flags

            flags.chat_template(self.config, Path(self.config.model))

    def _watch(self, vllm: "VllmEngine", loop: asyncio.AbstractEventLoop) -> str:
        """Wait until the engine or one of its workers dies, or it hangs, or `stop` is called; returns the cause.

        vLLM reports a dead worker too, but only after it has waited 4 s for the others.
        """
        workers = workers_of(self._pids)
        watchdog = Watchdog(self.config.hang_timeout, time.monotonic())
        while not self._stopping.is_set():
            if vllm.is_dead:
                return f"The engine's process has died{quoted(forkserver.last_words(), self.config)}."
            if any(has_ended(worker) for worker in workers):
                return "One of the engine's workers has died (the log may say why)."
            if watchdog.is_hung(time.monotonic(), self._beat_s, vllm.replicas):
                return f"The engine hung: it had work and made no step for {watchdog.deadline_s:g} s."
            with suppress(RuntimeError):  # the loop is closed, so `stop` comes
                loop.call_soon_threadsafe(self._beat)
            self._wake.wait(WATCH_S)
            self._wake.clear()
        return ""

    def _beat(self) -> None:
        """The heartbeat of the event loop, on which the engine's steps are told too."""
        self._beat_s = time.monotonic()

    def _drop(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is left of the engine: its streams, its processes, and its memory. Whatever fails is in the log."""
        vllm, self._vllm, self._openai = self._vllm, None, None
        if vllm is None:
            return
        self._end_streams(vllm, loop)
        try:
            vllm.shutdown(at_once=not self._stopping.is_set())
        except Exception:
            log.exception("The engine could not be shut down; its processes are killed")
            for child in self._children():
                child.kill()
        del vllm
        collect_all()
        _sweep(self._pids)

    def _end_streams(self, vllm: "VllmEngine", loop: asyncio.AbstractEventLoop) -> None:
        """To be done first: after `shutdown` alone, the streams of a hung engine could wait for ever."""
        try:
            loop.call_soon_threadsafe(self.stats.end)
            asyncio.run_coroutine_threadsafe(vllm.abort_all(), loop).result(RELEASE_S)
        except MissingName:
            log.exception("The answers under way could not be ended")
        except Exception as error:  # from a dead engine's client, or because the loop is closed
            log.debug("Nothing left to abort: %r", error)

    def _fetch(self) -> tuple[Path, Mapping[str, Path]]:
        """The folders of the model and of the adapters, after a download if they are on the hub."""
        config = self.config

        def options(name: str) -> dict[str, Any]:
            def on_progress(progress: Progress) -> None:
                detail = Sentence("Downloading {name}", name=name)
                self._set_status(Status("downloading", detail, progress.done_bytes, progress.total_bytes))

            return {"token": config.hf_token, "on_progress": on_progress, "cancelled": self._stopping}

        kind = kind_of_model(config.trusts_remote_code)

        def check(weights: fits.Weights) -> None:
            fits.check(config, weights, fits.machine(os.environ))

        model = fetch(config.model, kind, revision=config.revision, check=check, **options(config.model_name))
        check_whole(config.model_name, model, kind, with_tokenizer=config.has_own_tokenizer)
        return model, {a.name: fetch(a.source, ADAPTER, **options(a.name)) for a in config.adapters}

    def _join(self, thread: threading.Thread, is_built: bool) -> None:
        """End a build under way (vLLM's constructor raises once its process is gone), then wait for the thread."""
        if not is_built:
            for child in self._children():
                child.terminate()
        thread.join(STOP_S if is_built else BUILD_STOP_S)

    def _children(self) -> set[BaseProcess]:
        return set(multiprocessing.active_children()) - self._others


@cache
def set_environment(config: Config) -> None:
    """Set what vLLM and PyTorch read when imported, unless the operator has. Raises ConfigError without disk space."""
    try:
        sockets = tempfile.mkdtemp(prefix=SOCKETS)  # else engines leave their sockets in the system's own folder
    except OSError as error:
        sentence = f"No temporary folder can be made ({error.strerror}): make room, or set TMPDIR to another."
        raise ConfigError(sentence) from None
    atexit.register(shutil.rmtree, sockets, ignore_errors=True)
    wanted = {
        "VLLM_RPC_BASE_PATH": sockets,
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # this process has threads, so a fork of it is unsafe
        **hardware.own_address(),
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENFORCE_STRICT_TOOL_CALLING": "0",  # it uses tags that llguidance cannot read; else a schema
        "VLLM_MAX_IMAGE_PIXELS": str(MOST_PIXELS),  # its own limit is half a gigabyte for one picture
        "VLLM_LOGGING_LEVEL": "WARNING",  # its INFO fills a page; failures are WARNING or above
    }
    wanted |= starts.variables(os.environ)
    if shutil.which("nvcc") is None:
        wanted["VLLM_USE_FLASHINFER_SAMPLER"] = "0"  # nvcc compiles it when it is first used
    if not hardware.has_gpu(os.environ):
        # They are for the fork server, which starts later; this process has loaded its libraries already.
        found, sentence = hardware.cpu_environment(os.environ)
        wanted |= found
        log.info("On the CPU, vLLM %s", sentence)
        if not config.wants_compilation:
            # Else vLLM's sampler compiles one function: 4 s, and a C++ compiler, for nothing.
            wanted["TORCH_COMPILE_DISABLE"] = "1"
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def _import_vllm() -> None:
    """What fails here fails again, and is told, where it is needed."""
    with suppress(Exception):
        from streamspace import flags, llm  # noqa: F401


def _ready_sentence(built: "VllmEngine") -> Sentence:
    number, most = built.max_model_len, built.full_model_len
    if number < most:
        return Sentence("Ready: the context holds {number} of the model's {most} tokens", number=number, most=most)
    return Sentence("Ready: the context holds {number} tokens", number=number)


def _sweep(pids: set[int]) -> None:
    """Remove what killed engines leave on the disk and in shared memory."""
    folder = Path(os.environ["VLLM_RPC_BASE_PATH"])
    left = [*folder.iterdir()] if folder.name.startswith(SOCKETS) and folder.is_dir() else []
    for path in [*left, *(Path(f"/dev/shm/__KMP_REGISTERED_LIB_{pid}_{os.getuid()}") for pid in pids)]:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # a folder, or another user's
            log.warning("%s is left of the engine: %s", path.name, error.strerror)
