"""Model or adapter, by id or folder → local folder that vLLM loads without any network.

huggingface_hub does the download (its cache, its locks, its resume). Around it: one request that plans everything
before the first file, progress in bytes with a known total, a check of the disk, another attempt after what
huggingface_hub gives up on, the cached copy when there is no network, and one sentence for each failure.
"""

import glob
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import HfApi, get_cached_repo_tree, snapshot_download
from huggingface_hub.errors import CachedRepoTreeNotFoundError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from streamspace import errors, hub_failures, hub_internals
from streamspace.model_files import Kind

logger = logging.getLogger(__name__)

T = TypeVar("T")

BACKOFF_S = (1.0, 3.0, 9.0)  # the pauses between the attempts: one attempt more than pauses
DISK_MARGIN = 1.05  # needed disk over the bytes to fetch
POLL_S = 0.1  # how often a waiting fetch looks at `cancelled`
CANCEL_GRACE_S = 3.0  # how long a cancelled fetch waits for its workers to remove their temporary files
ORPHAN_S = 3600.0  # a temporary file that nothing was written to for so long belongs to a process that was killed


@dataclass(frozen=True)
class Progress:
    """How much of the model's files is on the local disk; files that were already cached count."""

    done_bytes: int
    total_bytes: int


def fetch(
    model: str,
    kind: Kind,
    *,
    revision: str | None = None,
    token: str | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: threading.Event | None = None,
) -> Path:
    """Return the local folder of a model or adapter, fetching what is missing. Blocks: call it in a worker thread.

    A folder is used as it is. A complete cached copy of a full commit id costs no request. When the hub cannot be had,
    a complete cached copy of the revision is used, and a warning says so.

    Args:
        model: hub id, or a folder (absolute, relative or with `~`).
        kind: which files of it are needed.
        revision: branch, tag or commit; None is the hub's `main`.
        token: for private and gated models; None leaves it to huggingface_hub (HF_TOKEN, a stored login).
        on_progress: called from several threads, one at a time, never with fewer bytes than before, many times a
            second; the last call has all bytes. Not called for a folder.
        cancelled: set it to end the fetch within seconds, whatever the hub does.

    Raises:
        ModelError: the subclass names the reason; its sentence is for everybody.
    """
    if model.startswith(("/", ".", "~")) or (model and os.path.exists(model)):
        return _checked_folder(model, kind)
    try:
        validate_repo_id(model)
    except HFValidationError as error:
        raise errors.BadModel(hub_failures.BAD_ID, model=model) from error
    token = (token or "").strip()
    if not re.fullmatch(r"[!-~]*", token):  # the HTTP client cannot send it, and would quote it in the log
        raise errors.AccessDenied(hub_failures.REFUSED, model=model)
    return _Fetch(model, kind, revision or None, token or None, on_progress, cancelled or threading.Event()).run()


def _checked_folder(model: str, kind: Kind) -> Path:
    folder = os.path.expanduser(model)
    with suppress(OSError, ValueError):
        if kind.choose(os.listdir(folder)):
            return Path(folder).resolve()
    raise errors.BadModel(kind.missing, model=model)


