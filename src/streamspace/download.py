"""Model or adapter, by id or folder → local folder that vLLM loads without any network.

huggingface_hub does the download (its cache, its locks, its resume). Around it: one request that plans everything
before the first file, progress in bytes with a known total, time-outs everywhere, a check of the disk, another attempt
after what huggingface_hub gives up on, the cached copy when there is no network, and one sentence for each failure.
"""

import errno
import functools
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from filelock import FileLock  # huggingface_hub's own
from huggingface_hub import HfApi, ModelInfo, constants, get_cached_repo_tree, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.errors import RevisionNotFoundError as HubRevisionNotFoundError
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import httpx  # the client that it uses, httpx2 by now
from huggingface_hub.utils._runtime import is_xet_available
from huggingface_hub.utils._validators import validate_repo_id
from huggingface_hub.utils._xet import abort_xet_session

from streamspace import hub_client
from streamspace.errors import (
    BadModelId,
    BadToken,
    CacheNotWritable,
    DiskFull,
    DownloadCancelled,
    DownloadFailed,
    HubFailed,
    HubOffline,
    HubTimeout,
    HubUnreachable,
    ModelError,
    ModelGated,
    ModelNotFound,
    NoAdapter,
    NotAModelFolder,
    NoWeights,
    RevisionNotFound,
)
from streamspace.hub_client import is_broken_transfer, may_pass, may_pass_now, retrying
from streamspace.model_files import Choose, adapter_files, needed_files

logger = logging.getLogger(__name__)

BACKOFF_S = (1.0, 3.0, 9.0)  # the pauses between the attempts: one attempt more than pauses
DISK_MARGIN = 1.05  # needed disk over the bytes to fetch
SHA256_DIGITS = 64
POLL_S = 0.1  # how often a waiting fetch looks at `cancelled`
CANCEL_GRACE_S = 3.0  # how long a cancelled fetch waits for its workers to remove their temporary files


@dataclass(frozen=True)
class Progress:
    """How much of the model's files is on the local disk."""

    done_bytes: int  # files that were already cached count
    total_bytes: int


def ignore(progress: Progress) -> None:
    """Take progress and do nothing with it."""


def fetch_model(
    model: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
    on_progress: Callable[[Progress], None] = ignore,
    cancelled: threading.Event | None = None,
) -> Path:
    """Return the local folder of a model, fetching from the hub what is missing. Blocks: call it in a worker thread.

    A folder is used as it is. A complete cached copy of a full commit id costs no request. When the hub cannot be had,
    a complete cached copy of the revision is used, and a warning says so.

    Args:
        model: hub id, or a folder (absolute, relative or with `~`).
        revision: branch, tag or commit; None is the hub's `main`.
        token: for private and gated models; None leaves it to huggingface_hub (HF_TOKEN, a stored login).
        trust_remote_code: fetch the repository's Python files too.
        on_progress: called from several threads, one at a time, never with fewer bytes than before, many times a
            second; the last call has all bytes. Not called for a folder.
        cancelled: set it to end the fetch within seconds, whatever the hub does.

    Raises:
        ModelError: the subclass names the reason; its sentence is for everybody.
    """
    choose = functools.partial(needed_files, trust_remote_code=trust_remote_code)
    if _looks_like_path(model):
        return _checked_folder(model, choose, NotAModelFolder)
    wanted = _Wanted(_valid_id(model), revision or None, _clean_token(model, token), choose, NoWeights)
    return _run(lambda stop: _fetch(wanted, on_progress, stop), wanted, cancelled or threading.Event())


def fetch_adapter(
    adapter: str,
    *,
    token: str | None = None,
    on_progress: Callable[[Progress], None] = ignore,
    cancelled: threading.Event | None = None,
) -> Path:
    """Return the local folder of a LoRA adapter, given by hub id or folder; otherwise as `fetch_model`."""
    if _looks_like_path(adapter):
        return _checked_folder(adapter, adapter_files, NoAdapter)
    wanted = _Wanted(_valid_id(adapter), None, _clean_token(adapter, token), adapter_files, NoAdapter)
    return _run(lambda stop: _fetch(wanted, on_progress, stop), wanted, cancelled or threading.Event())


# A folder, an id, a token


def _looks_like_path(model: str) -> bool:
    return model.startswith(("/", ".", "~")) or (model != "" and os.path.exists(model))


