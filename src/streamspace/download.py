"""Model or adapter, by id or folder → local folder that vLLM loads without any network.

huggingface_hub does the download, with its cache, its locks and its resume. This module adds one request that plans
everything before the first file, progress in bytes with a known total, a check of the disk, more attempts, the cached
copy when there is no network, and one sentence for each failure.
"""

import glob
import json
import logging
import math
import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import (
    HfApi,
    get_cached_repo_tree,
    parse_local_safetensors_file_metadata,
    snapshot_download,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    SafetensorsParsingError,
)
from huggingface_hub.utils import validate_repo_id

from streamspace import errors, hub_failures, hub_internals
from streamspace.fits import Weights
from streamspace.model_files import Kind
from streamspace.types import size

logger = logging.getLogger(__name__)

T = TypeVar("T")

BACKOFF_S = (1.0, 3.0, 9.0)  # the pauses between the attempts; there is one attempt more than pauses
DISK_MARGIN = 1.05  # needed disk space as a multiple of the bytes to fetch
POLL_S = 0.1  # how often a waiting fetch looks at `cancelled`
CANCEL_GRACE_S = 3.0  # how long a cancelled fetch waits for its workers to remove their temporary files
HUB_FAILS = (errors.HubUnreachable, errors.DownloadFailed)
WEIGHTS = (".safetensors", ".bin", ".pt")  # how their files end
TOKENIZERS = ("tokenizer.json", "tokenizer.model*", "tekken.json", "*vocab*", "*.model", "*.tiktoken")
NO_TOKENIZER = "There is no tokenizer in '{model}': take it from the original repository, or name that by --tokenizer."
INDEX = "model.safetensors.index.json"
BROKEN = "The file {name} of '{model}' is missing, broken or only a pointer of Git LFS: fetch it again."
ORPHAN_S = 3600.0  # a temporary file that did not change for so long belongs to a process that was killed


@dataclass(frozen=True)
class Progress:
    """How much of the model's files is on the local disk, cached files included."""

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
    check: Callable[[Weights], None] = lambda weights: None,
) -> Path:
    """Return the local folder of a model or adapter, fetching what is missing. Blocks: call it in a worker thread.

    A folder is used as it is. A complete cached copy of a full commit id costs no request. When the hub fails, a
    complete cached copy of the revision is used, and a warning says so.

    Args:
        model: hub id, or a folder (absolute, relative or with `~`).
        kind: which files are needed.
        revision: branch, tag or commit; None is the hub's `main`.
        token: for private and gated models; None leaves it to huggingface_hub (HF_TOKEN, a stored login).
        on_progress: called many times a second from several threads, one at a time, with ever more bytes; the last
            call has all bytes. Not called for a folder.
        cancelled: set it to end the fetch within seconds, whatever the hub does.
        check: called once with the weights, before any file is fetched; an error that it raises ends the fetch.

    Raises:
        ModelError: the subclass names the reason; anybody may read its sentence.
    """
    if model.startswith(("/", ".", "~")) or (model and os.path.exists(model)):
        folder = Path(os.path.expanduser(model))
        with suppress(OSError, ValueError):
            if names := kind.choose(os.listdir(folder)):
                check(weights_of(folder, names))
                return folder.resolve()
        raise errors.BadModel(kind.missing, model=model)
    try:
        validate_repo_id(model)
    except HFValidationError as error:
        raise errors.BadModel(hub_failures.BAD_ID, model=model) from error
    token = (token or "").strip()
    if not re.fullmatch(r"[!-~]*", token):  # the HTTP client cannot send it, and its error would quote it in the log
        raise errors.AccessDenied(hub_failures.REFUSED, model=model)
    stop = cancelled or threading.Event()
    return _Fetch(model, kind, revision or None, token or None, on_progress, stop, check).run()


def weights_of(folder: Path, names: Iterable[str]) -> Weights:
    """The weights among these files of a folder, by the headers of those that are safetensors."""
    num_bytes, values = 0, Counter[str]()
    for path in (folder / name for name in names if name.endswith(WEIGHTS)):
        num_bytes += path.stat().st_size
        with suppress(SafetensorsParsingError, ValueError, KeyError, TypeError):  # broken, or of another format
            values.update(parse_local_safetensors_file_metadata(path).parameter_count)
    return Weights(num_bytes, values)


