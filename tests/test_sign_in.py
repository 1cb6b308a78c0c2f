"""Sign-in with Hugging Face as on a Space, against a provider on this machine: only who has signed in is answered."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from gradio import oauth
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import expect

from streamspace.config import load_config
from streamspace.errors import ConfigError
from streamspace.ui import build_demo
from tests.fake import FakePageEngine, deltas
from tests.page import NewPage, begin_and_end, bot
from tests.support import admission_of, served

CLIENT = {"OAUTH_CLIENT_ID": "streamspace", "OAUTH_CLIENT_SECRET": "a-secret", "OAUTH_SCOPES": "openid profile"}
SPACE = {"SPACE_ID": "owner/name", "SYSTEM": "spaces"}
KEY = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})


@dataclass
class Provider:
    """What huggingface.co is to a Space: whoever asks is signed in as Zoe, for `lasts_s`."""

    lasts_s: int = 3600
    nonces: dict[str, str] = field(default_factory=dict)  # by code
    url: str = ""

    def answer(self, path: str, query: dict[str, str], body: dict[str, str]) -> tuple[int, dict[str, Any] | str]:
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            return 200, {"issuer": self.url, **{name: f"{self.url}/{end}" for name, end in ends.items()}}
        if path == "/authorize":
            code = uuid.uuid4().hex
            self.nonces[code] = query["nonce"]
            return 302, f"{query['redirect_uri']}&{urlencode({'code': code, 'state': query['state']})}"
        if path == "/token":
            return 200, {
                "access_token": "t", "token_type": "bearer", "expires_in": self.lasts_s,
                "id_token": self._identity(self.nonces.pop(body["code"])),
            }  # fmt: skip
        return 200, {"keys": [KEY.as_dict(private=False)]}

    def _identity(self, nonce: str) -> str:
        now = int(time.time())
        about = {"sub": "1", "name": "Zoe", "preferred_username": "zoe", "profile": "", "picture": ""}
        claims = {"iss": self.url, "aud": CLIENT["OAUTH_CLIENT_ID"], "iat": now, "exp": now + 60, "nonce": nonce}
        return jwt.encode({"alg": "RS256", "kid": "1"}, {**claims, **about}, KEY)


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            query, given = ({name: one for name, (one,) in parse_qs(text).items()} for text in (address.query, body))
            status, answer = provider.answer(address.path, query, given)
            self.send_response(status)
            if isinstance(answer, str):
                self.send_header("Location", answer)
            else:
                self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"" if isinstance(answer, str) else json.dumps(answer).encode())

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield provider
        server.shutdown()


@pytest.fixture
def url(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A page on a scripted engine, as on a Space with a sign-in."""
    for name, value in SPACE.items():
        monkeypatch.setenv(name, value)
    environ = {**SPACE, **CLIENT, "OPENID_PROVIDER_URL": provider.url, "HF_LOGIN": "1"}
    for name in (*CLIENT, "OPENID_PROVIDER_URL"):
        monkeypatch.setattr(oauth, name, environ[name])
    engine = FakePageEngine(deltas("an answer"))
    engine.config = replace(load_config((), environ), model=engine.config.model)
    with served(engine, build_demo(engine, admission_of(engine))) as url:
        yield url


def signed_in(url: str) -> dict[str, str]:
    """The cookies of somebody who has gone the whole way; the client itself would send them by https alone."""
    cookies: dict[str, str] = {}
    to = f"{url}/login/huggingface"
    for _ in range(4):
        answer = httpx.get(to, headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())})
        cookies |= dict(answer.cookies)
        if answer.status_code == 200:
            break
        to = str(httpx.URL(to).join(answer.headers["location"]))
    return {"Cookie": f"session={cookies['session']}"}


def statuses(url: str, headers: dict[str, str]) -> dict[str, int]:
    """How a few entrypoints answer."""
    info = httpx.get(f"{url}/gradio_api/info", headers=headers).status_code
    called = httpx.post(f"{url}/gradio_api/call/v2/chat", json={"message": "Hi"}, headers=headers).status_code
    event = {"data": [], "fn_index": 0, "session_hash": "x"}
    joined = httpx.post(f"{url}/gradio_api/queue/join", json=event, headers=headers).status_code
    return {
        "info": info,
        "call": called,
        "join": joined,
        "config": httpx.get(f"{url}/config", headers=headers).status_code,
    }


def test_without_signing_in_there_is_nothing_but_the_way_to_it(url: str) -> None:
    page = httpx.get(url)
    assert page.status_code == 200 and 'href="login/huggingface"' in page.text and "gradio" not in page.text
    assert "使用 Hugging Face 登录" in httpx.get(url, headers={"Accept-Language": "zh-CN"}).text
    assert set(statuses(url, {}).values()) == {401}
    assert set(statuses(url, {"Cookie": "session=eyJvYXV0aF9pbmZvIjoge319.forged.cookie"}).values()) == {401}
    assert httpx.post(f"{url}/v1/chat/completions", json={}).status_code == 404  # on a Space only with a key
    assert httpx.get(f"{url}/health").status_code == 200


def test_who_has_signed_in_is_answered_until_it_runs_out(url: str, provider: Provider) -> None:
    headers = signed_in(url)
    assert "gradio" in httpx.get(url, headers=headers).text
    assert statuses(url, headers) == {"info": 200, "call": 200, "join": 400, "config": 200}
    provider.lasts_s = -1
    assert set(statuses(url, signed_in(url)).values()) == {401}


@pytest.mark.browser
def test_a_visitor_signs_in_in_a_new_tab_chats_and_signs_out(url: str, new_page: NewPage) -> None:
    page = new_page(url)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sign in with Hugging Face").click()
    tab = opened.value
    begin_and_end(tab, "Hi")
    expect(bot(tab)).to_have_text("an answer")
    tab.get_by_role("link", name="Sign out").click()
    expect(tab.get_by_role("link", name="Sign in with Hugging Face")).to_be_visible()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "which sets SPACE_ID"),
        (SPACE, "which sets OAUTH_CLIENT_ID"),
        ({**SPACE, **CLIENT}, "which sets OPENID_PROVIDER_URL"),
        ({**SPACE, **CLIENT, "OPENID_PROVIDER_URL": "x", "SYSTEM": ""}, "which sets SYSTEM"),
        ({**SPACE, "GRADIO_AUTH": "zoe:secret"}, "are two logins"),
    ],
)
def test_a_sign_in_that_cannot_be_is_refused(environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config(["--hf-login"], environ)
