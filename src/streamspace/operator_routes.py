"""What only the operator may do while the app runs: have a failed engine tried again, and change the model.

The log has the operator's key. Wrong keys are counted by address.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse

from streamspace import asgi, fits
from streamspace.chat import ServedEngine
from streamspace.config import load_config
from streamspace.download import fetch
from streamspace.errors import BadRequest, ChatError, NotTheOperator, StreamSpaceError
from streamspace.model_files import kind_of_model
from streamspace.translation import language_of, say_in
from streamspace.visitors import Attempts, client_of

RETRY = '<!doctype html><title>StreamSpace</title><form method="post"><button>Build the engine again</button></form>'
OF_A_MODEL = {"MODEL_ID": "--model", "MODEL_REVISION": "--revision"}  # what another model does not keep
LIMIT = asgi.BodyLimit(4096, 10)


@dataclass(frozen=True)
class Start:
    """How the app is started: its options on the command line, and its environment."""

    arguments: Sequence[str]
    environ: Mapping[str, str]

    def with_model(self, model: str) -> "Start":
        """The same with another model."""
        arguments: list[str] = []
        left = iter(self.arguments)
        for argument in left:
            if argument in OF_A_MODEL.values():
                next(left, None)
            elif argument.partition("=")[0] not in OF_A_MODEL.values():
                arguments.append(argument)
        environ = {name: value for name, value in self.environ.items() if name not in OF_A_MODEL}
        return Start(arguments, {**environ, "MODEL_ID": model})


class OperatorRoutes:
    """POST /retry and POST /model.

    `start` is how this app was started; `again` ends it and has it start in another way. It returns at once.
    """

    def __init__(self, engine: ServedEngine, start: Start, again: Callable[[Start], None]) -> None:
        self._engine = engine
        self._start = start
        self._again = again
        self._attempts = Attempts()

    def install(self, app: FastAPI) -> None:
        """Add the routes."""
        app.add_api_route("/retry", self.retry, methods=["GET", "POST"], response_model=None)
        app.add_api_route("/model", self.change_model, methods=["POST"], response_model=None)

    async def retry(self, request: Request, key: str = "") -> Response:
        """Try once more to build an engine that was given up.

        GET shows a button for it: whatever looks at an address that somebody wrote down must not start anything.
        """
        try:
            self._check_key(request, key)
        except ChatError as error:
            return JSONResponse({"detail": str(error)}, error.status)
        if request.method == "GET":
            return HTMLResponse(RETRY, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        self._engine.retry()
        return RedirectResponse("./", 303)

    async def change_model(self, request: Request) -> Response:
        """Start the app again with `model`, a hub id or folder, if `key` is right and the model may fit.

        The answer says so before it happens. Conversations are the browsers' and stay.
        """
        try:
            asgi.check_json(request.scope)
            asgi.check_site(request.scope)
            asked = asgi.parse(await asgi.read(request.scope, request.receive, LIMIT) or b"")
            if not isinstance(asked, dict) or not all(isinstance(asked.get(name), str) for name in ("model", "key")):
                raise BadRequest("The body must have the texts model and key.")
            self._check_key(request, asked["key"])
            start = self._start.with_model(asked["model"].strip())
            await asyncio.to_thread(check_model, start)
        except StreamSpaceError as error:
            say = say_in(language_of(request.headers.get("accept-language", "")))
            return JSONResponse({"detail": say(error.sentence)}, error.status if isinstance(error, ChatError) else 400)
        self._again(start)
        return JSONResponse({"model": start.environ["MODEL_ID"]})

    def _check_key(self, request: Request, key: str) -> None:
        """Raises NotTheOperator, or TooManyAttempts after too many of them."""
        address = client_of(request.scope).address
        self._attempts.check(address)
        if not secrets.compare_digest(key.encode(errors="replace"), self._engine.operator_key.encode()):
            self._attempts.failed(address)
            raise NotTheOperator


class _Found(Exception):
    """The model is there and may fit: nothing is fetched before the app starts again."""


def check_model(start: Start) -> None:
    """Raise a StreamSpaceError unless the app can start so and its model is there and may fit. Blocks: asks the hub.

    The memory that the present model takes counts as free, because it will be.
    """
    model = start.environ["MODEL_ID"]
    if not model:
        raise BadRequest("The model is empty; it must be a hub id, such as Qwen/Qwen3-0.6B, or a folder.")
    config = load_config(start.arguments, start.environ)

    def check(weights: fits.Weights) -> None:
        fits.check(config, weights, fits.machine(start.environ, is_empty=True))
        raise _Found

    try:
        kind = kind_of_model(config.trusts_remote_code)
        fetch(model, kind, token=config.hf_token, check=check)
    except _Found:
        pass
