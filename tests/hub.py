"""A Hugging Face hub on this machine: serves folders as model repositories over plain HTTP, with faults on order.

with Hub({"org/tiny": {"config.json": b"{}", "model.safetensors": b"..."}}, throttle_bytes_per_s=1e6) as hub:
    ...  # a client with HF_ENDPOINT=hub.url

python tests/hub.py --model FOLDER --port 8090 --throttle 1000000   # then: HF_ENDPOINT=http://127.0.0.1:8090
"""

import argparse
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep  # the function itself, so that a test may replace time.sleep for the client alone
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

SHA = "a" * 40
PIECE_BYTES = 16 * 1024

Files = Mapping[str, bytes | Path]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request whose method and path match."""

    method: str  # a regular expression, as is path
    path: str
    status: int = 0  # answer this instead, with `body`
    body: bytes = b"{}"
    code: str = ""  # X-Error-Code, by which the client tells its errors apart
    headers: Mapping[str, str] = field(default_factory=dict)  # of that answer
    after_bytes: int = 0  # of the body, before `then`
    then: str = ""  # "fin", "rst" or "hang"; before the headers: "early rst" or "silence"


@dataclass
class Hub:
    """Serves `models`; each fault of `faults` happens once, in order of the list, to the first request that it matches.

    `always` are faults that happen every time. `requests` are the lines "METHOD /path" that came in, in order, `tokens`
    their Authorization headers, and `ranges` the Range headers among them. The throttle holds for each connection.
    """

    models: dict[str, Files]
    throttle_bytes_per_s: float | None = None
    port: int = 0
    sha: str = SHA
    faults: list[Fault] = field(default_factory=list)
    always: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    xet_hashes: dict[str, str] = field(default_factory=dict)  # name → xet's hash: these files come from `xet_url`
    xet_url: str = ""
    num_values: dict[str, int] = field(default_factory=dict)  # of the weights by data type, as the hub tells them
    info: dict[str, object] = field(default_factory=dict)  # what else the hub tells of a model
    on_body: Callable[[str], None] = lambda path: None  # called before each body of a file

    def __enter__(self) -> Self:
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.gone = False
        self._server = _Server(("127.0.0.1", self.port), self)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def vanish(self) -> None:
        """Let no new connection in and answer on none that is open; the body on its way still goes out."""
        self.gone = True
        self._server.shutdown()
        self._server.socket.close()

    def handler(self) -> "type[Handler]":
        """The class that answers, for a hub that does more."""
        return Handler

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def file_requests(self) -> list[str]:
        """The names of the files whose bodies were asked for."""
        mark = f"/resolve/{self.sha}/"
        return [line.partition(mark)[2] for line in self.requests if line.startswith("GET") and mark in line]

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in (*self.faults, *self.always):
                if re.fullmatch(fault.method, method) and re.search(fault.path, path):
                    if fault in self.faults:
                        self.faults.remove(fault)
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], hub: Hub) -> None:
        self.hub = hub
        super().__init__(address, hub.handler())
        self.socket.setblocking(False)  # a client that went before it was accepted would be waited for, see accept(2)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what is tested."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        """Refuse, as a proxy without a way out does."""
        self.server.hub.requests.append(f"CONNECT {self.path}")
        self.send_error(502)

    def do_GET(self) -> None:
        self.hub = self.server.hub
        if self.hub.gone:
            self.close_connection = True
            return
        path = unquote(urlsplit(self.path).path)  # a client that takes this for its proxy sends a whole address
        with self.hub.lock:
            self.hub.requests.append(f"{self.command} {path}")
            self.hub.tokens.append(self.headers.get("Authorization"))
            if given := self.headers.get("Range"):
                self.hub.ranges.append(given)
        self.fault = self.hub.take_fault(self.command, path)
        if self.fault and self.fault.then == "silence":
            self.hub.closing.wait()
            self.close_connection = True
        elif self.fault and self.fault.then == "early rst":
            self.break_off("rst")
        elif self.fault and self.fault.status:
            code = {"X-Error-Code": self.fault.code} if self.fault.code else {}
            self.answer(self.fault.status, self.fault.body, {**code, **self.fault.headers})
        else:
            self.route(path)

    def route(self, path: str) -> None:
        for repo, files in self.hub.models.items():
            if match := re.fullmatch(rf"/api/models/{re.escape(repo)}(?:/revision/(.+)|/tree/([^/]+)/?)?", path):
                return self.describe(repo, files, match[1] or match[2] or "main", listing=bool(match[2]))
            if path == f"/api/models/{repo}/xet-read-token/{self.hub.sha}":
                xet = {
                    "X-Xet-Cas-Url": self.hub.xet_url,
                    "X-Xet-Access-Token": "x",
                    "X-Xet-Token-Expiration": str(2**40),
                }
                return self.answer(200, b"{}", xet)
            if match := re.fullmatch(rf"/{re.escape(repo)}/resolve/{self.hub.sha}/(.+)", path):
                return self.send_file(repo, files, match[1])
        self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def describe(self, repo: str, files: Files, revision: str, *, listing: bool) -> None:
        if revision not in ("main", self.hub.sha):
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        rows = []
        for name, content in files.items():
            size, oid = _size(content), _oid(content)
            row = {"type": "file", "path": name, "rfilename": name, "size": size, "oid": oid, "blobId": oid}
            lfs = {"size": size, "oid": oid, "sha256": oid, "pointerSize": 100}
            rows.append({**row, "lfs": lfs} if name.endswith(".safetensors") else row)
        info = {"id": repo, "sha": self.hub.sha, "siblings": rows, "tags": [], "private": False, **self.hub.info}
        if values := self.hub.num_values:
            info["safetensors"] = {"parameters": values, "total": sum(values.values())}
        self.answer(200, json.dumps(rows if listing else info).encode(), {"Content-Type": "application/json"})

    def send_file(self, repo: str, files: Files, name: str) -> None:
        if name not in files:
            return self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        content = files[name]
        data = content.read_bytes() if isinstance(content, Path) else content
        start = int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": self.hub.sha}
        if xet_hash := self.hub.xet_hashes.get(name):
            route = f"{self.hub.url}/api/models/{repo}/xet-read-token/{self.hub.sha}"
            headers |= {"X-Xet-Hash": xet_hash, "X-Xet-Refresh-Route": route}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.command == "GET":
            self.hub.on_body(name)
        self.answer(206 if start else 200, data[start:], headers)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault and self.fault.then:
            self.send_slowly(body[: self.fault.after_bytes])
            self.break_off(self.fault.then)
        else:
            self.send_slowly(body)

    def send_slowly(self, body: bytes) -> None:
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            if self.hub.throttle_bytes_per_s:
                sleep(len(piece) / self.hub.throttle_bytes_per_s)
            self.wfile.write(piece)

    def break_off(self, how: str) -> None:
        self.close_connection = True
        if how == "hang":
            self.hub.closing.wait()
        elif how == "rst":
            # What has been written must reach the client first: a reset throws away what it has not read yet.
            sleep(0.2 if self.fault and self.fault.after_bytes else 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()  # it shares the socket, which is closed only with the last of them
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)


def _size(content: bytes | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


@lru_cache
def _oid(content: bytes | Path) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.read_bytes()).hexdigest()


def folder_files(folder: Path) -> Files:
    """List a folder's files the way `Hub.models` wants them."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def use(url: str, monkeypatch: pytest.MonkeyPatch, cache: Path | None = None) -> None:
    """Have this process's huggingface_hub ask this hub, and with a cache keep nothing elsewhere."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    if cache:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # this hub serves plain HTTP


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the folder to serve")
    parser.add_argument("--id", default="test/model", help="its id on the hub (default: test/model)")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--throttle", type=float, help="bytes per second and connection")
    args = parser.parse_args()
    models = {args.id: folder_files(args.model)}
    with Hub(models, throttle_bytes_per_s=args.throttle, port=args.port) as hub:
        print(f"HF_ENDPOINT={hub.url} MODEL_ID={args.id}", flush=True)
        with suppress(KeyboardInterrupt):
            hub.closing.wait()


if __name__ == "__main__":
    main()
