"""The undocumented names of huggingface_hub that StreamSpace uses: all are here."""

import logging
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils import httpx, silent_tqdm  # httpx: its HTTP client, httpx2 in newer versions

from streamspace.patching import patch, require

CHUNK_BYTES = 256 * 1024  # the step of progress and cancelling; the library's own 10 MiB is too coarse
# (module, name) → what StreamSpace needs it for; each is looked up when it is used.
NAMES = {
    ("constants", "DOWNLOAD_CHUNK_SIZE"): "to show the progress of a file in small steps",
    ("utils._http", "default_client_factory"): "to add a time-out to each request, and keep the offline mode",
    ("utils._xet", "abort_xet_session"): "to end the downloads of xet when a download is cancelled",
    ("file_download", "repo_folder_name"): "to find a repository in the cache",
    ("file_download", "_cache_commit_hash_for_specific_revision"): "to find a revision again without a network",
}
# snapshot_download makes three progress bars; the title of the one that counts bytes on the disk begins so.
DISK_BAR = "Reconstructing"


def find(module: str, name: str) -> Any:
    """One of NAMES.

    Raises:
        MissingName: this version of huggingface_hub does not have it.
    """
    return require(import_module(f"huggingface_hub.{module}"), name, NAMES[module, name])


@cache
def set_up() -> None:
    """Set up huggingface_hub for this process, once: small steps of progress, one log, a time-out for each request."""
    patch(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK_BYTES, NAMES["constants", "DOWNLOAD_CHUNK_SIZE"])
    logging.getLogger("huggingface_hub").handlers.clear()  # its lines come to our log already
    set_client_factory(_make_client)


def _make_client() -> httpx.Client:
    try:
        client: httpx.Client = find("utils._http", "default_client_factory")()
    except (ValueError, ImportError) as error:  # an unknown kind of proxy, or one that needs another package
        raise httpx.ProxyError(str(error)) from error
    client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], _limit_time]}
    return client


def _limit_time(request: httpx.Request) -> None:
    """Give every request a time-out: huggingface_hub sets none for some, and a minute for others."""
    limit_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    old_s = request.extensions.get("timeout") or {}
    new_s = {phase: min(old_s.get(phase) or limit_s, limit_s) for phase in ("connect", "read", "write", "pool")}
    request.extensions = {**request.extensions, "timeout": new_s}


def repository_folder(model: str) -> Path:
    """The folder of a model's repository in the cache: blobs/, refs/, snapshots/, trees/."""
    return Path(constants.HF_HUB_CACHE, find("file_download", "repo_folder_name")(repo_id=model, repo_type="model"))


def remember_commit(model: str, revision: str | None, commit: str) -> None:
    """Store the commit of a revision, so that the cache finds it without a network."""
    remember = find("file_download", "_cache_commit_hash_for_specific_revision")
    remember(str(repository_folder(model)), revision or constants.DEFAULT_REVISION, commit)


def abort_xet() -> None:
    """End all downloads of xet, which has its own connections and threads."""
    find("utils._xet", "abort_xet_session")()


def progress_bar(count: Callable[[int], None], check: Callable[[], None]) -> type:
    """Build a class that `snapshot_download` takes as its tqdm.

    Args:
        count: called with the number of bytes that were written to the disk since the last call.
        check: called in the threads that fetch over plain HTTP; an error that it raises ends the download.
    """

    class Bar(silent_tqdm):
        format_dict: ClassVar[dict[str, float]] = {}  # read for the rate

        def __init__(self, *_: object, total: float | None = None, desc: str = "", **__: object) -> None:
            self.total, self.n = total, 0.0
            self._counts = desc.startswith(DISK_BAR)

        def update(self, n: float | None = 1) -> None:
            # xet calls from its own threads, which only print errors: abort_xet ends those downloads.
            if type(threading.current_thread()) is threading.Thread:
                check()
            self.n += n or 0
            if self._counts:
                count(int(n or 0))

        def close(self, *_: object, **__: object) -> None:
            """Show nothing: neither a new title nor a new rate."""

        refresh = set_description = set_description_str = set_postfix_str = close

    return Bar