def _checked_folder(model: str, choose: Choose, missing: type[ModelError]) -> Path:
    folder = os.path.expanduser(model)
    try:
        names = os.listdir(folder)
    except (OSError, ValueError) as error:
        raise missing(model) from error
    if not choose(names):
        raise missing(model)
    return Path(folder).resolve()


def _valid_id(model: str) -> str:
    try:
        validate_repo_id(model)
    except HFValidationError as error:
        raise BadModelId(model) from error
    return model


def _clean_token(model: str, token: str | None) -> str | None:
    """Refuse what cannot be sent as a header: the HTTP client's own error would quote the token in the log."""
    token = (token or "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise BadToken(model)
    return token or None


# What is wanted, and what of it is there


@dataclass(frozen=True)
class _Wanted:
    model: str
    revision: str | None
    token: str | None = field(repr=False)
    choose: Choose  # of the repository's files
    missing: type[ModelError]  # when there is nothing to choose

    @property
    def commit(self) -> str | None:
        """The full commit id, when the revision is one."""
        return self.revision if self.revision and re.fullmatch("[0-9a-f]{40}", self.revision) else None

    @property
    def repository(self) -> Path:
        """The repository's folder in huggingface_hub's cache: blobs/, refs/, snapshots/."""
        return Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=self.model, repo_type="model"))

    @property
    def ref(self) -> Path:
        """The file that says which commit the revision was when it was last fetched."""
        return self.repository / "refs" / (self.revision or constants.DEFAULT_REVISION)


@dataclass(frozen=True)
class _Plan:
    """One commit's files that vLLM needs; says at any time how much of them is on the disk."""

    repository: Path
    commit: str
    files: Mapping[str, int]  # name → bytes
    blobs: Mapping[str, str]  # name → the name that the cache gives to its content

    @property
    def folder(self) -> Path:
        return self.repository / "snapshots" / self.commit

    @property
    def total_bytes(self) -> int:
        return sum(self.files.values())

    def needed_disk_bytes(self) -> int:
        return int((self.total_bytes - self.cached_bytes()) * DISK_MARGIN)

    def cached_bytes(self) -> int:
        """Count the files of this commit and those whose content another commit has brought already."""
        return sum(size for name, size in self.files.items() if self.is_cached(name))

    def is_cached(self, name: str) -> bool:
        return (self.folder / name).exists() or (self.repository / "blobs" / self.blobs[name]).exists()


def _cached_copy(wanted: _Wanted, *, listed: bool) -> Path | None:
    """Find a complete snapshot in the cache.

    With `listed`, completeness is proved by the repository's cached listing. Without, a snapshot that has no listing
    (an older huggingface_hub wrote it) is believed when its configuration and all shards of its weights are there.
    """
    commit = wanted.commit or _read_ref(wanted.ref)
    if commit is None:
        return None
    folder = wanted.repository / "snapshots" / commit
    try:
        names = [file.path for file in get_cached_repo_tree(wanted.model, revision=commit)]
    except CachedRepoTreeNotFoundError:
        return folder if not listed and _has_all_shards(folder, wanted.choose) else None
    needed = wanted.choose(names)
    return folder if needed and all((folder / name).exists() for name in needed) else None


def _read_ref(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _write_ref(path: Path, commit: str) -> None:
    """Remember what the revision was, in huggingface_hub's own place, so that it can be found without a network."""
    if _read_ref(path) == commit:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(commit, encoding="utf-8")
    part.replace(path)


def _has_all_shards(folder: Path, choose: Choose) -> bool:
    if not folder.is_dir():
        return False
    needed = set(choose(path.name for path in folder.iterdir() if path.exists()))
    indices = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.index.json")]
    sharded = [shards for index in indices if needed & (shards := set(index["weight_map"].values()))]
    return bool(needed) and all(shards <= needed for shards in sharded)


# The fetch


def _run(job: Callable[[threading.Event], Path], wanted: _Wanted, cancelled: threading.Event) -> Path:
    """Run a job in a thread of its own, so that being cancelled does not wait for a hub that hangs."""
    stop = threading.Event()
    result: Future[Path] = Future()

    def work() -> None:
        try:
            result.set_result(job(stop))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=work, name="fetch-model", daemon=True).start()
    try:
        while not cancelled.is_set():
            wait([result], timeout=POLL_S)
            if result.done():
                return result.result()
    finally:  # cancelled, or Ctrl-C in this thread
        if not result.done():
            stop.set()
            abort_xet_session()  # it has connections of its own, and only prints what its callback raises
            wait([result], timeout=CANCEL_GRACE_S)
    raise DownloadCancelled(wanted.model)


