"""A Space on the hub, by huggingface_hub alone: who may write, what is there, one commit, the start and its failures.

Every method raises SpaceError with one sentence when the hub refuses or fails, and ModelError where the model is at
fault.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    SpaceRuntime,
    Volume,
    get_token,
)
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import get_session, httpx, validate_repo_id

from streamspace import __version__, hub_failures, hub_internals
from streamspace.config import BUNDLED_MODEL, without_folders
from streamspace.download import WEIGHTS, weights_of
from streamspace.errors import SpaceError
from streamspace.fits import Weights
from streamspace.model_files import MODEL
from streamspace.space_files import is_ours
from streamspace.space_plan import Hardware, explain

BUNDLED = "./models/streamspace-tiny"  # the bundled model, as a Space finds it
DATA = "/data"  # where storage is mounted
EMPTY = {".gitattributes", "README.md"}  # what the hub itself puts into a Space
POLL_S = 5.0
MOST_FAILURES = 6  # polls in a row that may fail before the start is given up
ASLEEP = ("PAUSED", "STOPPED", "SLEEPING")
BROKEN = {
    "BUILD_ERROR": "the build failed",
    "CONFIG_ERROR": "the front matter of its README.md is refused",
    "NO_APP_FILE": "it has no app.py",
    "RUNTIME_ERROR": "the app ended by itself",
    "DELETING": "it is being deleted",
}
STAGES = {
    "BUILDING": "The hub builds it",
    "RUNNING_BUILDING": "The hub builds it, and the version before still runs",
    "APP_STARTING": "The container starts",
    "RUNNING_APP_STARTING": "The container starts, and the version before still runs",
    "RUNNING": "The page is up, and the model loads",
}
REFUSALS = {
    400: "The hub refuses {what}: {words}.",
    401: "The hub does not accept the token: log in again with `hf auth login`, or set HF_TOKEN to a valid token "
    "(https://huggingface.co/settings/tokens).",
    402: "The hub wants a payment method or a paid plan for {what}: {words}.",
    403: "Your account or its token may not do this ({what}): {words}.",
    409: "The hub says that {what} is in conflict with what is there: {words}.",
    412: "Somebody else changed the Space at the same time: run the command again.",
    429: "The hub has had too many requests, or as many Spaces as it allows ({what}): {words}.",
}


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into a SpaceError about `what`, such as "a Space called me/chat"."""
    try:
        yield
    except LocalTokenNotFoundError:
        raise SpaceError(
            "There is no token: log in with `hf auth login`, or set HF_TOKEN to a token with write access "
            "(https://huggingface.co/settings/tokens)."
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        status = 401 if "Invalid credentials" in error.response.headers.get("X-Error-Message", "") else status
        words = _words(error.server_message or error.response.reason_phrase)
        template = REFUSALS.get(status, "The hub answered with error {status} to {what}: {words}.")
        raise SpaceError(template, what=what, words=words, status=status) from error
    except httpx.TimeoutException as error:
        raise SpaceError("The hub did not answer in time ({what}).", what=what) from error
    except (httpx.RequestError, httpx.InvalidURL) as error:
        template = "The hub cannot be reached, or the connection broke off ({what}): check the network."
        raise SpaceError(template, what=what) from error
    except ValueError as error:  # of the front matter; from a hub that answers with something else than JSON
        raise SpaceError("The hub refuses {what}: {words}.", what=what, words=_words(str(error))) from error


def _words(text: str) -> str:
    return without_folders(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)).rstrip(".") or "it gives no reason"


@dataclass(frozen=True)
class Existing:
    """A Space that is there, and is one of ours."""

    commit: str
    files: tuple[str, ...]
    variables: Mapping[str, str]
    secrets: tuple[str, ...]
    runtime: SpaceRuntime
    is_private: bool


@dataclass(frozen=True)
class Source:
    """The model of a Space: its name for the variable MODEL_ID, its weights, and whether reading it needs a token."""

    model: str
    weights: Weights
    needs_token: bool


