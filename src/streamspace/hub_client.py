"""huggingface_hub's HTTP client, as a page needs it that shows progress and can be stopped while a hub hangs.

The client is one for the whole process: `prepare` sets it up. Every request has a time-out, a fetch can be stopped
inside the library's own threads, what broke in the middle is resumed, and no hub can ask for an endless pause.
"""

import errno
import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from huggingface_hub import constants, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import httpx, parse_ratelimit_headers  # the client that it uses, httpx2 by now
from huggingface_hub.utils._http import hf_request_event_hook

logger = logging.getLogger(__name__)

T = TypeVar("T")

CHUNK_BYTES = 256 * 1024  # progress and resuming go in these steps; the library's own 10 MiB are too coarse
MOST_PAUSE_S = 100  # of what the hub may ask for; its own limits are counted anew every 5 minutes


class _Stopped(Exception):
    """Ends a worker whose fetch was cancelled; nobody waits for it any more."""


# The hub's client is one for the whole process, and its threads are the library's own: a header tells which fetch a
# request belongs to, and here is the event that ends that fetch. The header is taken off before the request leaves.
_STOP_HEADER = "x-streamspace-fetch"
_stops: WeakValueDictionary[str, threading.Event] = WeakValueDictionary()


def headers(stop: threading.Event) -> dict[str, str]:
    """What a request is to be sent with, so that `stop`, once it is set, ends it."""
    key = str(id(stop))
    _stops[key] = stop
    return {_STOP_HEADER: key}


def _heed_stop(request: httpx.Request) -> None:
    if stop := _stops.get(request.headers.pop(_STOP_HEADER, "")):
        request.extensions = {**request.extensions, "stop": stop}
    if (stop := request.extensions.get("stop")) and stop.is_set():  # a redirected request has it from the first
        raise _Stopped


@functools.cache
def prepare() -> None:
    """Set up huggingface_hub for this process, once."""
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    logging.getLogger("huggingface_hub").handlers.clear()  # its lines come to our log, too
    set_client_factory(_make_client)


class _Client(httpx.Client):
    """Shows a reset connection as a server that hung up.

    huggingface_hub goes on with the same file after that, but throws away what it has of the file after a reset.
    """

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        try:
            return super().send(request, **options)
        except httpx.ReadError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error


def _make_client() -> httpx.Client:
    requests: list[Callable[..., Any]] = [_heed_stop, hf_request_event_hook, _limit_time]
    responses: list[Callable[..., Any]] = [_limit_pause, _keep_resumable]
    try:
        return _Client(event_hooks={"request": requests, "response": responses}, follow_redirects=True, timeout=None)
    except (ValueError, ImportError) as error:  # a proxy of a kind that it does not know, or not without a package
        raise httpx.ProxyError(str(error)) from error


def _limit_time(request: httpx.Request) -> None:
    """Give every request a time-out: huggingface_hub asks for none on some, and for a minute on others."""
    limit_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    given_s = request.extensions.get("timeout") or {}
    phases = ("connect", "read", "write", "pool")
    request.extensions = {
        **request.extensions,
        "timeout": {phase: min(given_s.get(phase) or limit_s, limit_s) for phase in phases},
    }


def _limit_pause(response: httpx.Response) -> None:
    """Keep a hub from asking for any pause: huggingface_hub would sleep through all of it, and cannot be woken."""
    if _asked_pause_s(response) > MOST_PAUSE_S:
        response.headers.pop("ratelimit", None)
        response.headers["retry-after"] = str(MOST_PAUSE_S)


def _asked_pause_s(response: httpx.Response) -> int:
    limit, after = parse_ratelimit_headers(response.headers), response.headers.get("retry-after", "")
    reset_s = limit.reset_in_seconds if limit and not limit.remaining else 0
    return max(reset_s, int(after) if after.isdecimal() else 0)


def _keep_resumable(response: httpx.Response) -> None:
    """Show a 5xx on a resumed file, too, as a server that hung up; and a reset in the middle of the body."""
    if response.status_code >= 500 and "range" in response.request.headers:
        raise httpx.RemoteProtocolError(f"HTTP {response.status_code} on resuming", request=response.request)
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _Body(response.stream, response.request.extensions.get("stop"))


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, stop: threading.Event | None) -> None:
        self._stream = stream
        self._stop = stop

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._stream:
                if self._stop and self._stop.is_set():
                    raise _Stopped
                yield piece
        except httpx.ReadError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    def close(self) -> None:
        self._stream.close()


def retrying(
    call: Callable[[], T], passes: Callable[[Exception], bool], pauses_s: Iterable[float], stop: threading.Event
) -> T:
    """What the call returns; after a failure that `passes` it is made again, until the pauses are used up."""
    for pause_s in pauses_s:
        try:
            return call()
        except Exception as error:
            if not passes(error) or stop.is_set():
                raise
            if isinstance(error, HfHubHTTPError):
                pause_s = max(pause_s, _asked_pause_s(error.response))
            logger.warning("The hub failed (%s): next attempt in %g s.", type(error).__name__, pause_s)
        stop.wait(pause_s)
    return call()


def may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed: the hub was out of reach, at its limit or failed by itself."""
    if isinstance(error, HfHubHTTPError):
        status: int = error.response.status_code
        return status >= 500 or status in (408, 429)
    return isinstance(error, httpx.TransportError)


def may_pass_now(error: Exception) -> bool:
    """As `may_pass`, in the middle of a download, where huggingface_hub has itself tried several times after some."""
    if isinstance(error, (httpx.ConnectError, httpx.TimeoutException, LocalEntryNotFoundError)):
        return False
    if isinstance(error, HfHubHTTPError) and error.response.status_code == 429:
        return False
    return may_pass(error) or is_broken_transfer(error)


def is_broken_transfer(error: Exception) -> bool:
    """Recognise what has no class of its own: any failure of xet (RuntimeError), a file of the wrong size or content.

    And one that somebody else's sweep of orphans has taken away.
    """
    if isinstance(error, HfHubHTTPError):
        return False
    return isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno in (None, errno.ENOENT))
