"""OpenAI's own client, what it is asked for, and an application in the place of vLLM's."""

import asyncio
from typing import Any

from openai import OpenAI

from streamspace.types import Status
from tests.fake import FakePageEngine

MODEL = "streamspace-tiny"
HI: Any = [{"role": "user", "content": "What is the KV cache?"}]
GREEDY: Any = {"temperature": 0, "max_tokens": 24}
RESTARTING = Status("restarting", "The engine has broken down")


def client_of(url: str, key: str = "any", **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{url}/v1", api_key=key, **{"max_retries": 0, **options})


class Answers:
    """In the place of vLLM's application: the first chunk at once, the last one when `end` is set."""

    def __init__(self, end: bool = False) -> None:
        self.end = end
        self.num_running = 0
        self.status = 200
        self.chunk = b"data: {}\n\n"
        self.last = b""
        self.breaks: FakePageEngine | None = None  # under the answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.num_running += 1
        if self.breaks:
            self.breaks.status = RESTARTING
        leaving = asyncio.ensure_future(self._gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status, "headers": []})
            while not self.end and not leaving.done():
                await send({"type": "http.response.body", "body": self.chunk, "more_body": True})
                await asyncio.sleep(0.01)
            await send({"type": "http.response.body", "body": self.last})
        finally:
            self.num_running -= 1
            leaving.cancel()

    async def _gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
