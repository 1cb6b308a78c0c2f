"""How many tokens a message will have, counted while it is typed; the engine is not asked."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.types import Receive, Scope, Send

from streamspace.asgi import off_loop, parse, respond
from streamspace.chat import ServedEngine
from streamspace.checks import check_text
from streamspace.errors import ChatError, TooManyRequests
from streamspace.limits import Admission
from streamspace.prompt import clean
from streamspace.ui.gradio_.guard import read_checked, refuse
from streamspace.visitors import LastMinute, client_of

MOST_A_MINUTE = 60  # counts of one address; a browser counts when nothing was typed for a moment


class TypedTokens:
    """POST /count with {"text": "..."}: `tokens` of the text, and of the whole `context`.

    A text that is longer than the context is refused as the message would be.
    """

    def __init__(
        self, engine: ServedEngine, admission: Admission, is_known: Callable[[Scope], Awaitable[bool]]
    ) -> None:
        self._engine, self._admission, self._is_known = engine, admission, is_known
        self._counts = LastMinute()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if not await self._is_known(scope):
            await respond(send, 401, {"detail": "Not authenticated"})
            return
        try:
            body = await read_checked(scope, receive, self._admission)
            if body is None:
                return
            self._counts.take(client_of(scope).address, MOST_A_MINUTE, partial(TooManyRequests, MOST_A_MINUTE))
            prompt = await self._engine.render_text(clean(await off_loop(body, _text, body)))
        except ChatError as error:
            await refuse(scope, receive, send, error)
            return
        await respond(send, 200, {"tokens": len(prompt.token_ids), "context": self._engine.max_model_len})


def _text(body: bytes) -> str:
    content: Any = parse(body)
    return check_text("text", content.get("text") if isinstance(content, dict) else None)