class SpaceHub:
    """The hub for one command. `api` is huggingface_hub's client with its endpoint and token."""

    def __init__(self, api: HfApi) -> None:
        hub_internals.set_up()
        self.api = api

    def space_id(self, name: str) -> str:
        """The whole id of a Space: without an owner, it is in the account of the token."""
        if "/" not in name:
            name = f"{self._account()['name']}/{name}"
        with suppress(HFValidationError):
            validate_repo_id(name)
            return name
        template = (
            "The Space cannot be called {name!r}: allowed are letters, digits, '-', '_' and '.', 96 with the owner, "
            "without two '-' or '.' side by side."
        )
        raise SpaceError(template, name=name)

    def _account(self) -> dict[str, Any]:
        with _explained("the question whose token this is"):
            return self.api.whoami(cache=True)

    def look(self, space_id: str) -> Existing | None:
        """The Space that is there; None if there is none that this token can see.

        Raises SpaceError if it is something else, or this token may not write to it.
        """
        if not (self.api.token or get_token()):
            with _explained("the question whose token this is"):
                raise LocalTokenNotFoundError
        with _explained(f"to look at the Space {space_id}"):
            try:
                info = self.api.space_info(space_id)
            except RepositoryNotFoundError as error:
                if error.response.status_code == 401:  # the token is wrong
                    self.api.whoami(cache=True)
                return None
        names = tuple(sibling.rfilename for sibling in info.siblings or ())
        if info.sdk != "gradio" or (
            set(names) - {".gitattributes", "README.md"} and "src/streamspace/llm.py" not in names
        ):
            template = "There is a Space called {name} already, and it is something else: choose another with --name."
            raise SpaceError(template, name=space_id)
        with _explained(f"to write to the Space {space_id}"):
            self.api.auth_check(space_id, repo_type="space", write=True)
            variables = {name: each.value for name, each in self.api.get_space_variables(space_id).items()}
            secrets = tuple(self.api.get_space_secrets(space_id))
            runtime = self.api.get_space_runtime(space_id)
        return Existing(info.sha or "", names, variables, secrets, runtime, bool(info.private))

    def check_may_create(self, space_id: str) -> None:
        """Raises SpaceError if it is known that this token may not create a Space there."""
        account, owner = self._account(), space_id.partition("/")[0]
        roles = {org["name"]: org.get("roleInOrg") or "write" for org in account.get("orgs") or ()}
        if owner != account["name"] and owner not in roles:
            template = "You are {account}, who has no part in {owner}: choose a Space of yours with --name {account}/…."
            raise SpaceError(template, account=account["name"], owner=owner)
        if roles.get(owner) == "read":
            raise SpaceError("Your role in {owner} is to read: have it changed to one that may write.", owner=owner)
        token = (account.get("auth") or {}).get("accessToken") or {}
        scoped = (token.get("fineGrained") or {}).get("scoped") or ()
        may_write = [each["entity"].get("name") for each in scoped if "repo.write" in each["permissions"]]
        if token.get("role") == "read" or (token.get("role") == "fineGrained" and owner not in may_write):
            template = (
                "The token {token!r} may not write to {owner}: make one with write access "
                "(https://huggingface.co/settings/tokens), then log in with it or set HF_TOKEN."
            )
            raise SpaceError(template, token=token.get("displayName", ""), owner=owner)

    def source(self, model: str, revision: str | None) -> Source:
        """Look at the model: its weights, whether it is there, and whether this token may read it."""
        if Path(model) in (BUNDLED_MODEL, Path(BUNDLED), Path(BUNDLED_MODEL.name)):
            names = [path.name for path in BUNDLED_MODEL.iterdir()]
            return Source(BUNDLED, weights_of(BUNDLED_MODEL, names), needs_token=False)
        if model.startswith(DATA[:1]):  # a volume that is mounted there: the hub does not tell what it holds
            return Source(model, Weights(0, {}), needs_token=False)
        try:
            validate_repo_id(model)
            info = self.api.model_info(model, revision=revision, files_metadata=True)
            if info.gated:
                self.api.auth_check(model)
        except HFValidationError:
            raise SpaceError(hub_failures.BAD_ID, model=model) from None
        except (HfHubHTTPError, httpx.RequestError, ValueError) as error:
            failure = hub_failures.explain(error, model, revision)
            if failure is None:
                raise
            raise failure from error
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
        chosen = MODEL.choose(sizes)
        if not chosen:
            raise SpaceError(MODEL.missing, model=model)
        values = info.safetensors.parameters if info.safetensors else {}
        weights = Weights(sum(sizes[name] for name in chosen if name.endswith(WEIGHTS)), Counter(values))
        return Source(model, weights, bool(info.gated or info.private))

    def offers(self) -> list[Hardware]:
        """The hub's hardware for Spaces, with its prices."""
        with _explained("the list of hardware"):
            return [_hardware(each) for each in self.api.list_spaces_hardware()]

    def create(
        self,
        space_id: str,
        hardware: str,
        sleep_s: int | None,
        variables: Mapping[str, str],
        secrets: Mapping[str, str],
        storage: str | None,
        *,
        is_private: bool,
    ) -> None:
        """Make a Space without files: in one call, so that it is there with all of this or not at all.

        When the hub's answer is lost, or Ctrl-C comes first, the Space that may be there is deleted while it is empty.
        """
        with _explained(f"a Space called {space_id} on {hardware}"):
            try:
                self.api.create_repo(
                    space_id,
                    repo_type="space",
                    space_sdk="gradio",
                    private=is_private,
                    space_hardware=hardware,  # type: ignore[arg-type]  # names newer than the enumeration, too
                    space_sleep_time=sleep_s,
                    space_variables=[_entry(name, value) for name, value in variables.items()],
                    space_secrets=[_entry(name, value) for name, value in secrets.items()],
                    space_volumes=[_volume(storage)] if storage else None,
                )
            except HfHubHTTPError:
                raise  # it says that there is no such Space of ours
            except BaseException:
                with suppress(SpaceError):
                    self._delete_empty(space_id)
                raise

    def make_storage(self, bucket: str) -> bool:
        """Have a private bucket of this id; whether it is new."""
        with _explained(f"a storage bucket called {bucket}"):
            try:
                self.api.bucket_info(bucket)
                return False
            except HfHubHTTPError as error:
                if error.response.status_code != 404:
                    raise
            self.api.create_bucket(bucket, private=True)
            return True

    def drop_storage(self, bucket: str) -> None:
        """Delete a bucket that was made a moment ago."""
        with _explained(f"to delete the storage bucket {bucket}"):
            self.api.delete_bucket(bucket)

    def delete(self, space_id: str) -> None:
        """Delete a Space that was made a moment ago."""
        with _explained(f"to delete the Space {space_id}"):
            self.api.delete_repo(space_id, repo_type="space", missing_ok=True)

    def _delete_empty(self, space_id: str) -> None:
        with _explained(f"to look at the Space {space_id}"):
            names = {sibling.rfilename for sibling in self.api.space_info(space_id).siblings or ()}
        if not names - EMPTY:
            self.delete(space_id)

    def set_hardware(self, space_id: str, hardware: str, sleep_s: int | None) -> None:
        """Ask for other hardware, with its sleep time."""
        with _explained(f"the hardware {hardware}"):
            self.api.request_space_hardware(space_id, hardware, sleep_time=sleep_s)  # type: ignore[arg-type]

    def set_sleep(self, space_id: str, sleep_s: int) -> None:
        """Set how long the Space may idle."""
        with _explained("the sleep time"):
            self.api.set_space_sleep_time(space_id, sleep_s)

    def set_variable(self, space_id: str, name: str, value: str) -> None:
        """Set a public variable."""
        with _explained(f"the variable {name}"):
            self.api.add_space_variable(space_id, name, value, description=explain(name) or None)

    def set_secret(self, space_id: str, name: str, value: str) -> None:
        """Set a secret."""
        with _explained(f"the secret {name}"):
            self.api.add_space_secret(space_id, name, value)

    def mount(self, space_id: str, there: SpaceRuntime, storage: str) -> None:
        """Mount a bucket, beside the volumes that the Space has."""
        others = [volume for volume in there.volumes or () if volume.mount_path != DATA]
        with _explained(f"the storage bucket {storage}"):
            self.api.set_space_volumes(space_id, [*others, _volume(storage)])

    def commit(self, space_id: str, files: Mapping[str, bytes], there: Existing | None, model: str) -> str:
        """Bring all files over in one commit, without those of ours that are no more; returns the commit's id.

        A commit whose answer was lost counts: the hub is asked what it has.
        """
        gone = [name for name in there.files if is_ours(name) and name not in files] if there else []
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(name, content) for name, content in files.items()),
            *(CommitOperationDelete(name) for name in gone),
        ]
        try:
            with _explained(f"the files of {space_id}"):
                commit = self.api.create_commit(
                    space_id,
                    operations,
                    repo_type="space",
                    commit_message=f"StreamSpace {__version__} with {model}",
                    parent_commit=there.commit if there and there.commit else None,
                )
                return commit.oid
        except SpaceError:
            with suppress(Exception):
                info = self.api.space_info(space_id)
                names = {sibling.rfilename for sibling in info.siblings or ()}
                if info.sha and info.sha != (there.commit if there else "") and set(files) <= names:
                    return info.sha
            raise

    def wake(self, space_id: str) -> None:
        """Start a Space that sleeps or is paused."""
        with _explained(f"to start the Space {space_id}"):
            self.api.restart_space(space_id)

    def follow(self, space_id: str, commit: str, tell: Callable[[str], None], wait_s: float) -> str:
        """Wait until the model of this commit answers, and return the page's address.

        `tell` is given a sentence whenever there is something new; `wait_s` is how long to wait at most.

        Raises SpaceError when it does not start, with the reason from the hub, its log or the app itself.
        """
        deadline_s, told, failures = time.monotonic() + wait_s, "", 0
        while True:
            try:
                stage, address, sentence = self._step(space_id, commit)
                failures = 0
            except _Failed:
                raise
            except SpaceError:
                failures += 1
                if failures >= MOST_FAILURES:
                    raise
                stage, address, sentence = "", "", told
            if stage == "ready":
                return address
            if sentence != told:
                tell(sentence)
                told = sentence
            if time.monotonic() >= deadline_s:
                template = "The Space {name} is not ready after {minutes:g} minutes, and goes on by itself ({told})."
                raise SpaceError(template, name=space_id, minutes=round(wait_s / 60, 1), told=told)
            time.sleep(POLL_S)

    def _step(self, space_id: str, commit: str) -> tuple[str, str, str]:
        """The Space's stage, its address and a sentence about now; raises _Failed when it will not start."""
        with _explained(f"the state of {space_id}"):
            info = self.api.space_info(space_id)
            runtime = self.api.get_space_runtime(space_id)
        stage, address = str(getattr(runtime.stage, "value", runtime.stage)), info.host or ""
        if stage in BROKEN or stage in ASLEEP:
            reason = BROKEN.get(stage, f"it is {stage.lower()}, perhaps by somebody's hand")
            told = runtime.raw.get("errorMessage") or self._last_words(space_id, build=stage == "BUILD_ERROR")
            template = "The Space {name} did not start, {reason}: {words}. Its files are there; {where} has all of it."
            where = f"{self.api.endpoint}/spaces/{space_id}?logs={'build' if stage == 'BUILD_ERROR' else 'container'}"
            raise _Failed(template, name=space_id, reason=reason, words=_words(told), where=where)
        if stage != "RUNNING" or runtime.raw.get("sha", commit) != commit:
            return stage, address, STAGES.get(stage, f"The Space is {stage.lower().replace('_', ' ')}")
        return self._health(space_id, address, is_private=bool(info.private))

    def _health(self, space_id: str, address: str, *, is_private: bool) -> tuple[str, str, str]:
        """What the app itself says; its page may answer later than the hub has it as running."""
        token = self.api.token or get_token()
        headers = {"Authorization": f"Bearer {token}"} if is_private and isinstance(token, str) else {}
        told: dict[str, str] = {}
        with suppress(httpx.RequestError, ValueError):
            told = get_session().get(f"{address}/health", headers=headers).json()
        status = told.get("status") if isinstance(told, dict) else None
        if status == "failed":
            template = "The page of {name} is up at {address}, and its model did not start: {detail}"
            raise _Failed(template, name=space_id, address=address, detail=told.get("detail", ""))
        if status == "ready":
            return "ready", address, ""
        return "RUNNING", address, told.get("detail") or STAGES["RUNNING"]

    def _last_words(self, space_id: str, *, build: bool) -> str:
        """The line of the log that most likely says why, or else its last one."""
        lines: list[str] = []
        with suppress(HfHubHTTPError, httpx.RequestError, ValueError, KeyError):
            lines = [
                line.strip() for text in self.api.fetch_space_logs(space_id, build=build) for line in text.splitlines()
            ]
        lines = [line for line in lines if line]
        errors = [line for line in lines if re.search(r"\berror\b|Error:|streamspace: ", line, re.IGNORECASE)]
        return (errors or lines or [""])[-1]


