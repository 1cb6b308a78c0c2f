"""The download against the real huggingface_hub and a hub on this machine; nothing leaves 127.0.0.1."""

import errno
import hashlib
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hf_xet  # type: ignore[import-untyped]
import huggingface_hub.file_download
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from streamspace import download, errors, hub_failures
from streamspace.download import Progress, fetch
from streamspace.hub_internals import CHUNK_BYTES, abort_xet
from streamspace.model_files import ADAPTER, adapter_files, kind_of_model, needed_files
from tests.hub import SHA, Fault, Hub, use
from tests.support import wait_until

WEIGHTS = bytes(range(256)) * 8192  # 2 MiB, 8 chunks
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"[]",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"the same in the old format",
    "modeling_tiny.py": b"code",
    "README.md": b"words",
    "onnx/model.onnx": b"another runtime",
    "onnx/config.json": b"{}",
}
NEEDED = {"config.json", "tokenizer.json", "model.safetensors"}
TOTAL_BYTES = sum(len(FILES[name]) for name in NEEDED)
BODY = r"/resolve/.*/model\.safetensors"
SLEEP = time.sleep
Fetch = subprocess.Popen[str]


def fetch_model(model: str, *, trust_remote_code: bool = False, **options: Any) -> Path:
    return fetch(model, kind_of_model(trust_remote_code), **options)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no token, short pauses, and no way out of this machine."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] == "127.0.0.1", f"a request for {address}"
        connect(self, address)

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(time, "sleep", lambda seconds: SLEEP(min(seconds, 0.01)))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    monkeypatch.setattr(download, "BACKOFF_S", (0.01, 0.01, 0.01))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({"org/tiny": dict(FILES)}) as hub:
        use(hub.url, monkeypatch)
        yield hub


@pytest.fixture
def child(hub: Hub) -> Iterator[Callable[..., Fetch]]:
    """Fetches in processes of their own, which print the folder and log as the app does."""
    code = (
        "from streamspace.process import log_to_terminal; log_to_terminal();"
        "from streamspace.download import fetch; from streamspace.model_files import MODEL;"
        "print(fetch('org/tiny', MODEL))"
    )
    environ = {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": constants.HF_HUB_CACHE,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(Path(download.__file__).parents[1]),
    }
    started: list[Fetch] = []

    def start(**changes: str) -> Fetch:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(
            subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **environ, **changes}, **pipes)
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def use_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        use(f"http://127.0.0.1:{closed.getsockname()[1]}", monkeypatch)


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def partial_files() -> list[Path]:
    return list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))


def write_model(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


# A folder


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", {"config.json": b"{}", "model.safetensors": b""})
    assert fetch_model(str(folder)) == folder


def test_a_relative_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path / "org" / "tiny", {"params.json": b"{}", "consolidated.safetensors": b""})
    monkeypatch.chdir(tmp_path)
    assert fetch_model("org/tiny") == folder


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path / "tiny", {"config.json": b"{}", "pytorch_model.bin": b""})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch_model("~/tiny") == folder


@pytest.mark.parametrize(
    "files", [{"config.json": b"{}"}, {"model.safetensors": b""}, {"config.json": b"", "m.gguf": b""}]
)
def test_a_folder_without_a_model_is_named_as_it_was_given(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "model", files)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.BadModel, match=r"^There is no model that vLLM can load in './model': it must hold"):
        fetch_model("./model")


@pytest.mark.parametrize(
    "model", ["/no/such/folder", "./none", "../none/deep", "~/no-such-folder-here", "~nobody-here/x", "/dev/null"]
)
def test_a_path_that_leads_nowhere_is_no_hub_id(model: str) -> None:
    with pytest.raises(errors.BadModel, match=model):
        fetch_model(model)


def test_a_bad_id_is_refused_without_a_request(hub: Hub) -> None:
    for model in ("", "a/b/c", "org/tiny model", "org/--x", "https://huggingface.co/org/tiny", "x" * 5000):
        with pytest.raises(errors.BadModel, match=f"^'{model}' is not a model: give a Hugging Face id"):
            fetch_model(model)
    assert hub.requests == []


# A fetch that goes well


