"""What is kept from one start for the next: vLLM's compiled code, its start-up plan, and how long starts took.

It stands in VLLM_CACHE_ROOT, which is on the mounted storage of a Space that has one. What was half written, or is of
another machine, never stops a start: after a failure the next attempt begins with an empty folder (`renew`).
"""

import atexit
import json
import logging
import os
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path

from streamspace.environment import vllm_reads

log = logging.getLogger(__name__)

STORAGE = Path("/data")  # where the hub mounts a Space's bucket
ROOT = "VLLM_CACHE_ROOT"
PLAN = "VLLM_ENABLE_STARTUP_PLAN"  # memory is not measured again where nothing has changed
TIMES = "streamspace-starts.json"  # how long the last starts took, by what was started
PASSING = "streamspace-cache-"  # a folder for one start
MOST_TIMES, MOST_KINDS = 5, 50
PIECE_BYTES = 8 << 20


def variables(environ: Mapping[str, str], storage: Path = STORAGE) -> dict[str, str]:
    """The variables that have vLLM keep what makes starts quick, as far as this version of vLLM reads them."""
    found = {PLAN: "1"} if vllm_reads(PLAN) else {}
    if environ.get("SPACE_ID") and storage.is_dir() and os.access(storage, os.W_OK):
        found[ROOT] = str(storage / "streamspace" / "vllm")
    elif ROOT not in environ and not _can_be_written(folder(environ)):
        found[ROOT] = tempfile.mkdtemp(prefix=PASSING)  # else vLLM logs a traceback for each file that it cannot keep
        atexit.register(shutil.rmtree, found[ROOT], ignore_errors=True)
    return found


def _can_be_written(path: Path) -> bool:
    """Whether the folder is there to be written to, or can be made."""
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def folder(environ: Mapping[str, str]) -> Path:
    """Where vLLM keeps what it has made."""
    cache = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(environ.get(ROOT) or Path(cache, "vllm")).expanduser()


def is_kept(environ: Mapping[str, str]) -> bool:
    """Whether an earlier start has left anything that the next one will use."""
    with suppress(OSError):
        return not folder(environ).is_dir() or any(path.name != TIMES for path in folder(environ).iterdir())
    return True


def renew(environ: MutableMapping[str, str]) -> None:
    """Have the next start begin with an empty folder; the old one stays as it is, for whoever else uses it.

    A temporary folder ends with the container, so a Space goes on with it until it is started again.
    """
    environ[ROOT] = tempfile.mkdtemp(prefix=PASSING)
    log.warning("The next attempt starts without what earlier starts have kept, in case that is broken.")


def usual_s(environ: Mapping[str, str], kind: str) -> int:
    """How many seconds the last starts of this kind took, as their median; 0 if none is known."""
    times = _times(environ).get(kind, [])
    return round(statistics.median(times)) if times else 0


def remember(environ: Mapping[str, str], kind: str, took_s: float) -> None:
    """Keep how long a start took. What cannot be written is not kept."""
    known = _times(environ)
    times = [*known.pop(kind, []), round(took_s, 1)][-MOST_TIMES:]
    newest = dict([*known.items(), (kind, times)][-MOST_KINDS:])
    path = folder(environ) / TIMES
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(newest), encoding="utf-8")
        part.replace(path)


def _times(environ: Mapping[str, str]) -> dict[str, list[float]]:
    """What the file says; nothing of one that is broken or of something else."""
    with suppress(OSError, ValueError, AttributeError):
        read = json.loads((folder(environ) / TIMES).read_text(encoding="utf-8"))
        return {
            kind: times
            for kind, times in read.items()
            if isinstance(times, list) and all(isinstance(each, int | float) for each in times)
        }
    return {}


def read_ahead(paths: Iterable[Path], most_bytes: int, stop: threading.Event) -> None:
    """Read these files once in a thread, so that they are in memory when vLLM, which still imports, asks for them."""
    threading.Thread(target=_read, args=([*paths], most_bytes, stop), name="read-ahead", daemon=True).start()


def _read(paths: list[Path], most_bytes: int, stop: threading.Event) -> None:
    with suppress(OSError):
        for path in paths if sum(path.stat().st_size for path in paths) <= most_bytes else ():
            with path.open("rb", buffering=0) as file:
                while not stop.is_set() and file.read(PIECE_BYTES):
                    pass
