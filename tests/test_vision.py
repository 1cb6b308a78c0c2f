"""Pictures at every entrypoint, on a real engine with a model that sees."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from gradio_client import Client
from openai import BadRequestError, OpenAI

from streamspace import vllm_internals
from streamspace.chat import stream_chat
from streamspace.errors import BadPicture, ChatError, TooManyPictures
from streamspace.frames import Pacer
from streamspace.sampling import Settings
from streamspace.types import Message, Reply
from tests.client import ask
from tests.support import Running, wait_until
from tests.vision import PLACEHOLDER, TOKENS_A_PICTURE, data_url, picture

GREEDY = Settings(max_tokens=12, temperature=0, seed=None)
QUESTION = "What is the KV cache?"
URLS = tuple(data_url(picture(seed)) for seed in range(3))


def answer(app: Running, *messages: Message, settings: Settings = GREEDY) -> Reply:
    """The last reply of the page's own way to the engine."""

    async def last() -> Reply:
        async with aclosing(stream_chat(app.engine, messages, settings, Pacer())) as replies:
            return [reply async for reply in replies][-1]

    return app.run(last())


def asked(text: str, *urls: str) -> Message:
    return Message("user", text, images=urls)


def in_parts(text: str, urls: Sequence[str]) -> Any:
    """OpenAI's form of a message with pictures."""
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": text}]}]


def asked_by_mcp(url: str, urls: Sequence[str]) -> str:
    """The answer of MCP's tool, as it is on the wire."""
    arguments = {"question": QUESTION, "images": list(urls), "max_tokens": 12, "temperature": 0}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": arguments}}
    accept = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    status, _, text = ask(url, "POST", "/gradio_api/mcp/", json.dumps(body).encode(), accept)
    assert status == 200
    return text


def openai_of(app: Running) -> OpenAI:
    return OpenAI(base_url=f"{app.url}/v1", api_key="-", max_retries=0)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_every_door_answers_alike_with_so_many_pictures(seeing: Running, number: int) -> None:
    urls = URLS[:number]
    greedy: Any = {"max_tokens": 12, "temperature": 0}
    here = answer(seeing, asked(QUESTION, *urls))
    by_openai = openai_of(seeing).chat.completions.create(
        model=seeing.engine.config.model_name, messages=in_parts(QUESTION, urls), **greedy
    )
    by_gradio = Client(seeing.url, verbose=False).predict(
        message=QUESTION, images=list(urls), **greedy, api_name="/chat"
    )
    assert here.text and here.text == by_gradio == by_openai.choices[0].message.content
    assert json.dumps(here.text) in asked_by_mcp(seeing.url, urls)
    assert by_openai.usage and here.metrics and by_openai.usage.prompt_tokens == here.metrics.num_prompt_tokens


def test_a_picture_is_seen_and_its_tokens_are_counted(seeing: Running) -> None:
    without, *others = (answer(seeing, asked(QUESTION, *urls)) for urls in ((), URLS[:1], URLS[1:2], URLS))
    one, another, three = others
    assert one.text != another.text
    counts = [reply.metrics.num_prompt_tokens for reply in (without, one, three) if reply.metrics]
    assert counts[1] - counts[0] == TOKENS_A_PICTURE + 1  # the template puts a line break after each
    assert counts[2] - counts[0] == 3 * (TOKENS_A_PICTURE + 1)
    assert answer(seeing, asked(QUESTION, URLS[0])).text == one.text


def test_a_conversation_keeps_its_pictures(seeing: Running) -> None:
    history = [asked("Look.", URLS[0]), Message("assistant", "I see."), asked(QUESTION)]
    sent = [
        {"role": "user", "content": "Look.", "images": [URLS[0]]},
        {"role": "assistant", "content": "I see."},
    ]
    by_gradio = Client(seeing.url, verbose=False).predict(
        message=QUESTION, history=sent, max_tokens=12, temperature=0, api_name="/chat"
    )
    reply = answer(seeing, *history)
    assert by_gradio == reply.text and reply.metrics
    blind = answer(seeing, *[Message(message.role, message.text) for message in history])
    assert blind.metrics
    assert reply.metrics.num_prompt_tokens == blind.metrics.num_prompt_tokens + TOKENS_A_PICTURE + 1


def test_the_oldest_turns_go_for_more_pictures_than_a_conversation_may_have(seeing: Running) -> None:
    turn = (asked("Look.", *URLS), Message("assistant", "I see."))
    most = seeing.engine.most_images
    assert most == 16
    reply = answer(seeing, *turn * 6, asked(QUESTION, URLS[0]))  # 19 pictures
    assert reply.num_left_out == 2 and reply.text