def test_only_the_needed_files_are_fetched(hub: Hub) -> None:
    folder = fetch_model("org/tiny")
    assert names_in(folder) == NEEDED
    assert set(hub.file_requests()) == NEEDED


def test_the_files_arrive_whole(hub: Hub) -> None:
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS


def test_python_files_are_fetched_when_remote_code_is_trusted(hub: Hub) -> None:
    assert names_in(fetch_model("org/tiny", trust_remote_code=True)) == NEEDED | {"modeling_tiny.py"}


def test_the_token_is_sent(hub: Hub) -> None:
    fetch_model("org/tiny", token=" hf_secret\n")
    assert set(hub.tokens) == {"Bearer hf_secret"}


def test_progress_never_goes_back_and_ends_at_the_total(hub: Hub) -> None:
    seen: list[Progress] = []
    hub.faults = [Fault("GET", BODY, after_bytes=1024 * 1024, then="rst"), Fault("GET", BODY, status=503)]
    fetch_model("org/tiny", on_progress=seen.append)
    assert [progress.done_bytes for progress in seen] == sorted({progress.done_bytes for progress in seen})
    assert {progress.total_bytes for progress in seen} == {TOTAL_BYTES}
    assert seen[-1].done_bytes == TOTAL_BYTES


def test_progress_moves_while_a_file_comes(hub: Hub) -> None:
    seen: list[Progress] = []
    fetch_model("org/tiny", on_progress=seen.append)
    assert len([progress for progress in seen if 0 < progress.done_bytes < TOTAL_BYTES]) >= 7


def test_progress_ends_at_the_total_when_two_files_are_the_same(hub: Hub) -> None:
    hub.models["org/tiny"] = {**FILES, "added_tokens.json": FILES["config.json"]}
    seen: list[Progress] = []
    fetch_model("org/tiny", on_progress=seen.append)
    assert seen[-1] == Progress(TOTAL_BYTES + 2, TOTAL_BYTES + 2)


def test_a_second_run_asks_for_no_file(hub: Hub) -> None:
    folder = fetch_model("org/tiny")
    hub.requests.clear()
    assert fetch_model("org/tiny") == folder
    assert hub.requests == ["GET /api/models/org/tiny"]


def test_a_pinned_commit_in_the_cache_costs_no_request(hub: Hub) -> None:
    folder = fetch_model("org/tiny", revision=SHA)
    hub.requests.clear()
    seen: list[Progress] = []
    assert fetch_model("org/tiny", revision=SHA, on_progress=seen.append) == folder
    assert hub.requests == []
    assert seen == [Progress(TOTAL_BYTES, TOTAL_BYTES)]


def test_a_pinned_commit_with_a_missing_file_is_completed(hub: Hub) -> None:
    folder = fetch_model("org/tiny", revision=SHA)
    (folder / "tokenizer.json").resolve().unlink()
    (folder / "tokenizer.json").unlink()
    hub.requests.clear()
    fetch_model("org/tiny", revision=SHA)
    assert hub.file_requests() == ["tokenizer.json"]


def test_code_that_was_not_trusted_before_is_fetched_when_it_is(hub: Hub) -> None:
    fetch_model("org/tiny", revision=SHA)
    hub.requests.clear()
    fetch_model("org/tiny", revision=SHA, trust_remote_code=True)
    assert hub.file_requests() == ["modeling_tiny.py"]


def test_cached_files_count_as_done(hub: Hub) -> None:
    folder = fetch_model("org/tiny")
    (folder / "tokenizer.json").resolve().unlink()
    (folder / "tokenizer.json").unlink()
    seen: list[Progress] = []
    fetch_model("org/tiny", on_progress=seen.append)
    assert seen == [Progress(TOTAL_BYTES - 2, TOTAL_BYTES), Progress(TOTAL_BYTES, TOTAL_BYTES)]


def test_content_that_another_commit_brought_is_not_fetched_again(hub: Hub) -> None:
    fetch_model("org/tiny")
    hub.sha = "b" * 40
    hub.models["org/tiny"] = {**FILES, "config.json": b'{"new": 1}'}
    hub.requests.clear()
    seen: list[Progress] = []
    folder = fetch_model("org/tiny", on_progress=seen.append)
    assert folder.name == hub.sha
    assert hub.file_requests() == ["config.json"]
    assert seen[0] == Progress(TOTAL_BYTES - 2, TOTAL_BYTES + 8)


