"""What StreamSpace uses of huggingface_hub that its documentation does not promise: here and in no other module."""

import logging
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils import httpx, silent_tqdm  # the client that it uses, httpx2 by now

from streamspace.patching import patch, require

CHUNK_BYTES = 256 * 1024  # progress and cancelling go in these steps; the library's own 10 MiB are too coarse
# (module, name) → what StreamSpace needs it for; each is looked up when it is used.
NAMES = {
    ("constants", "DOWNLOAD_CHUNK_SIZE"): "to show the progress of a file in small steps",
    ("utils._http", "default_client_factory"): "to add a time-out to each request, and keep the offline mode",
    ("utils._xet", "abort_xet_session"): "to end the downloads of xet when a download is cancelled",
    ("file_download", "repo_folder_name"): "to find a repository in the cache",
    ("file_download", "_cache_commit_hash_for_specific_revision"): "to find a revision again without a network",
}
# The title that snapshot_download gives to the progress bar that counts bytes on the disk; it makes two more.
DISK_BAR = "Reconstructing"


def name(module: str, name: str) -> Any:
    """One of NAMES.

    Raises:
        MissingName: this version of huggingface_hub has it no more.
    """
    return require(import_module(f"huggingface_hub.{module}"), name, NAMES[module, name])


@cache
def set_up() -> None:
    """Set up huggingface_hub for this process, once: small steps of progress, one log, a time-out for each request."""
    patch(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK_BYTES, NAMES["constants", "DOWNLOAD_CHUNK_SIZE"])
    logging.getLogger("huggingface_hub").handlers.clear()  # its lines come to our log, too
    set_client_factory(_make_client)


def _make_client() -> httpx.Client:
    try:
        client: httpx.Client = name("utils._http", "default_client_factory")()
    except (ValueError, ImportError) as error:  # a proxy of a kind that it does not know, or not without a package
        raise httpx.ProxyError(str(error)) from error
    client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], _limit_time]}
    return client


def _limit_time(request: httpx.Request) -> None:
    """Give every request a time-out: huggingface_hub asks for none on some, and for a minute on others."""
    limit_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    old_s = request.extensions.get("timeout") or {}
    new_s = {phase: min(old_s.get(phase) or limit_s, limit_s) for phase in ("connect", "read", "write", "pool")}
    request.extensions = {**request.extensions, "timeout": new_s}


def repository_folder(model: str) -> Path:
    """The folder of a model's repository in the cache: blobs/, refs/, snapshots/, trees/."""
    return Path(constants.HF_HUB_CACHE, name("file_download", "repo_folder_name")(repo_id=model, repo_type="model"))


def remember_commit(model: str, revision: str | None, commit: str) -> None:
    """Write down which commit a revision is, so that the cache has it without a network."""
    remember = name("file_download", "_cache_commit_hash_for_specific_revision")
    remember(str(repository_folder(model)), revision or constants.DEFAULT_REVISION, commit)


def abort_xet() -> None:
    """End all downloads over xet, which has connections and threads of its own."""
    name("utils._xet", "abort_xet_session")()


def progress_bar(count: Callable[[int], None], check: Callable[[], None]) -> type:
    """Build what `snapshot_download` takes for a tqdm.

    Args:
        count: called with the number of bytes that have been written to the disk since its last call.
        check: called in the threads that fetch over plain HTTP; what it raises ends the download.
    """

    class Bar(silent_tqdm):
        format_dict: ClassVar[dict[str, float]] = {}  # read for the rate

        def __init__(self, *_: object, total: float | None = None, desc: str = "", **__: object) -> None:
            self.total, self.n = total, 0.0
            self._counts = desc.startswith(DISK_BAR)

        def update(self, n: float | None = 1) -> None:
            # xet calls from threads that are not Python's, and only prints what is raised there: abort_xet ends them.
            if type(threading.current_thread()) is threading.Thread:
                check()
            self.n += n or 0
            if self._counts:
                count(int(n or 0))

        def close(self, *_: object, **__: object) -> None:
            """Show nothing: neither a new title nor a new rate."""

        refresh = set_description = set_description_str = set_postfix_str = close

    return Bar