BROKEN = {
    "cut PNG": data_url(picture()[:-40]),
    "cut JPEG": data_url(picture(kind="JPEG")[:-200], "jpeg"),
    "cut WebP": data_url(picture(kind="WEBP")[:-20], "webp"),
    "cut base64": URLS[0][:-3],
    "a text": data_url(b"hello"),
    "empty": "data:image/png;base64,",
    "30,000 x 1": data_url(picture(width=30_000, height=1)),
    "another server": "http://example.org/a.png",
    "a file": "file:///etc/hostname",
}


@pytest.mark.parametrize("url", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_is_one_sentence_at_every_door(seeing: Running, url: str) -> None:
    with pytest.raises(BadPicture) as here:
        answer(seeing, asked(QUESTION, url))
    sentence = str(here.value)
    assert sentence.startswith("A picture cannot be used: ") and "\n" not in sentence
    with pytest.raises(BadRequestError) as by_openai:
        openai_of(seeing).chat.completions.create(
            model=seeing.engine.config.model_name, messages=in_parts(QUESTION, [url]), max_tokens=2
        )
    assert sentence in by_openai.value.message
    with pytest.raises(Exception, match="A picture cannot be used"):
        Client(seeing.url, verbose=False).predict(message=QUESTION, images=[url], api_name="/chat")


OF_MESSAGES = "/v1/messages", "/v1/messages/count_tokens"
PROCESSING_FAILED = "Failed to apply LlavaProcessor on data={'images': [<PIL.Image.Image at 0x7F>]} with kwargs={}"


def refusals(app: Running, url: str) -> dict[str, str]:
    """The whole answer of each way in, by its name, for a picture that is refused."""
    name, base64 = app.engine.config.model_name, url.partition(",")[2]
    source = {"type": "base64", "media_type": "image/png", "data": base64}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": QUESTION}]
    shown = [{"type": "input_image", "image_url": url, "detail": "auto"}, {"type": "input_text", "text": QUESTION}]
    bodies: dict[str, Any] = {
        "/v1/chat/completions": {"messages": in_parts(QUESTION, [url]), "stream": True},
        "/tokenize": {"messages": in_parts(QUESTION, [url])},
        "/v1/responses": {"input": [{"role": "user", "content": shown}]},
        **{path: {"messages": [{"role": "user", "content": parts}], "max_tokens": 4} for path in OF_MESSAGES},
    }
    told = {}
    for path, body in bodies.items():
        content = json.dumps({"model": name, **body}).encode()
        _, _, text = ask(app.url, "POST", path, content, {"Content-Type": "application/json"})
        told[path] = json.loads(text)["error"]["message"]
    with pytest.raises(Exception) as by_gradio:
        Client(app.url, verbose=False).predict(message=QUESTION, images=[url], api_name="/chat")
    text = asked_by_mcp(app.url, [url])
    result = json.loads(text.partition("data: ")[2])["result"]
    assert result["isError"]
    return told | {"/chat": str(by_gradio.value), "ask": result["content"][0]["text"]}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError(PROCESSING_FAILED), "A picture cannot be used: the model's own processor does not take it."),
        (RuntimeError("0x7F"), "The engine could not finish this answer; try again."),
    ],
)
def test_a_picture_of_which_the_engine_fails_is_one_sentence_at_every_door(
    seeing: Running, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    vllm = seeing.engine._vllm
    assert vllm
    processor: Any = vllm.async_llm.renderer._readonly_mm_processor
    monkeypatch.setattr(processor, "apply", Mock(side_effect=error))
    told = refusals(seeing, URLS[0])
    assert told == dict.fromkeys(told, sentence)


def test_too_many_pictures_in_a_message_are_refused(seeing: Running) -> None:
    with pytest.raises(TooManyPictures, match="has 5 pictures; allowed are 4"):
        answer(seeing, asked(QUESTION, *(URLS[0],) * 5))


def test_the_text_that_marks_a_place_is_words(seeing: Running) -> None:
    typed = f"What is {PLACEHOLDER} here?"
    for urls in ((), URLS[:1]):
        reply, plain = answer(seeing, asked(typed, *urls)), answer(seeing, asked("What is it here?", *urls))
        assert reply.metrics and plain.metrics
        assert 0 <= reply.metrics.num_prompt_tokens - plain.metrics.num_prompt_tokens < TOKENS_A_PICTURE
    name = seeing.engine.config.model_name
    assert openai_of(seeing).chat.completions.create(model=name, messages=in_parts(typed, URLS[:1])).choices


def test_a_picture_that_the_engine_has_let_go_of_is_sent_again(seeing: Running) -> None:
    vllm = seeing.engine._vllm
    assert vllm
    first = answer(seeing, asked(QUESTION, URLS[2]))
    seeing.run(vllm.async_llm.engine_core.reset_mm_cache_async())
    assert answer(seeing, asked(QUESTION, URLS[2])).text == first.text


def test_without_a_request_no_picture_is_kept(seeing: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    vllm, rest = seeing.engine._vllm, seeing.engine.rest
    assert vllm
    monkeypatch.setattr(seeing.engine, "rest", AsyncMock())  # which the server asks every ten seconds
    renderer: Any = vllm.async_llm.renderer
    caches = renderer._readonly_mm_processor.cache, renderer.mm_processor_cache
    before = answer(seeing, asked(QUESTION, URLS[0])).text
    wait_until(lambda: seeing.is_idle, what="the end of the answer")
    assert all(len(cache._cache) for cache in caches)

    async def while_one_is_under_way() -> None:
        settings = Settings(max_tokens=400, temperature=0, seed=None)
        async with aclosing(stream_chat(seeing.engine, [asked(QUESTION, URLS[0])], settings, Pacer())) as replies:
            async for reply in replies:
                if reply.text:
                    await rest()
                    return

    seeing.run(while_one_is_under_way())
    assert all(len(cache._cache) for cache in caches)
    wait_until(lambda: not any(vllm_internals.num_unfinished(vllm.async_llm)), what="the end of the answer")
    seeing.run(rest())
    assert not any(len(cache._cache) for cache in caches)
    sent = Mock(wraps=vllm_internals.shared)
    monkeypatch.setattr(vllm_internals, "shared", sent)
    assert answer(seeing, asked(QUESTION, URLS[0])).text == before
    assert sent.call_count == 1  # once more, if the engine had been believed to have it
    # The engine has let go as well: it misses what it is believed to have.
    seeing.run(rest())
    monkeypatch.setattr(renderer, "clear_mm_cache", lambda: None)
    assert answer(seeing, asked(QUESTION, URLS[0])).text == before
    seeing.run(rest())
    assert answer(seeing, asked(QUESTION, URLS[0])).text == before
    assert sent.call_count == 4


@pytest.mark.parametrize("number", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_conversations_that_are_stopped_trimmed_refused_and_retried_leave_the_engine_well(
    seeing: Running, number: int
) -> None:
    urls = [data_url(picture(100 + seed)) for seed in range(8)]

    async def one(index: int) -> str:
        """A conversation with pictures, by its number stopped, trimmed, refused, or asked twice."""
        url, settings = urls[index % len(urls)], Settings(max_tokens=8, temperature=0, seed=None)
        messages = [asked(f"Question {index}", url)]
        if index % 4 == 1:
            filler = Message("user", "word " * 600)
            messages = [asked("Look.", *URLS), Message("assistant", "I see."), filler, *[
                Message("assistant", "Yes."), filler, Message("assistant", "Yes."), filler,
                Message("assistant", "Yes."),
            ], *messages]  # fmt: skip
        if index % 4 == 2:
            messages = [asked("word " * 5000, url)]
        text = ""
        for _ in range(2 if index % 4 == 3 else 1):
            try:
                async with aclosing(stream_chat(seeing.engine, messages, settings, Pacer())) as replies:
                    async for reply in replies:
                        text = reply.text
                        if index % 4 == 0 and (index % 8 or text):
                            break  # before or after its first text
            except ChatError as error:
                assert index % 4 == 2, error
        return text

    async def let_go() -> None:
        """Of prepared pictures, at moments that `rest` would leave alone."""
        while vllm := seeing.engine._vllm:
            await vllm_internals.forget_pictures(vllm.async_llm)
            await asyncio.sleep(0.05)

    async def all_of_them() -> None:
        letting = asyncio.create_task(let_go())
        await asyncio.gather(*(one(index) for index in range(number)))
        assert not letting.done()
        letting.cancel()

    before = answer(seeing, asked(QUESTION, URLS[0])).text
    seeing.run(all_of_them())
    wait_until(lambda: seeing.is_idle, 20, "the end of all answers")
    assert seeing.engine.status.stage == "ready" and not seeing.engine.num_restarts
    assert answer(seeing, asked(QUESTION, URLS[0])).text == before