class _Failed(SpaceError):
    """The Space has failed for good, so that polling again is useless."""


def _hardware(info: Any) -> Hardware:
    gpu, hours = info.accelerator, {"minute": 60.0, "second": 3600.0}.get(info.unit_label, 1.0)
    number = int(gpu.quantity) if gpu else 0
    return Hardware(
        name=info.name,
        title=info.pretty_name,
        dollars_per_hour=info.unit_cost_usd * hours,
        ram_bytes=_bytes(info.ram),
        disk_bytes=_bytes(info.ephemeral_storage),
        gpu=gpu.model if gpu else "",
        num_gpus=number,
        gpu_bytes=_bytes(gpu.vram) // max(number, 1) if gpu else 0,
    )


def _bytes(told: str) -> int:
    """The hub's "24 GB" in bytes; 0 for anything else."""
    found = re.fullmatch(r"([\d.]+)\s*([GT])i?B", told or "")
    return int(float(found[1]) * {"G": 1e9, "T": 1e12}[found[2]]) if found else 0


def _entry(name: str, value: str) -> dict[str, str]:
    words = explain(name)
    return {"key": name, "value": value} | ({"description": words} if words else {})


def _volume(storage: str) -> Volume:
    return Volume(type="bucket", source=storage, mount_path=DATA)


def connect() -> SpaceHub:
    """The hub of the environment, with the token from there or from `hf auth login`."""
    return SpaceHub(HfApi(library_name="streamspace", library_version=__version__))