@dataclass(frozen=True)
class _Plan:
    """One commit's files that vLLM needs; says at any time how much of them is not on the disk."""

    repository: Path  # its folder in the cache: blobs/, refs/, snapshots/
    commit: str
    files: Mapping[str, tuple[int, str]]  # name → bytes, and the name that the cache gives to the content

    def missing_bytes(self) -> int:
        """Leave out the files of this commit and those whose content another commit has brought already."""
        folder, blobs = self.repository / "snapshots" / self.commit, self.repository / "blobs"
        files = self.files.items()
        return sum(size for name, (size, blob) in files if not ((folder / name).exists() or (blobs / blob).exists()))

    def check_disk(self, model: str) -> None:
        """Raise DiskFull when there is no room for what is missing."""
        existing = next(path for path in (self.repository, *self.repository.absolute().parents) if path.exists())
        needed_bytes, free_bytes = int(self.missing_bytes() * DISK_MARGIN), shutil.disk_usage(existing).free
        if needed_bytes > free_bytes:
            sizes = {"needed": _size(needed_bytes), "free": _size(free_bytes)}
            raise errors.DiskFull(hub_failures.NO_ROOM, model=model, **sizes)

    def sweep(self) -> None:
        """Remove what killed processes have left: huggingface_hub never resumes nor removes it."""
        for path in self.repository.glob("blobs/*.incomplete"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > ORPHAN_S:
                    path.unlink()
                    logger.info("Removed %s, left by a download that was killed.", path.name)


@dataclass
class _Fetch:
    model: str
    kind: Kind
    revision: str | None
    token: str | None = field(repr=False)
    on_progress: Callable[[Progress], None]
    cancelled: threading.Event

    def run(self) -> Path:
        """Run in a thread of its own, so that being cancelled does not wait for a hub that hangs."""
        result: Future[Path] = Future()

        def work() -> None:
            try:
                result.set_result(self._explained(self._fetch))
            except BaseException as error:
                result.set_exception(error)

        threading.Thread(target=work, name="fetch-model", daemon=True).start()
        while not self.cancelled.is_set():
            wait([result], timeout=POLL_S)
            if result.done():
                return result.result()
        hub_internals.abort_xet()
        wait([result], timeout=CANCEL_GRACE_S)
        raise errors.DownloadCancelled(hub_failures.CANCELLED, model=self.model)

    def _fetch(self) -> Path:
        copy, is_proved = self._cached_copy()
        if copy and is_proved and re.fullmatch("[0-9a-f]{40}", self.revision or ""):
            return self._use(copy)
        hub_internals.set_up()
        try:
            # With a copy at hand, one failure is reason enough to take it: nobody waits for a hub that is down.
            plan = self._retrying(self._plan, (errors.HubUnreachable, errors.DownloadFailed), () if copy else BACKOFF_S)
            return self._download(plan)
        except (errors.HubUnreachable, errors.DownloadFailed) as error:
            if copy is None:
                raise
            logger.warning("%s Until then its cached copy, commit %s, is used.", error, copy.name)
            return self._use(copy)

    def _cached_copy(self) -> tuple[Path | None, bool]:
        """Find a complete snapshot in the cache, and whether the repository's cached listing proves it complete.

        A snapshot without a listing (an older huggingface_hub wrote it) is believed if it has all its shards.
        """
        try:
            names = self.kind.choose(file.path for file in get_cached_repo_tree(self.model, revision=self.revision))
        except CachedRepoTreeNotFoundError:
            names = None
        with suppress(LocalEntryNotFoundError):
            options: dict[str, Any] = {"local_files_only": True, "allow_patterns": names and _patterns(names)}
            folder = Path(snapshot_download(self.model, revision=self.revision, **options))
            if names or (names is None and _has_all_shards(folder, self.kind)):
                return folder, names is not None
        return None, False

    def _use(self, copy: Path) -> Path:
        total_bytes = sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
        self.on_progress(Progress(total_bytes, total_bytes))
        return copy

    def _plan(self) -> _Plan:
        """Ask the hub once: the commit, all sizes, and most errors of access before any byte."""
        info = HfApi(token=self.token).model_info(self.model, revision=self.revision, files_metadata=True)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        chosen = [siblings[name] for name in self.kind.choose(siblings)]
        if not chosen or not info.sha:
            raise errors.BadModel(self.kind.missing, model=self.model)
        blobs = [(file.lfs.sha256 if file.lfs else file.blob_id) or file.rfilename for file in chosen]
        files = {file.rfilename: (file.size or 0, blob) for file, blob in zip(chosen, blobs, strict=True)}
        return _Plan(hub_internals.repository_folder(self.model), info.sha, files)

    def _download(self, plan: _Plan) -> Path:
        meter = _Meter(sum(size for size, _ in plan.files.values()), self.on_progress)
        bar = hub_internals.progress_bar(meter.add, self._check)
        options: dict[str, Any] = {"token": self.token, "allow_patterns": _patterns(plan.files), "tqdm_class": bar}

        def attempt() -> str:
            meter.add(0, since=meter.total_bytes - plan.missing_bytes())
            try:
                return str(snapshot_download(self.model, revision=plan.commit, **options))
            except RuntimeError:
                plan.check_disk(self.model)  # xet does not say that the disk is full
                raise

        plan.sweep()
        plan.check_disk(self.model)
        folder = Path(self._retrying(attempt, errors.DownloadFailed, BACKOFF_S))
        with suppress(OSError):  # a cache that is mounted read-only may hold all files
            hub_internals.remember_commit(self.model, self.revision, plan.commit)
        meter.add(0, since=meter.total_bytes)
        return folder

    def _check(self) -> None:
        if self.cancelled.is_set():
            raise errors.DownloadCancelled(hub_failures.CANCELLED, model=self.model)

    def _retrying(
        self,
        call: Callable[[], T],
        passes: type[errors.ModelError] | tuple[type[errors.ModelError], ...],
        pauses_s: Iterable[float],
    ) -> T:
        """What the call returns; after a failure that `passes` it is made again, until the pauses are used up."""
        for pause_s in pauses_s:
            try:
                return self._explained(call)
            except passes as error:
                if self.cancelled.is_set() or hub_failures.is_final(error.__cause__):
                    raise
                pause_s = max(pause_s, hub_failures.asked_pause_s(error.__cause__))
                logger.warning("The hub failed (%s): next attempt in %g s.", type(error.__cause__).__name__, pause_s)
            self.cancelled.wait(pause_s)
            self._check()
        return self._explained(call)

    def _explained(self, call: Callable[[], T]) -> T:
        """What the call returns; what it raises gets the sentence for it."""
        try:
            return call()
        except Exception as error:
            if failure := hub_failures.explain(error, self.model, self.revision):
                raise failure from error
            raise


def _patterns(names: Iterable[str]) -> list[str]:
    return [glob.escape(name) for name in names]


def _has_all_shards(folder: Path, kind: Kind) -> bool:
    needed = set(kind.choose(path.name for path in folder.iterdir() if path.exists()))
    indices = [json.loads(path.read_text(encoding="utf-8"))["weight_map"] for path in folder.glob("*.index.json")]
    return bool(needed) and all(needed.issuperset(i.values()) or needed.isdisjoint(i.values()) for i in indices)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


class _Meter:
    """Adds up the bytes from all threads; what it reports never goes back, though an attempt that failed may."""

    def __init__(self, total_bytes: int, on_progress: Callable[[Progress], None]) -> None:
        self.total_bytes, self._on_progress = total_bytes, on_progress
        self._lock = threading.Lock()
        self._done_bytes, self._shown_bytes = 0, -1

    def add(self, num_bytes: int, since: int | None = None) -> None:
        """Count bytes that were written, beside `since`, if given: what was on the disk before an attempt."""
        with self._lock:
            self._done_bytes = num_bytes + (self._done_bytes if since is None else since)
            done_bytes = min(self._done_bytes, self.total_bytes)
            if done_bytes > self._shown_bytes:
                self._shown_bytes = done_bytes
                self._on_progress(Progress(done_bytes, self.total_bytes))
