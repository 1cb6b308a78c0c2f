"""The holder of the engine: empty when made, it loads the model in a thread, tells its state, streams, and shuts down.

It lives at module level in app.py, is started by the server on its event loop and serves every visitor on that loop.
The AsyncLLM inside is built by `streamspace.llm`, which is imported in the loading thread, after the page is up.
"""

import asyncio
import atexit
import logging
import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from streamspace import forkserver, hardware
from streamspace.config import Config
from streamspace.download import Progress, fetch_model
from streamspace.errors import ConfigError, EngineNotReady, StreamSpaceError
from streamspace.messages import Delta, Message, Prompt, Settings, Status
from streamspace.process import collect_rarely

if TYPE_CHECKING:  # importing it for real takes 5 to 10 seconds, which the page must not wait for
    from streamspace.llm import LLM

log = logging.getLogger(__name__)

NUM_STEPS = 4  # on the way to ready: files, vLLM, weights, warm-up
BUILD_STOP_S = 5.0  # how long a build that was told to stop may take to notice


class Engine:
    """One engine for every visitor.

    `start` must be called on the event loop that will stream; `stop` ends it on every way out. All other methods are
    for that loop alone; `status` may be read anywhere.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._status = Status("loading", "Starting", 0, NUM_STEPS)
        self._llm: LLM | None = None
        self._stopping = threading.Event()
        self._loader: threading.Thread | None = None
        self._others: set[BaseProcess] = set()  # processes that are not this engine's

    @property
    def status(self) -> Status:
        """What the engine is doing now."""
        if self._llm is not None and self._llm.is_dead and self._status.stage == "ready":
            return Status(
                "failed", "The engine has died; the log has the reason, and a restart of the app brings it back."
            )
        return self._status

    @property
    def running(self) -> int:
        """Requests being worked on, by the engine's own count."""
        return self._llm.running if self._llm else 0

    @property
    def waiting(self) -> int:
        """Requests waiting in the engine's queue, by its own count."""
        return self._llm.waiting if self._llm else 0

    @property
    def max_model_len(self) -> int | None:
        """Tokens that the context holds, prompt and answer together; None before the engine is ready."""
        return self._llm.max_model_len if self._llm else None

    @property
    def defaults(self) -> Settings:
        """The sampling parameters that suit the model; a guess before the engine is ready."""
        return self._llm.defaults if self._llm else Settings(max_tokens=1024, seed=None)

    def check_flags(self) -> None:
        """Have vLLM check its own flags, if any was given; that takes the 5 to 10 seconds of its import.

        Raises:
            ConfigError: a value is not allowed.
        """
        if self.config.engine_arguments or self.config.engine_environ:
            set_environment(self.config)
            from streamspace import llm

            llm.engine_args(self.config, Path(self.config.model))

    def start(self) -> None:
        """Begin to load, in a thread; returns at once. `status` tells how it goes, failures included."""
        try:
            set_environment(self.config)
        except ConfigError as error:
            self._tell(Status("failed", str(error)))
            return
        self._others = set(multiprocessing.active_children())
        loop = asyncio.get_running_loop()
        # A daemon: an import of vLLM cannot be interrupted, and the process must be able to leave in the middle of it.
        self._loader = threading.Thread(target=self._load, args=(loop,), name="engine-loader", daemon=True)
        self._loader.start()

    async def stop(self) -> None:
        """Abort what runs and stop the engine's processes; also while it loads, and when it never started."""
        self._stopping.set()
        self._status = Status("failed", "The app is shutting down.")
        llm, self._llm = self._llm, None
        if llm is not None:
            await llm.abort_all()
            await asyncio.to_thread(llm.shutdown)
        elif self._loader is not None:
            await asyncio.to_thread(self._stop_loading)

    async def render_chat(self, messages: Sequence[Message]) -> Prompt:
        """Put a conversation through the model's chat template; raises as `LLM.render_chat` and EngineNotReady."""
        return await self._ready().render_chat(messages)

    async def render_text(self, text: str) -> Prompt:
        """Turn raw text into tokens; raises as `LLM.render_text` and EngineNotReady."""
        return await self._ready().render_text(text)

    async def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Yield the answer's text as it comes; closing it aborts. Raises as `LLM.generate` and EngineNotReady.

        `ended`, if given, is set when the last delta can be had.
        """
        async with aclosing(self._ready().generate(prompt, settings, ended)) as deltas:
            async for delta in deltas:
                yield delta

    def _ready(self) -> "LLM":
        status = self.status
        if self._llm is None or status.stage != "ready":
            raise EngineNotReady(status.detail)
        return self._llm

    def _tell(self, status: Status) -> None:
        if not self._stopping.is_set():
            if status.detail != self._status.detail:
                log.info("%s", status.detail)
            self._status = status

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs in the loading thread: files → vLLM → weights → warm-up → ready."""
        try:
            if problem := hardware.problem(os.environ, None, None):
                self._tell(Status("failed", problem))
                return
            forkserver.start()
            folder = self._fetch()
            self._tell(Status("loading", "Starting vLLM", 1, NUM_STEPS))
            from streamspace import llm

            if problem := hardware.problem(os.environ, llm.CUDA_VERSION, hardware.driver_cuda_version()):
                self._tell(Status("failed", problem))
                return
            args = llm.engine_args(self.config, folder)
            self._tell(Status("loading", "Loading the weights", 2, NUM_STEPS))
            built = llm.LLM.build(args)
            self._llm = built
            self._tell(Status("loading", "Warming up", 3, NUM_STEPS))
            asyncio.run_coroutine_threadsafe(built.warm_up(), loop).result()
            collect_rarely()
            self._tell(Status("ready", f"Ready: the context holds {built.max_model_len} tokens", NUM_STEPS, NUM_STEPS))
        except StreamSpaceError as error:
            self._tell(Status("failed", str(error)))
        except Exception as error:
            # Whatever vLLM raises while it starts; the operator gets all of it in the log, the visitor no path of ours.
            if not self._stopping.is_set():
                log.exception("The engine did not start")
            self._tell(Status("failed", _reason(error, self.config)))

    def _fetch(self) -> Path:
        name = self.config.model_name

        def on_progress(progress: Progress) -> None:
            self._tell(Status("downloading", f"Downloading {name}", progress.done_bytes, progress.total_bytes))

        return fetch_model(
            self.config.model,
            revision=self.config.revision,
            token=self.config.hf_token,
            trust_remote_code=self.config.trusts_remote_code,
            on_progress=on_progress,
            cancelled=self._stopping,
        )

    def _stop_loading(self) -> None:
        """End a build under way: without its process, vLLM's constructor raises, and the thread ends."""
        assert self._loader is not None
        for child in set(multiprocessing.active_children()) - self._others:
            child.terminate()
        self._loader.join(BUILD_STOP_S)


