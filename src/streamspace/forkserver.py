"""A process that has imported vLLM; the engine's process is forked from it and need not import vLLM again.

The import takes 6 to 8 seconds; `preloaded` says what it is. It runs beside the app's own, and a restarted engine does
not pay for it again. Forking this process is safe, because it has one thread and does nothing else; forking the
app would not be.
"""

import atexit
import multiprocessing.context
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tqdm import tqdm

from streamspace.patching import require

SOURCE = str(Path(__file__).parents[1])
PATH = "PYTHONPATH"
WHILE_LOADING = "while the weights were loaded: "
_words: Connection | None = None  # the newest engine process sends the exception that ends it
_begun = threading.Event()  # the newest engine process has begun


class _Process(multiprocessing.context.ForkServerProcess):
    """A forked process with the app's environment of now, which sends the exception that ends it.

    multiprocessing's own class keeps the environment of the server's start, and only prints the exception.
    """

    def start(self) -> None:
        global _words
        if _words is not None:
            _words.close()
        self._environ = dict(os.environ)
        _words, self._writes = multiprocessing.Pipe(duplex=False)
        super().start()
        self._writes.close()
        _begun.set()

    def run(self) -> None:
        os.environ.update(self._environ)
        tqdm.set_lock(threading.RLock())  # a killed process would leave tqdm's own, a system semaphore, behind
        try:
            super().run()
        except Exception as error:
            self._writes.send(described(error))
            raise


def described(error: Exception) -> str:
    """An exception as "type: text", which begins with WHILE_LOADING if a model was taking its weights."""
    is_loading = any(frame.f_code.co_name == "load_weights" for frame, _ in traceback.walk_tb(error.__traceback__))
    return f"{WHILE_LOADING if is_loading else ''}{type(error).__name__}: {error}".removesuffix(": ")


class _Context(multiprocessing.context.ForkServerContext):
    Process = _Process


context = _Context()
_TO_END = "to end the process that the engine's is forked from"


def start() -> None:
    """Start the server unless it runs; returns at once, while it imports. It ends with this process."""
    # A module that cannot be imported is left out, so the second stands in for the first.
    context.set_forkserver_preload(["streamspace.preloaded", "vllm.v1.engine.core"])
    multiprocessing.resource_tracker.ensure_running()  # here, because it would unblock SIGINT below
    # Ctrl-C reaches every process of a terminal, but only the app may act on it: the fork server inherits this mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    path = os.environ.get(PATH)
    os.environ[PATH] = os.pathsep.join(filter(None, [SOURCE, path]))  # multiprocessing does not tell it ours
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.pop(PATH)
        if path is not None:
            os.environ[PATH] = path
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    atexit.register(_stop)


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Within the block an engine's process begins, and from then on a thread does this work, for which the end waits.

    Before, the work would delay the process. What fails in it is not told.
    """

    def wait_and_work() -> None:
        _begun.wait()
        with suppress(Exception):
            work()

    _begun.clear()
    thread = threading.Thread(target=wait_and_work, name="beside", daemon=True)
    thread.start()
    try:
        yield
    finally:
        _begun.set()  # where no process has begun, or one of another context
        thread.join()


def last_words(wait_s: float = 0.0) -> str:
    """The exception that ended the newest engine process, as "type: text"; empty if it lives or was killed.

    It is waited for `wait_s` at most, less if the process ends.
    """
    try:
        return str(_words.recv()) if _words is not None and _words.poll(wait_s) else ""
    except EOFError:
        return ""


def _stop() -> None:
    """Kill the server: it would notice only after its import that this process is gone."""
    server: Any = require(multiprocessing.forkserver, "_forkserver", _TO_END)
    if (pid := require(server, "_forkserver_pid", _TO_END)) is not None:
        os.kill(pid, signal.SIGKILL)