def check_whole(model: str, folder: Path, kind: Kind, *, with_tokenizer: bool) -> None:
    """Raises BadModel for a file that vLLM could not read, however often it tried; its own words would be riddles.

    Without a tokenizer it would begin, and write nothing.
    """
    names = kind.choose(os.listdir(folder))
    if with_tokenizer and not any(fnmatch(name, pattern) for name in names for pattern in TOKENIZERS):
        raise errors.BadModel(NO_TOKENIZER, model=model)
    for name in sorted({*names, *_shards(folder, names)}):
        if not _is_whole(folder / name):
            raise errors.BadModel(BROKEN, name=name, model=model)


def _shards(folder: Path, names: Iterable[str]) -> Iterable[str]:
    """The files among which the safetensors are spread, by their index."""
    with suppress(ValueError, KeyError, AttributeError):  # `_is_whole` tells of it
        if INDEX in names and any(name.endswith(".safetensors") for name in names):
            return [*json.loads((folder / INDEX).read_bytes())["weight_map"].values()]
    return []


def _is_whole(path: Path) -> bool:
    """Whether a configuration is an object of JSON, and whether safetensors have all that their header names."""
    try:
        if path.name == "tokenizer.json":  # it may be too large to be read for this alone
            content = path.read_bytes().strip()
            return content.startswith(b"{") and content.endswith(b"}")
        if path.name in ("config.json", "params.json", INDEX):
            return isinstance(json.loads(path.read_bytes()), dict)
        if path.suffix != ".safetensors":
            return True
        with path.open("rb") as file:
            num_bytes = int.from_bytes(file.read(8), "little")
            left = path.stat().st_size - 8 - num_bytes
            header = json.loads(file.read(num_bytes)) if left >= 0 else {}
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        return left == max(ends, default=0)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return False


