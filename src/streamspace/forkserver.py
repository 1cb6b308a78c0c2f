"""A process that has vLLM imported, and from which the engine's process is forked instead of importing it once more.

That import takes 6 to 8 seconds; here it runs beside the app's own, and a second engine does not pay for it again.
Forking this process is safe where forking the app would not be: it has one thread and does nothing else.
"""

import atexit
import multiprocessing.context
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

from tqdm import tqdm

_words: Connection | None = None  # where the latest process leaves its last ones
# The module-level instance that multiprocessing itself works with; only what is missing from its public face is used.
_server: Any = multiprocessing.forkserver._forkserver


class _Process(multiprocessing.context.ForkServerProcess):
    """A forked process that gets the environment of now, and leaves word of what ends it.

    By itself it would have the environment of the server's start, and tell the terminal alone.
    """

    def start(self) -> None:
        global _words
        if _words is not None:
            _words.close()
        self._environ = dict(os.environ)
        _words, self._writes = multiprocessing.Pipe(duplex=False)
        super().start()
        self._writes.close()

    def run(self) -> None:
        os.environ.update(self._environ)
        tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed process leaves there
        try:
            super().run()
        except Exception as error:
            self._writes.send(f"{type(error).__name__}: {error}")
            raise


class _Context(multiprocessing.context.ForkServerContext):
    Process = _Process


context = _Context()


def start() -> None:
    """Start the server unless it runs; returns at once, while it imports. It ends with this process."""
    context.set_forkserver_preload(["vllm.v1.engine.core"])
    multiprocessing.resource_tracker.ensure_running()  # here, because it would unblock SIGINT below
    # Ctrl-C reaches every process of a terminal, but what happens then is this one's to decide. The mask is inherited.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        _server.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    atexit.register(_stop)


def last_words() -> str:
    """The exception that ended the process started last, as "type: text"; empty if it lives or was killed."""
    try:
        return str(_words.recv()) if _words is not None and _words.poll() else ""
    except EOFError:
        return ""


def _stop() -> None:
    """End it now: left alone it would notice only after its import that nobody needs it."""
    if (pid := _server._forkserver_pid) is not None:
        os.kill(pid, signal.SIGKILL)