def _fetch(wanted: _Wanted, on_progress: Callable[[Progress], None], stop: threading.Event) -> Path:
    with _telling(wanted):
        if wanted.commit and (copy := _cached_copy(wanted, listed=True)):
            _report_all(copy, on_progress)
            return copy
        fallback = _cached_copy(wanted, listed=False)
        hub_client.prepare()
        try:
            # With a copy at hand, one failure is reason enough to take it: nobody waits for a hub that is down.
            plan = _make_plan(wanted, () if fallback else BACKOFF_S, stop)
            return _download(wanted, plan, on_progress, stop)
        except (HubUnreachable, HubOffline, HubTimeout, HubFailed, DownloadFailed) as error:
            if fallback is None:
                raise
            logger.warning("%s Until then its cached copy, commit %s, is used.", error, fallback.name)
            _report_all(fallback, on_progress)
            return fallback


def _report_all(folder: Path, on_progress: Callable[[Progress], None]) -> None:
    total_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    on_progress(Progress(total_bytes, total_bytes))


def _make_plan(wanted: _Wanted, pauses_s: Iterable[float], stop: threading.Event) -> _Plan:
    """Ask the hub once: the commit, all sizes, and most errors of access before any byte."""

    def ask() -> ModelInfo:
        api = HfApi(token=wanted.token, headers=hub_client.headers(stop))
        return api.model_info(wanted.model, revision=wanted.revision, files_metadata=True)

    with _telling(wanted):
        info = retrying(ask, may_pass, pauses_s, stop)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    files = {name: siblings[name].size or 0 for name in wanted.choose(siblings)}
    if not files or not info.sha:
        raise wanted.missing(wanted.model)
    blobs = {name: (lfs.sha256 if (lfs := siblings[name].lfs) else siblings[name].blob_id) or name for name in files}
    return _Plan(wanted.repository, info.sha, files, blobs)


def _download(wanted: _Wanted, plan: _Plan, on_progress: Callable[[Progress], None], stop: threading.Event) -> Path:
    meter = _Meter(plan.total_bytes, on_progress)
    fresh = {name for name in plan.files if not plan.is_cached(name)}

    def attempt() -> str:
        meter.restart(plan.cached_bytes())
        folder = snapshot_download(
            wanted.model,
            revision=plan.commit,
            token=wanted.token,
            headers=hub_client.headers(stop),
            allow_patterns=[glob.escape(name) for name in plan.files],
            tqdm_class=_bar_class(meter),
        )
        _check_contents(wanted, plan, fresh)
        return folder

    _sweep_orphans(plan.repository)
    _check_disk(wanted, plan)
    with _telling(wanted, plan):
        folder = Path(retrying(attempt, may_pass_now, BACKOFF_S, stop))
        if not wanted.commit:
            with suppress(OSError):  # a cache that is mounted read-only may hold all files
                _write_ref(wanted.ref, plan.commit)
    meter.restart(plan.total_bytes)
    return folder


def _check_contents(wanted: _Wanted, plan: _Plan, names: Set[str]) -> None:
    """Hash what came over plain HTTP: huggingface_hub checks its size alone. xet proves every piece itself."""
    listing = get_cached_repo_tree(wanted.model, revision=plan.commit) if is_xet_available() else ()
    for name in names - {file.path for file in listing if file.xet_hash}:
        path, digest = (plan.folder / name).resolve(), plan.blobs[name]
        if len(digest) == SHA256_DIGITS and _sha256(path) != digest:  # a small file has git's id, of another kind
            path.unlink()
            raise OSError(f"{name} came with the wrong content")


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sweep_orphans(repository: Path) -> None:
    """Remove what killed processes have left: huggingface_hub never resumes nor removes it.

    Who still writes a file holds its lock. Where a file system only pretends to lock, another machine's download of
    this moment loses its file, and begins anew.
    """
    for path in repository.glob("blobs/*.incomplete"):
        lock = repository.parent / ".locks" / repository.name / f"{path.name.partition('.')[0]}.lock"
        with suppress(OSError, NotImplementedError):  # it is locked, it is gone, or nothing can be locked here
            with FileLock(lock, blocking=False):
                path.unlink()
            logger.info("Removed %s, left by a download that was killed.", path.name)