@cache
def set_environment(config: Config) -> None:
    """Set what vLLM and PyTorch read from the environment when they are imported; the operator's own values stay.

    Raises:
        ConfigError: there is no room for a temporary folder.
    """
    try:
        # Each engine leaves its sockets there, elsewhere in the system's folder.
        sockets = tempfile.mkdtemp(prefix="streamspace-")
    except OSError as error:
        sentence = f"No temporary folder can be made ({error.strerror}): make room, or set TMPDIR to another."
        raise ConfigError(sentence) from None
    atexit.register(shutil.rmtree, sockets, ignore_errors=True)
    wanted = {
        "VLLM_RPC_BASE_PATH": sockets,
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # this process has threads, which a fork would tear
        "VLLM_HOST_IP": "127.0.0.1",  # else it asks the network for its own address
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",  # its INFO fills a page; what goes wrong is at WARNING or above
    }
    if shutil.which("nvcc") is None:
        wanted["VLLM_USE_FLASHINFER_SAMPLER"] = "0"  # it is compiled when first used, and needs nvcc for that
    if not hardware.has_gpu(os.environ):
        # For the process that the engine is forked from, which is yet to start; this one has its libraries.
        found, sentence = hardware.cpu_environment(os.environ)
        wanted |= found
        log.info("On the CPU, vLLM %s", sentence)
        if not config.wants_compilation:
            # One function of vLLM's sampler: 4 s, and a C++ compiler, for nothing.
            wanted["TORCH_COMPILE_DISABLE"] = "1"
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def _reason(error: Exception, config: Config) -> str:
    """One sentence for the page, without the model's folder in it."""
    said = (isinstance(error, OSError) and error.strerror) or str(error)  # an OSError's own words name the file
    first = next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)
    if len(first) > 300 or "Engine core initialization failed" in first:
        first = "the engine's process failed"
    return f"vLLM could not start {config.model_name}: {first.replace(config.model, config.model_name)} (see the log)."