@dataclass(frozen=True)
class _Plan:
    """The files of one commit that vLLM needs."""

    repository: Path  # its folder in the cache: blobs/, refs/, snapshots/
    commit: str
    files: Mapping[str, tuple[int, str]]  # name → bytes, and the content's name in blobs/
    values: Mapping[str, int]  # of the weights, as in `Weights`

    @property
    def weights(self) -> Weights:
        """All of them, those included that are on the disk."""
        return Weights(sum(num for name, (num, _) in self.files.items() if name.endswith(WEIGHTS)), self.values)

    def missing_bytes(self) -> int:
        """The bytes that are not on the disk; a file that another commit has, too, is there already."""
        folder, blobs = self.repository / "snapshots" / self.commit, self.repository / "blobs"
        files = self.files.items()
        return sum(num for name, (num, blob) in files if not ((folder / name).exists() or (blobs / blob).exists()))

    def check_disk(self, model: str) -> None:
        """Raise DiskFull when there is no room for what is missing."""
        existing = next(path for path in (self.repository, *self.repository.absolute().parents) if path.exists())
        needed_bytes, free_bytes = int(self.missing_bytes() * DISK_MARGIN), shutil.disk_usage(existing).free
        if needed_bytes > free_bytes:
            sizes = {"needed": size(needed_bytes, 0), "free": size(free_bytes, 0)}
            raise errors.DiskFull(hub_failures.NO_ROOM, model=model, **sizes)

    def sweep(self) -> None:
        """Remove the temporary files of killed processes: huggingface_hub never resumes nor removes them."""
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
    check: Callable[[Weights], None]

    def run(self) -> Path:
        """Fetch in another thread, so that a cancelled fetch does not wait for a hub that hangs."""
        result: Future[Path] = Future()

        def work() -> None:
            try:
                result.set_result(self._retrying(self._fetch, (), ()))
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
            # With a copy, one failure is enough to use it: nobody waits for a hub that is down.
            return self._download(self._retrying(self._plan, HUB_FAILS, () if copy else BACKOFF_S))
        except HUB_FAILS as error:
            if copy is None:
                raise
            logger.warning("%s Until then its cached copy, commit %s, is used.", error, copy.name)
            return self._use(copy)

    def _cached_copy(self) -> tuple[Path | None, bool]:
        """Find a complete snapshot in the cache, and whether the repository's cached listing proves it complete.

        A snapshot without a listing, from an older huggingface_hub, counts as complete if it has all its shards.
        """
        names = None
        with suppress(CachedRepoTreeNotFoundError):
            names = self.kind.choose(file.path for file in get_cached_repo_tree(self.model, revision=self.revision))
        with suppress(LocalEntryNotFoundError):
            options: dict[str, Any] = {"local_files_only": True, "allow_patterns": names and _patterns(names)}
            folder = Path(snapshot_download(self.model, revision=self.revision, **options))
            if names or (names is None and _has_all_shards(folder, self.kind)):
                return folder, names is not None
        return None, False

    def _use(self, copy: Path) -> Path:
        self.check(weights_of(copy, self.kind.choose(path.name for path in copy.iterdir())))
        total_bytes = sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())
        self.on_progress(Progress(total_bytes, total_bytes))
        return copy

    def _plan(self) -> _Plan:
        """Ask the hub once for the commit and all sizes; most errors of access come here, before any byte."""
        info = HfApi(token=self.token).model_info(self.model, revision=self.revision, files_metadata=True)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        chosen = [siblings[name] for name in self.kind.choose(siblings)]
        if not chosen or not info.sha:
            raise errors.BadModel(self.kind.missing, model=self.model)
        blobs = {file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in chosen}
        files = {file.rfilename: (file.size or 0, blobs[file.rfilename] or file.rfilename) for file in chosen}
        values = info.safetensors.parameters if info.safetensors else {}
        return _Plan(hub_internals.repository_folder(self.model), info.sha, files, values)

    def _download(self, plan: _Plan) -> Path:
        meter = _Meter(sum(num_bytes for num_bytes, _ in plan.files.values()), self.on_progress)
        bar = hub_internals.progress_bar(meter.add, self._check)
        options: dict[str, Any] = {"token": self.token, "allow_patterns": _patterns(plan.files), "tqdm_class": bar}

        def attempt() -> str:
            meter.add(0, since=meter.total_bytes - plan.missing_bytes())
            try:
                return str(snapshot_download(self.model, revision=plan.commit, **options))
            except RuntimeError:
                plan.check_disk(self.model)  # xet does not say that the disk is full
                raise

        self.check(plan.weights)
        plan.sweep()
        plan.check_disk(self.model)
        folder = Path(self._retrying(attempt, (errors.DownloadFailed,), BACKOFF_S))
        with suppress(OSError):  # a cache that is mounted read-only may hold all files
            hub_internals.remember_commit(self.model, self.revision, plan.commit)
        meter.add(0, since=meter.total_bytes)
        return folder

    def _check(self) -> None:
        if self.cancelled.is_set():
            raise errors.DownloadCancelled(hub_failures.CANCELLED, model=self.model)

    def _retrying(self, call: Callable[[], T], passes: tuple[type[Exception], ...], pauses_s: tuple[float, ...]) -> T:
        """Call again after each of the pauses while it fails as `passes` says; its errors get their sentences."""
        for pause_s in (*pauses_s, math.inf):
            try:
                return call()
            except Exception as error:
                failure = hub_failures.explain(error, self.model, self.revision)
                if failure is None:
                    raise
                is_last = pause_s == math.inf or self.cancelled.is_set() or hub_failures.is_final(error)
                if is_last or not isinstance(failure, passes):
                    raise failure from error
                pause_s = max(pause_s, hub_failures.asked_pause_s(error))
                logger.warning("The hub failed (%s): next attempt in %g s.", type(error).__name__, pause_s)
            self.cancelled.wait(pause_s)
            self._check()
        raise AssertionError  # the last attempt returns or raises


def _patterns(names: Iterable[str]) -> list[str]:
    return [glob.escape(name) for name in names]


def _has_all_shards(folder: Path, kind: Kind) -> bool:
    needed = set(kind.choose(path.name for path in folder.iterdir() if path.exists()))
    indices = [json.loads(path.read_text(encoding="utf-8"))["weight_map"] for path in folder.glob("*.index.json")]
    return bool(needed) and all(needed.issuperset(i.values()) or needed.isdisjoint(i.values()) for i in indices)


class _Meter:
    """Adds up the bytes from all threads; its reports never go back, although the sum does after a failed attempt."""

    def __init__(self, total_bytes: int, on_progress: Callable[[Progress], None]) -> None:
        self.total_bytes, self._on_progress = total_bytes, on_progress
        self._lock = threading.Lock()
        self._done_bytes, self._shown_bytes = 0, -1

    def add(self, num_bytes: int, since: int | None = None) -> None:
        """Count written bytes; `since`, the bytes on the disk before an attempt, begins a new sum."""
        with self._lock:
            self._done_bytes = num_bytes + (self._done_bytes if since is None else since)
            done_bytes = min(self._done_bytes, self.total_bytes)
            if done_bytes > self._shown_bytes:
                self._shown_bytes = done_bytes
                self._on_progress(Progress(done_bytes, self.total_bytes))