def test_two_processes_fetch_each_file_once_and_log_each_line_once_without_a_password(
    hub: Hub, child: Callable[..., Fetch]
) -> None:
    hub.throttle_bytes_per_s = 4e6
    hub.faults = [Fault("GET", BODY, status=429, headers={"Retry-After": "0"})]
    environ = {"HF_ENDPOINT": hub.url.replace("//", "//user:hf_secret@"), "HF_HUB_DISABLE_XET": "1"}
    runs = [child(**environ) for _ in range(2)]
    (first, log), (second, other_log) = (run.communicate(timeout=30) for run in runs)
    assert first == second
    assert names_in(Path(first.strip())) == NEEDED
    assert hub.file_requests().count("model.safetensors") == 2  # one was refused
    assert "hf_secret" not in log + other_log
    line = f"HTTP Error 429 thrown while requesting GET {hub.url}/org/tiny/resolve/"
    assert (log + other_log).count(line) == 1


# A hub that breaks


def test_a_hub_that_fails_twice_is_asked_again(hub: Hub) -> None:
    hub.faults = [Fault("GET", "/api/models/org/tiny$", status=503), Fault("GET", "/api/models/org/tiny$", status=500)]
    assert names_in(fetch_model("org/tiny")) == NEEDED


def test_a_file_that_fails_twice_is_asked_for_again(hub: Hub) -> None:
    hub.faults = [Fault("GET", BODY, status=503), Fault("GET", BODY, status=502)]
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("how", ["fin", "hang"])
def test_a_file_goes_on_where_its_connection_broke(how: str, hub: Hub) -> None:
    hub.faults = [Fault("GET", BODY, after_bytes=1200_000, then=how)]
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.ranges == [f"bytes={1200_000 // CHUNK_BYTES * CHUNK_BYTES}-"]


def test_a_file_whose_connection_is_reset_is_fetched_again(hub: Hub) -> None:
    hub.faults = [Fault("GET", BODY, after_bytes=1200_000, then="rst")]
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.file_requests().count("model.safetensors") == 2 and partial_files() == []


@pytest.mark.parametrize("fault", [Fault("GET", BODY, status=503), Fault("GET", BODY, then="early rst")])
def test_a_file_is_fetched_again_after_an_error_on_resuming(fault: Fault, hub: Hub) -> None:
    hub.faults = [Fault("GET", BODY, after_bytes=1200_000, then="fin"), fault]
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.ranges == ["bytes=1048576-"]


def test_a_file_whose_headers_do_not_come_is_asked_for_again(hub: Hub) -> None:
    hub.faults = [Fault("GET", BODY, then="silence")]
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_stalls_is_not_tried_for_minutes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.always = [Fault("GET", BODY, then="hang")]
    with pytest.raises(errors.HubUnreachable):
        fetch_model("org/tiny")
    assert hub.file_requests().count("model.safetensors") == 6  # the library's own attempts, once


def test_finished_files_survive_a_download_that_fails(hub: Hub) -> None:
    hub.always = [Fault("GET", BODY, status=500)]
    with pytest.raises(errors.DownloadFailed):
        fetch_model("org/tiny")
    hub.always = []
    hub.requests.clear()
    fetch_model("org/tiny")
    assert hub.file_requests() == ["model.safetensors"]


def test_partial_files_are_removed_when_a_download_fails(hub: Hub) -> None:
    hub.faults = [Fault("GET", BODY, after_bytes=1000_000, then="rst")]
    hub.always = [Fault("GET", BODY, then="rst")]
    with pytest.raises(errors.DownloadFailed):
        fetch_model("org/tiny")
    assert partial_files() == []


def test_what_a_killed_process_left_is_swept_and_what_another_writes_is_not(hub: Hub) -> None:
    left, written = (
        Path(constants.HF_HUB_CACHE, "models--org--tiny", "blobs", f"{name}.11111111.incomplete") for name in "ab"
    )
    left.parent.mkdir(parents=True)
    for path in (left, written):
        path.write_bytes(b"part")
    long_ago_s = time.time() - download.ORPHAN_S - 1
    os.utime(left, (long_ago_s, long_ago_s))
    fetch_model("org/tiny")
    assert partial_files() == [written]


