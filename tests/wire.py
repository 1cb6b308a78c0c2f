"""Gradio's protocol as a browser speaks it, to the page on a scripted engine."""

import http.client
import json
import socket
import struct
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gradio_client.utils import apply_diff

from streamspace.ui import StreamingBlocks, build_demo
from streamspace.ui.gradio_.endpoints import complete_arguments
from tests.fake import FakePageEngine, deltas
from tests.inputs import CHAT, call_values, page_values
from tests.support import admission_of, served, wait_until

ASK = "_answer"  # the chat's handler
LONG = 60.0  # seconds that no test waits for
Json = dict[str, Any]


@dataclass
class Site:
    """The page on a scripted engine, in this process."""

    url: str
    engine: FakePageEngine
    demo: StreamingBlocks
    _props: list[Json] = field(init=False)  # those with which each component begins

    def __post_init__(self) -> None:
        self._props = [dict(part["props"]) for part in self.demo.config["components"]]

    def reset(self) -> None:
        """Once nothing runs any more, as it was when it was built, with an engine that says "an answer"."""
        wait_until(lambda: not self.engine.num_running, what="the end of all runs")
        self.engine.reset(deltas("an answer"))
        for part, props in zip(self.demo.config["components"], self._props, strict=True):
            part["props"] = dict(props)
        self.demo.num_changes += 1

    def number(self, name: str) -> int:
        """The fn_index of the first event with this handler."""
        return next(i for i, fn in self.demo.fns.items() if getattr(fn.fn, "__name__", "") == name)

    def num_waiting(self, session: str) -> int:
        """Messages that wait for their reader."""
        messages = self.demo._queue.pending_messages_per_session.get(session)
        return messages.qsize() if messages else 0

    def remembers(self, session: str) -> bool:
        queue = self.demo._queue
        return session in queue.pending_messages_per_session or session in queue.pending_event_ids_session


@contextmanager
def served_site(engine: FakePageEngine) -> Iterator[Site]:
    """The page on this engine, served."""
    demo = build_demo(engine, admission_of(engine))
    with served(engine, demo) as url:
        yield Site(url, engine, demo)


class Stream:
    """A reader of GET /queue/data, or of the stream of a call, whose path is in the place of a session."""

    def __init__(self, site: Site, session: str, receive_bytes: int | None = None, headers: str = "") -> None:
        self.socket = socket.socket()
        self.socket.settimeout(10)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        host, port = site.url.removeprefix("http://").split(":")
        self.socket.connect((host, int(port)))
        path = f"/gradio_api/{session if session.startswith('call/') else f'queue/data?session_hash={session}'}"
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{headers}\r\n".encode())
        self.response = http.client.HTTPResponse(self.socket)

    def __iter__(self) -> Iterator[Json]:
        """Every message until the server ends the stream."""
        self.response.begin()
        assert self.response.status == 200 and self.response.headers.get_content_type() == "text/event-stream"
        for line in self.response:
            if line.strip():
                yield json.loads(line.removeprefix(b"data: "))
        self.close()

    def read(self) -> list[tuple[str, Any]]:
        """All events of a call with their data, until the server ends the stream."""
        self.response.begin()
        assert self.response.status == 200 and self.response.headers.get_content_type() == "text/event-stream"
        events = [event.split("\n") for event in self.response.read().decode().strip().split("\n\n")]
        self.close()
        return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]

    def close(self, reset: bool = False) -> None:
        """Go away by RST, or by FIN."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.response.close()  # which holds the socket, too
        self.socket.close()


class Tab:
    """A session, as a tab of the browser is one."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.session = uuid.uuid4().hex

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection(self.site.url.removeprefix("http://"), timeout=10)
        connection.request("POST", f"/gradio_api/{path}", body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text

    def join(self, name: str, data: Any, event_data: Any = None) -> str:
        """Start an event; returns its id."""
        asked = {
            "data": data,
            "event_data": event_data,
            "fn_index": self.site.number(name),
            "session_hash": self.session,
        }
        status, _, text = self.post("queue/join", json.dumps(asked).encode())
        assert status == 200, text
        return str(json.loads(text)["event_id"])

    def ask(self, text: Any = "Hi", history: Any = (), event_data: Any = None, **values: Any) -> str:
        values = {"system_prompt": "Be brief.", **values}
        return self.join(ASK, page_values(CHAT, message=text, history=history, **values), event_data)

    def complete(self, prompt: str = "Hi") -> str:
        return self.join("complete", call_values(complete_arguments(), prompt=prompt, seed=None))

    def call(self, path: str = "complete", **body: Any) -> str:
        """The same by plain HTTP; returns the path of its stream."""
        body = body or {"data": call_values(complete_arguments(), prompt="Hi", seed=None)}
        status, _, text = self.post(f"call/{path}", json.dumps(body).encode())
        assert status == 200, text
        return f"call/{path}/{json.loads(text)['event_id']}"

    def stream(self, receive_bytes: int | None = None, headers: str = "") -> Stream:
        return Stream(self.site, self.session, receive_bytes, headers)

    def answer(self, text: Any = "Hi", **options: Any) -> list[Json]:
        """Ask, and read to the end of the stream."""
        self.ask(text, **options)
        return list(self.stream())


def kinds(messages: Sequence[Json]) -> list[str]:
    return [message["msg"] for message in messages]


def generating(messages: Sequence[Json]) -> list[Json]:
    return [message for message in messages if message["msg"] == "process_generating"]


def completed(messages: Sequence[Json], event_id: str | None = None) -> Json:
    (last,) = (
        message
        for message in messages
        if message["msg"] == "process_completed" and event_id in (None, message["event_id"])
    )
    return last


def added_up(messages: Sequence[Json]) -> list[Any]:
    """The values after each frame, put together as Gradio's own client does it."""
    first, *later = [message["output"]["data"] for message in generating(messages)]
    values = [first]
    for changes in later:
        values.append([apply_diff(old, change) for old, change in zip(values[-1], changes, strict=True)])
    return values
