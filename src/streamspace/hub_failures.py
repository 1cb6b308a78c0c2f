"""Errors of huggingface_hub, its HTTP client and the disk → the ModelError that says it in one sentence."""

import errno
import json

from huggingface_hub import constants, errors
from huggingface_hub.utils import httpx, parse_ratelimit_headers  # httpx: its HTTP client

from streamspace.errors import AccessDenied, DiskFull, DownloadFailed, HubUnreachable, ModelError, ModelNotFound

MOST_PAUSE_S = 100.0  # the longest pause that the hub gets; its limits are per 5 minutes
BAD_ID = "'{model}' is not a model: give a Hugging Face id such as Qwen/Qwen2.5-1.5B-Instruct, or a folder."
REFUSED = (
    "The Hugging Face hub refuses access to '{model}': set HF_TOKEN to a valid token with read access "
    "(https://huggingface.co/settings/tokens), or leave it out for a public model."
)
NO_ROOM = (
    "The disk is too full for '{model}': {needed} are needed and {free} are free; make room, or set HF_HOME to a "
    "folder on a larger disk."
)
DISK_FULL = "The disk is too full for '{model}': make room, or set HF_HOME to a folder on a larger disk."
NOT_WRITABLE = (
    "The model '{model}' cannot be stored, the cache folder is not writable: set HF_HOME to a folder that is."
)
BROKEN = (
    "The download of '{model}' broke off again and again: check the network and start again; finished files are kept."
)
CANCELLED = "The download of '{model}' was cancelled; finished files are kept."
# The first match counts.
FAILURES: dict[tuple[type[Exception] | tuple[type[Exception], ...], type[ModelError]], str] = {
    (errors.GatedRepoError, AccessDenied): "The model '{model}' is gated: accept its terms at "
    "https://huggingface.co/{model} and set HF_TOKEN to a token of the account that accepted them.",
    (errors.RepositoryNotFoundError, ModelNotFound): "There is no model '{model}' on the Hugging Face hub: check the "
    "spelling, and if it is private set HF_TOKEN to a token that may read it.",
    (errors.RevisionNotFoundError, ModelNotFound): "The model '{model}' has no revision '{revision}': set "
    "MODEL_REVISION to one of its branches, tags or commits, or leave it out.",
    (errors.OfflineModeIsEnabled, HubUnreachable): "The model '{model}' is not complete in the local cache and "
    "HF_HUB_OFFLINE forbids fetching it: unset HF_HUB_OFFLINE, or fetch the model first.",
    (errors.HfHubHTTPError, DownloadFailed): "The Hugging Face hub answered with error {status} while '{model}' was "
    "fetched: start again later (https://status.huggingface.co); finished files are kept.",
    (httpx.TimeoutException, HubUnreachable): "The Hugging Face hub did not answer in time while '{model}' was "
    "fetched: start again later; finished files are kept.",
    # A failure of xet is a RuntimeError, and a file of the wrong size an OSError.
    ((httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError, RuntimeError), DownloadFailed): BROKEN,
    # The answer is not from a hub: a login page of the network, a wrong HF_ENDPOINT.
    ((httpx.RequestError, httpx.InvalidURL, errors.FileMetadataError, json.JSONDecodeError), HubUnreachable): "The "
    "Hugging Face hub cannot be reached to fetch '{model}': check the network (and HF_ENDPOINT and HTTPS_PROXY, if "
    "they are set) and start again.",
    (OSError, DownloadFailed): BROKEN,
}


def explain(error: BaseException, model: str, revision: str | None) -> ModelError | None:
    """The error with a sentence for everybody; None if the hub, the network and the disk have not failed."""
    values: dict[str, object] = {"model": model, "revision": revision or constants.DEFAULT_REVISION}
    match error:
        case errors.LocalEntryNotFoundError(__cause__=BaseException() as cause):
            return explain(cause, model, revision)
        case errors.HfHubHTTPError():
            values["status"] = status = error.response.status_code
            if type(error) is errors.HfHubHTTPError and status in (401, 403):
                return AccessDenied(REFUSED, **values)
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS | errno.ENOTDIR):
            return DiskFull(NOT_WRITABLE, **values)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return DiskFull(DISK_FULL, **values)
        case OSError(errno=int(number)) if number != errno.ENOENT:  # ENOENT: another process has removed the file
            return None
    return next((kind(words, **values) for (types, kind), words in FAILURES.items() if isinstance(error, types)), None)


def is_final(error: BaseException | None) -> bool:
    """Whether another attempt is useless: the result would be the same, or huggingface_hub has retried already."""
    if isinstance(error, errors.HfHubHTTPError):
        return bool(error.response.status_code < 500 and error.response.status_code not in (408, 429))
    wrong_hub = httpx.TooManyRedirects | httpx.InvalidURL | json.JSONDecodeError
    return isinstance(error, wrong_hub | errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError)


def asked_pause_s(error: BaseException | None) -> float:
    """The seconds that a hub with a rate limit asks to wait, from 0 to MOST_PAUSE_S."""
    headers = error.response.headers if isinstance(error, errors.HfHubHTTPError) else {}
    limit, after = parse_ratelimit_headers(headers), headers.get("retry-after", "")
    reset_s = limit.reset_in_seconds if limit and not limit.remaining else int(after) if after.isdecimal() else 0
    return min(reset_s, MOST_PAUSE_S)
