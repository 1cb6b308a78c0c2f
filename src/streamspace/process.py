"""This process and its children: a clean exit that leaves no child behind. Standard library and psutil only."""

import atexit
import gc
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import psutil

from streamspace.errors import StreamSpaceError
from streamspace.patching import require

WORKER_TITLE = "::Worker"  # part of the title that vLLM gives a worker, such as "VLLM::Worker_TP0"
EXIT_S = 3.0  # the most that other libraries' exit functions may take
ENVIRON = dict(os.environ)  # before anybody changed it


@contextmanager
def explained() -> Iterator[None]:
    """Leave with one sentence instead of a traceback: 2 for a refused setting, 130 for Ctrl-C, 143 for SIGTERM."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` makes its child ignore SIGINT
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
        return
    except StreamSpaceError as error:
        print(f"streamspace: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("Interrupted by user", file=sys.stderr)
        code = 130
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
    _leave(code)


def start_again(options: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by the same program with other options and another environment."""
    leaving = threading.Thread(target=_run_exit_functions, daemon=True)
    leaving.start()
    leaving.join(EXIT_S)
    program = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]
    os.execve(sys.executable, [sys.executable, *program, *options], dict(environ))


def _run_exit_functions() -> None:
    require(atexit, "_run_exitfuncs", "to do what is to be done at the exit before it leaves")()
    with suppress(OSError):  # nobody reads the pipe
        sys.stdout.flush()
        sys.stderr.flush()


def _leave(code: int) -> None:
    """Run the exit functions and end this process, without the interpreter's own shutdown.

    That shutdown waits for threads that are no daemons, for 10 s and more if a download has stalled. It also aborts the
    process if a daemon thread runs C++ code, as vLLM's import does for long on a slow machine.
    """
    limit = threading.Timer(EXIT_S, os._exit, [code])
    limit.daemon = True
    limit.start()
    _run_exit_functions()
    os._exit(code)


class _Formatter(logging.Formatter):
    """Removes name and password from addresses: an HF_ENDPOINT may hold them."""

    def format(self, record: logging.LogRecord) -> str:
        return re.sub(r"(?<=://)[^/\s@]*@", "", super().format(record))


@contextmanager
def unchanged_log_levels() -> Iterator[None]:
    """Restore the levels of the root logger and its handlers after the block.

    vLLM's server imports a library that sets all of them to ERROR, which would hide the log of a restart.
    """
    root = logging.getLogger()
    level, levels = root.level, [(handler, handler.level) for handler in root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        for handler, its_level in levels:
            handler.setLevel(its_level)


def log_to_terminal() -> None:
    """One line an event; from libraries, warnings and errors only."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("streamspace").setLevel(logging.INFO)


def collect_rarely() -> None:
    """Have the garbage collector ignore the objects of now and look at new ones rarely.

    Called before large imports, which take a tenth longer with its own settings, and again once all is loaded.
    Reference counts, which free nearly everything, still work. With the collector's own settings a frame cost 1.6 times
    as much while the chats of 32 visitors had 100 messages each, and a full collection over the 680,000 objects that
    vLLM and Gradio import stopped everything for 0.4 s (both on a CPU with 2 cores).
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    atexit.register(gc.unfreeze)  # else nanobind reports leaked objects at the exit


def collect_all() -> None:
    """Run a full garbage collection, also of the objects that `collect_rarely` set aside."""
    gc.unfreeze()
    gc.collect()


def exit_with_parent() -> None:
    """Kill this process once its parent is gone: an orphaned engine would keep its GPU memory for ever.

    prctl's PR_SET_PDEATHSIG does not do: it fires when the parent's *thread* that started this process ends.
    """

    def watch() -> None:
        while (parent := multiprocessing.parent_process()) is None:  # multiprocessing is still setting up
            time.sleep(0.1)
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="exit-with-parent", daemon=True).start()


def workers_of(pids: Iterable[int]) -> list[psutil.Process]:
    """The worker processes, one for each GPU, that the engine processes with these ids have started, if any."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found += [child for child in psutil.Process(pid).children() if WORKER_TITLE in " ".join(child.cmdline())]
    return found


def has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended, even if its parent has not waited for it yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