def _check_disk(wanted: _Wanted, plan: _Plan) -> None:
    needed_bytes = plan.needed_disk_bytes()
    free_bytes = _free_bytes(plan.repository)
    if needed_bytes > free_bytes:
        raise DiskFull(wanted.model, needed_bytes, free_bytes)


def _free_bytes(folder: Path) -> int:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


# Progress


class _Meter:
    """Adds up the bytes from all threads; what it reports never goes back, though an attempt that failed may."""

    def __init__(self, total_bytes: int, on_progress: Callable[[Progress], None]) -> None:
        self._total_bytes = total_bytes
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._done_bytes = 0
        self._shown_bytes = -1

    def restart(self, done_bytes: int) -> None:
        """Set what is on the disk now: at the start of an attempt and at the end."""
        with self._lock:
            self._done_bytes = done_bytes
            self._show()

    def add(self, num_bytes: int) -> None:
        with self._lock:
            self._done_bytes += num_bytes
            self._show()

    def _show(self) -> None:
        done_bytes = min(self._done_bytes, self._total_bytes)
        if done_bytes > self._shown_bytes:
            self._shown_bytes = done_bytes
            self._on_progress(Progress(done_bytes, self._total_bytes))


def _bar_class(meter: _Meter) -> type:
    """Build what `snapshot_download` takes for a tqdm: it feeds the meter."""

    class Bar:
        format_dict: ClassVar[dict[str, float]] = {}  # read for the rate, by xet's callback, which must not raise

        def __init__(self, *_: object, total: float | None = None, desc: str = "", **__: object) -> None:
            self.total = total
            self.n = 0.0
            # Three bars are made: bytes received, bytes written and files. The second is what is on the disk.
            self._counts = desc.startswith("Reconstructing")

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self._counts:
                meter.add(int(n or 0))

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def close(self, *_: object, **__: object) -> None:
            pass

        refresh = set_description = set_description_str = set_postfix_str = close

    return Bar


# Failures


@contextmanager
def _telling(wanted: _Wanted, plan: _Plan | None = None) -> Iterator[None]:
    """Turn what huggingface_hub, its HTTP client and the disk raise into the sentence for it."""
    try:
        yield
    except Exception as error:
        if told := _explain(error, wanted) or (_explain_disk(error, wanted, plan) if plan else None):
            raise told from error
        raise


def _explain(error: BaseException, wanted: _Wanted) -> ModelError | None:
    model = wanted.model
    match error:
        case LocalEntryNotFoundError(__cause__=BaseException() as cause):
            return _explain(cause, wanted)
        case GatedRepoError():
            return ModelGated(model)
        case RepositoryNotFoundError():
            return ModelNotFound(model)
        case HubRevisionNotFoundError():
            return RevisionNotFound(model, wanted.revision or constants.DEFAULT_REVISION)
        case OfflineModeIsEnabled():
            return HubOffline(model)
        case HfHubHTTPError():
            status = error.response.status_code
            return BadToken(model) if status in (401, 403) else HubFailed(model, status)
        case httpx.TimeoutException():
            return HubTimeout(model)
        case httpx.ReadError() | httpx.WriteError() | httpx.RemoteProtocolError():
            return DownloadFailed(model)
        # Something answers that is not a hub: a login page of the network, a wrong HF_ENDPOINT.
        case httpx.RequestError() | httpx.InvalidURL() | FileMetadataError() | json.JSONDecodeError():
            return HubUnreachable(model)
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS | errno.ENOTDIR):
            return CacheNotWritable(model)
    return None


def _explain_disk(error: Exception, wanted: _Wanted, plan: _Plan) -> ModelError | None:
    needed_bytes, free_bytes = plan.needed_disk_bytes(), _free_bytes(plan.repository)
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # xet does not say that the disk is full; the numbers do, as its partial files are gone by now.
    if is_full or (is_broken_transfer(error) and needed_bytes > free_bytes):
        return DiskFull(wanted.model, needed_bytes, free_bytes)
    return DownloadFailed(wanted.model) if is_broken_transfer(error) else None