def test_a_killed_download_begins_anew_and_leaves_nothing(
    hub: Hub, child: Callable[..., Fetch], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.throttle_bytes_per_s = 1e6
    process = child()

    def is_in_the_middle() -> bool:
        return len(hub.file_requests()) == 3 and any(path.stat().st_size > 300_000 for path in partial_files())

    wait_until(is_in_the_middle, what="the middle of the weights")
    process.kill()
    process.wait()
    assert len(partial_files()) == 1
    monkeypatch.setattr(download, "ORPHAN_S", 0)
    hub.throttle_bytes_per_s = None
    hub.requests.clear()
    folder = fetch_model("org/tiny")
    assert hub.file_requests() == ["model.safetensors"]  # the small ones were finished
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS and partial_files() == []


def test_a_file_that_came_with_the_wrong_size_is_asked_for_again(hub: Hub) -> None:
    hub.faults = [Fault("GET", BODY, status=200, body=b"short")]
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.file_requests().count("model.safetensors") == 2


def test_a_file_that_comes_with_the_wrong_size_again_and_again_is_not_kept(hub: Hub) -> None:
    hub.always = [Fault("GET", BODY, status=200, body=b"short")]
    with pytest.raises(errors.DownloadFailed):
        fetch_model("org/tiny")
    assert partial_files() == [] and names_in(Path(constants.HF_HUB_CACHE)).isdisjoint({"model.safetensors"})


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/models/org/tiny$"), ("HEAD", BODY), ("GET", BODY)])
def test_a_hub_that_has_enough_is_asked_again(method: str, path: str, hub: Hub) -> None:
    hub.faults = [Fault(method, path, status=429)] * 2
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.faults == []


@pytest.mark.parametrize("headers", [{"Retry-After": "86400"}, {"RateLimit": '"api";r=0;t=86400'}], ids=str)
def test_a_pause_for_a_day_is_not_kept(headers: dict[str, str], hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_failures, "MOST_PAUSE_S", 0.01)
    hub.faults = [Fault("GET", "/api/models/org/tiny$", status=429, headers=headers)]
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS


def test_the_pause_that_the_hub_asks_for_is_kept(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.faults = [Fault("GET", "/api/models/org/tiny$", status=429, headers={"Retry-After": "1"})]
    fetch_model("org/tiny")
    assert "next attempt in 1 s" in caplog.text


def test_a_hub_that_never_has_time_is_told(hub: Hub) -> None:
    hub.always = [Fault("GET", BODY, status=429)]
    with pytest.raises(errors.DownloadFailed, match="error 429"):
        fetch_model("org/tiny")


def elsewhere(hub: Hub, address: str) -> list[Fault]:
    """What the public hub answers for large files: they lie on another host."""
    oid = hashlib.sha256(WEIGHTS).hexdigest()
    described = {"X-Repo-Commit": SHA, "X-Linked-Size": str(len(WEIGHTS)), "X-Linked-Etag": f'"{oid}"'}
    return [Fault("GET|HEAD", BODY, status=302, headers={"Location": address, **described})]


def test_a_file_on_another_host_is_fetched_there_without_the_token(hub: Hub) -> None:
    with Hub({"org/tiny": dict(FILES)}) as store:
        hub.always = elsewhere(hub, f"{store.url}/org/tiny/resolve/{SHA}/model.safetensors")
        folder = fetch_model("org/tiny", token="hf_secret")
        assert (folder / "model.safetensors").read_bytes() == WEIGHTS
        assert store.file_requests() == ["model.safetensors"] and store.tokens == [None]
    assert set(hub.tokens) == {"Bearer hf_secret"}


@pytest.mark.parametrize("path", ["/api/", BODY])
def test_redirects_in_a_circle_are_told(path: str, hub: Hub) -> None:
    target = {"/api/": "/api/models/org/tiny", BODY: f"/org/tiny/resolve/{SHA}/model.safetensors"}[path]
    hub.always = [Fault("GET|HEAD", path, status=302, headers={"Location": hub.url + target})]
    with pytest.raises((errors.HubUnreachable, errors.DownloadFailed)):
        fetch_model("org/tiny")


# A proxy


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the proxy for a hub that can be had in no other way."""
    use("http://hub.invalid", monkeypatch)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def set_proxy(address: str) -> None:
        monkeypatch.setenv("HTTP_PROXY", address)
        monkeypatch.setenv("HTTPS_PROXY", address)
        close_session()

    yield set_proxy
    close_session()


def test_a_model_comes_through_a_proxy(hub: Hub, proxy: Callable[[str], None]) -> None:
    proxy(hub.url)
    assert (fetch_model("org/tiny") / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_told(
    scheme: str, proxy: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(f"{scheme}://hub.invalid", monkeypatch)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy(f"http://user:secret@127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(errors.HubUnreachable, match="check the network"):
            fetch_model("org/tiny")


@pytest.mark.parametrize("status", [407, 502])
def test_a_proxy_that_lets_nobody_out_is_told(
    status: int, hub: Hub, proxy: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy(hub.url)
    hub.always = [Fault("GET", "/api/", status=status)]
    with pytest.raises(errors.DownloadFailed, match=f"error {status}"):
        fetch_model("org/tiny")
    use("https://hub.invalid", monkeypatch)
    with pytest.raises(errors.HubUnreachable):
        fetch_model("org/tiny")
    assert hub.requests[-1] == "CONNECT hub.invalid:443"


@pytest.mark.parametrize("scheme", ["socks5", "ftp"])
def test_a_proxy_of_an_unknown_kind_is_told_without_its_password(
    scheme: str, proxy: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    proxy(f"{scheme}://user:secret@127.0.0.1:1")
    with pytest.raises(errors.HubUnreachable):
        fetch_model("org/tiny")
    assert "secret" not in caplog.text


# Failures and their sentences

FAILURES: list[tuple[Callable[[Hub], None], type[errors.ModelError], str]] = [
    (
        lambda hub: hub.always.append(Fault("GET", "/api/", status=403, code="GatedRepo")),
        errors.AccessDenied,
        "'org/tiny' is gated: accept its terms at https://huggingface.co/org/tiny and set HF_TOKEN",
    ),
    (
        # The hub shows everybody what a gated repository holds: only its files are refused.
        lambda hub: hub.always.append(Fault("HEAD|GET", "/resolve/", status=403, code="GatedRepo")),
        errors.AccessDenied,
        "'org/tiny' is gated",
    ),
    (lambda hub: hub.models.clear(), errors.ModelNotFound, "no model 'org/tiny' on the Hugging Face hub"),
    (
        lambda hub: hub.always.append(Fault("GET", "/api/", status=401)),
        errors.AccessDenied,
        "refuses access to 'org/tiny': set HF_TOKEN to a valid token",
    ),
    (
        lambda hub: hub.always.append(Fault("GET", "/api/", status=502)),
        errors.DownloadFailed,
        "answered with error 502 while 'org/tiny' was fetched",
    ),
    (
        lambda hub: hub.always.append(Fault("HEAD", BODY, status=503)),
        errors.DownloadFailed,
        "answered with error 503 while 'org/tiny' was fetched",
    ),
    (
        lambda hub: hub.always.append(Fault("GET", "/api/", then="silence")),
        errors.HubUnreachable,
        "did not answer in time while 'org/tiny' was fetched",
    ),
    (
        lambda hub: hub.always.append(Fault("HEAD", BODY, then="silence")),
        errors.HubUnreachable,
        "did not answer in time while 'org/tiny' was fetched",
    ),
    (
        lambda hub: hub.always.append(Fault("GET", BODY, then="hang")),
        errors.HubUnreachable,
        "did not answer in time while 'org/tiny' was fetched",
    ),
    (
        lambda hub: hub.always.append(Fault("GET", BODY, then="fin")),
        errors.DownloadFailed,
        "The download of 'org/tiny' broke off again and again",
    ),
    (
        lambda hub: hub.models.update({"org/tiny": {"config.json": b"{}", "tiny.gguf": b""}}),
        errors.BadModel,
        "no model that vLLM can load in 'org/tiny': it must hold config.json (or params.json) and weights",
    ),
]


@pytest.mark.parametrize(("break_it", "kind", "sentence"), FAILURES)
def test_a_failure_says_what_to_do(
    break_it: Callable[[Hub], None],
    kind: type[errors.ModelError],
    sentence: str,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    break_it(hub)
    with pytest.raises(kind) as caught:
        fetch_model("org/tiny", token="hf_secret")
    assert sentence in str(caught.value)
    assert type(caught.value) is kind
    assert "hf_secret" not in str(caught.value) and constants.HF_HUB_CACHE not in str(caught.value)


def test_a_bad_revision_is_named(hub: Hub) -> None:
    with pytest.raises(errors.ModelNotFound, match="'org/tiny' has no revision 'v9': set MODEL_REVISION"):
        fetch_model("org/tiny", revision="v9")


def test_no_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    use_no_network(monkeypatch)
    with pytest.raises(errors.HubUnreachable, match="cannot be reached to fetch 'org/tiny': check the network"):
        fetch_model("org/tiny")


def test_a_network_lost_in_the_middle_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.faults = [Fault("GET", BODY, after_bytes=1000_000, then="rst")]
    hub.on_body = lambda name: hub.vanish() if name == "model.safetensors" else None
    # A connection that was kept open is cut, a new one is refused: the last attempt meets the one or the other.
    with pytest.raises((errors.HubUnreachable, errors.DownloadFailed), match="check the network"):
        fetch_model("org/tiny")


def test_forbidden_requests_are_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(errors.HubUnreachable, match="'org/tiny' is not complete in the local cache and HF_HUB_OFFLINE"):
        fetch_model("org/tiny")
    assert hub.requests == []


def test_a_network_that_answers_with_its_login_page_is_told(hub: Hub) -> None:
    hub.always = [Fault("GET", "/api/", status=200, body=b"<html>Welcome to the hotel</html>")]
    with pytest.raises(errors.HubUnreachable):
        fetch_model("org/tiny")


def test_a_full_disk_is_told_before_any_file(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    hub.models["org/tiny"] = {**FILES, "model-2.safetensors": bytes(60_000_000)}
    with pytest.raises(errors.DiskFull, match=r"too full for 'org/tiny': 65 MB are needed and 1 MB are free"):
        fetch_model("org/tiny")
    assert hub.file_requests() == []


def test_a_full_disk_does_not_matter_when_all_is_cached(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch_model("org/tiny")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    assert fetch_model("org/tiny") == folder


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk is too full for 'org/tiny': make room"),
        (errno.EDQUOT, "The disk is too full for 'org/tiny': make room"),
        (errno.EROFS, "The model 'org/tiny' cannot be stored, the cache folder is not writable"),
        (errno.EACCES, "The model 'org/tiny' cannot be stored, the cache folder is not writable"),
    ],
)
def test_a_disk_that_fails_in_the_middle_is_told(
    number: int, sentence: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number), "/data/cache/blob")

    monkeypatch.setattr(huggingface_hub.file_download, "http_get", write)
    with pytest.raises(errors.DiskFull, match=f"^{sentence}") as caught:
        fetch_model("org/tiny")
    assert "/data" not in str(caught.value)
    assert len(hub.requests) < 6  # no second attempt


@pytest.mark.parametrize("token", ["hf_se\ncret", "hf_sécret", "two words"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str, hub: Hub) -> None:
    with pytest.raises(errors.AccessDenied) as caught:
        fetch_model("org/tiny", token=token)
    assert hub.requests == []
    assert token not in str(caught.value) and caught.value.__cause__ is None


def test_the_token_is_never_logged(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    hub.faults = [Fault("GET", "/api/", status=503), Fault("GET", BODY, status=500)]
    fetch_model("org/tiny", token="hf_secret")
    assert "hf_secret" not in caplog.text


# Without a network, with a cached copy


def test_the_cached_copy_is_used_without_a_network_and_that_is_said(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = fetch_model("org/tiny")
    use_no_network(monkeypatch)
    seen: list[Progress] = []
    assert fetch_model("org/tiny", on_progress=seen.append) == folder
    assert f"cached copy, commit {SHA}, is used" in caplog.text
    assert seen == [Progress(TOTAL_BYTES, TOTAL_BYTES)]


@pytest.mark.parametrize("fault", [Fault("GET", "/api/", status=503), Fault("GET", "/api/", then="silence")])
def test_the_cached_copy_is_used_after_one_failure_of_the_hub(fault: Fault, hub: Hub) -> None:
    folder = fetch_model("org/tiny")
    hub.requests.clear()
    hub.always = [fault]
    assert fetch_model("org/tiny") == folder
    assert len(hub.requests) == 1


def test_the_older_copy_is_used_when_the_newer_one_cannot_be_fetched(hub: Hub) -> None:
    folder = fetch_model("org/tiny")
    hub.sha = "b" * 40
    hub.models["org/tiny"] = {**FILES, "model.safetensors": WEIGHTS[::-1]}
    hub.always = [Fault("GET", BODY, status=500)]
    assert fetch_model("org/tiny") == folder


def test_the_cached_copy_is_used_when_requests_are_forbidden(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch_model("org/tiny")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch_model("org/tiny") == folder


def test_an_incomplete_copy_is_not_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch_model("org/tiny")
    (folder / "tokenizer.json").unlink()
    use_no_network(monkeypatch)
    with pytest.raises(errors.HubUnreachable):
        fetch_model("org/tiny")


def test_a_copy_of_another_revision_is_not_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch_model("org/tiny")
    use_no_network(monkeypatch)
    with pytest.raises(errors.HubUnreachable):
        fetch_model("org/tiny", revision="v9")


def test_losing_access_is_told_though_there_is_a_copy(hub: Hub) -> None:
    fetch_model("org/tiny")
    hub.always = [Fault("GET", "/api/", status=403, code="GatedRepo")]
    with pytest.raises(errors.AccessDenied):
        fetch_model("org/tiny")


@pytest.mark.parametrize("shards", [1, 2])
def test_a_copy_without_a_listing_is_used_when_its_shards_are_there(
    shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["model-1.safetensors", "model-2.safetensors"]
    index = json.dumps({"weight_map": dict(zip("ab", names, strict=True))}).encode()
    files = {"config.json": b"{}", "model.safetensors.index.json": index} | dict.fromkeys(names[:shards], b"")
    folder = write_model(Path(constants.HF_HUB_CACHE, "models--org--old", "snapshots", SHA), files)
    use_no_network(monkeypatch)
    if shards == 2:
        assert fetch_model("org/old", revision=SHA) == folder
    else:
        with pytest.raises(errors.HubUnreachable):
            fetch_model("org/old", revision=SHA)


# Cancelling


def test_cancelling_ends_a_download_in_the_middle(hub: Hub) -> None:
    hub.throttle_bytes_per_s = 1e6
    cancelled = threading.Event()

    def cancel(progress: Progress) -> None:
        if progress.done_bytes > CHUNK_BYTES:
            cancelled.set()

    with pytest.raises(errors.DownloadCancelled, match="The download of 'org/tiny' was cancelled"):
        fetch_model("org/tiny", on_progress=cancel, cancelled=cancelled)
    assert partial_files() == []
    assert not list(Path(constants.HF_HUB_CACHE).rglob("model.safetensors"))
    assert "fetch-model" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("path", ["/api/", BODY])
def test_cancelling_does_not_wait_for_a_hub_that_hangs(path: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 30)
    monkeypatch.setattr(download, "CANCEL_GRACE_S", 0.1)
    hub.always = [Fault("GET", path, then="silence")]
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    started = time.monotonic()
    with pytest.raises(errors.DownloadCancelled):
        fetch_model("org/tiny", cancelled=cancelled)
    assert time.monotonic() - started < 3


# The choice of files


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (
            "config.json model.safetensors consolidated.safetensors params.json",
            "config.json model.safetensors params.json",
        ),
        ("params.json tekken.json consolidated.safetensors", "consolidated.safetensors params.json tekken.json"),
        ("config.json pytorch_model.bin training_args.bin", "config.json pytorch_model.bin"),
        ("config.json model.pt optimizer.pt", "config.json model.pt"),
        ("config.json chat_template.jinja merges.txt qwen.tiktoken spiece.model tokenizer.model.v3 a.safetensors",) * 2,
        (
            "config.json model.safetensors original/params.json original/model.safetensors .git/x.json",
            "config.json model.safetensors",
        ),
        ("adapter_config.json adapter_model.safetensors", ""),
        ("config.json training_args.bin", ""),
        ("config.json model.gguf", ""),
    ],
)
def test_the_files_that_vllm_would_load_are_chosen(names: str, chosen: str) -> None:
    assert needed_files(names.split()) == sorted(chosen.split())


# LoRA adapters


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (
            "adapter_config.json adapter_model.bin adapter_model.safetensors x",
            "adapter_config.json adapter_model.safetensors",
        ),
        ("adapter_config.json adapter_model.pt", "adapter_config.json adapter_model.pt"),
        ("adapter_model.safetensors", ""),
        ("adapter_config.json model.safetensors", ""),
    ],
)
def test_an_adapters_configuration_and_its_first_format_are_chosen(names: str, chosen: str) -> None:
    assert adapter_files(names.split()) == chosen.split()


LORA: dict[str, bytes] = {
    "adapter_config.json": b"{}",
    "adapter_model.safetensors": b"weights",
    "adapter_model.bin": b"the same once more",
    "tokenizer.json": b"{}",
    "checkpoint-10/adapter_model.safetensors": b"weights",
}


def test_an_adapter_comes_from_the_hub_with_its_two_files(hub: Hub) -> None:
    hub.models = {"org/lora": LORA}
    progress: list[Progress] = []
    folder = fetch("org/lora", ADAPTER, on_progress=progress.append)
    assert names_in(folder) == {"adapter_config.json", "adapter_model.safetensors"}
    assert progress[-1] == Progress(9, 9)
    hub.vanish()
    assert fetch("org/lora", ADAPTER) == folder


def test_an_adapter_may_be_a_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "lora", {"adapter_config.json": b"{}", "adapter_model.bin": b"weights"})
    assert fetch(str(tmp_path / "lora"), ADAPTER) == tmp_path / "lora"


def test_what_holds_no_adapter_is_refused(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_bytes(b"{}")
    for source in ("org/tiny", str(tmp_path), "./nowhere"):
        with pytest.raises(errors.BadModel, match=f"There is no LoRA adapter in '{source}': it must hold adapter_con"):
            fetch(source, ADAPTER)


# xet, by which the public hub serves large files


@pytest.fixture
def xet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet-cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    abort_xet()  # a session keeps the environment in which it began
    yield
    abort_xet()


def test_a_file_comes_over_xet_and_its_callback_never_raises(
    xet: None, hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.xet_url = f"local://{tmp_path / 'xet-store'}"  # xet reads a folder in place of its server
    with hf_xet.XetSession().new_upload_commit(endpoint=hub.xet_url) as commit:
        upload = commit.start_upload_bytes(WEIGHTS)
    hub.xet_hashes = {"model.safetensors": upload.result().xet_info.hash}
    seen: list[Progress] = []
    assert (fetch_model("org/tiny", on_progress=seen.append) / "model.safetensors").read_bytes() == WEIGHTS
    assert "model.safetensors" not in hub.file_requests()
    assert seen[-1] == Progress(TOTAL_BYTES, TOTAL_BYTES)
    assert "Traceback" not in capfd.readouterr().err  # xet prints what its callback raises, and calls it no more


def test_cancelling_ends_a_download_over_xet(xet: None, hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.xet_url, hub.xet_hashes = hub.url, {"model.safetensors": "0" * 64}
    hub.always = [Fault(".*", "reconstruction", then="silence")]
    cancelled = threading.Event()
    began_s: list[float] = []

    def cancel_once_it_is_asked_for() -> None:
        wait_until(lambda: any("reconstruction" in line for line in hub.requests), what="the request")
        began_s.append(time.monotonic())
        cancelled.set()

    threading.Thread(target=cancel_once_it_is_asked_for).start()
    with pytest.raises(errors.DownloadCancelled):
        fetch_model("org/tiny", cancelled=cancelled)
    assert time.monotonic() - began_s[0] < download.CANCEL_GRACE_S
    assert partial_files() == []
    assert "Traceback" not in capfd.readouterr().err
