"""What a picture must be before anything decodes it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from gradio_client import Client

from streamspace.asgi import BodyLimit
from streamspace.checks import parse_history, parse_images
from streamspace.errors import (
    BadPicture,
    BadRequest,
    BlindModel,
    ConfigError,
    PictureTooLarge,
    RequestFailed,
    TooManyPictures,
)
from streamspace.pictures import MEDIA_BYTES, MOST_BYTES, check_file, check_pictures, check_urls, file_of
from streamspace.terminal import data_urls, split, stream_to_terminal
from streamspace.types import Delta, Message
from tests.client import JSON, ask
from tests.fake import FakePageEngine, deltas
from tests.support import served
from tests.vision import data_url, hostile, picture, png
from tests.wire import Site

URL = data_url(picture())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_the_usual_kinds_pass_whatever_their_address_says(kind: str) -> None:
    file = picture(kind=kind)
    check_file(file)
    check_urls([data_url(file, "x-anything")], 1)
    assert file_of(data_url(file).partition(",")[2]) == file


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (b"", "the file is empty, broken or none of JPEG, PNG, WEBP, GIF, BMP"),
        (b"%PDF-1.4", "none of JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none of JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "none of JPEG"),
        (picture(kind="TIFF"), "none of JPEG"),
        (picture()[:20], "none of JPEG"),
        (png(5000, 4001), "it has more than 20 megapixels"),
        (png(60_000, 60_000), "it has more than 20 megapixels"),
        (png(30_000, 1), "it is 30000 x 1; both sides must have at least 8 pixels"),
        (png(8, 801), "it is 8 x 801; both sides must have at least 8 pixels, and one at most 100 times"),
        (png(3, 100), "it is 3 x 100"),
        (picture(kind="JPEG") + b"\xff\xda" * 100, "it is a JPEG of more than 100 scans"),
    ],
    ids=str,
)  # fmt: skip
def test_what_costs_too_much_or_is_no_picture_is_refused_by_its_header(file: bytes, problem: str) -> None:
    with pytest.raises(BadPicture) as refused:
        check_file(file)
    assert problem in str(refused.value)


def test_what_is_just_allowed_passes() -> None:
    for width, height in ((5000, 4000), (8, 800), (8, 8)):
        check_file(png(width, height))
    check_file(png(8000, 8000), most_pixels=64_000_000)
    check_file(png(8000, 8000), most_pixels=0)  # no limit, as for vLLM


@pytest.mark.parametrize(
    ("urls", "most", "error"),
    [
        ([URL], 0, BlindModel), ([URL] * 3, 2, TooManyPictures), (["http://example.org/a.png"], 1, BadPicture),
        (["data:image/png;base64,"], 1, BadPicture), (["data:text/html;base64,AAAA"], 1, BadPicture),
        (["data:image/png,AAAA"], 1, BadPicture), ([""], 1, BadPicture),
        (["data:image/png;base64," + "A" * (MOST_BYTES * 4 // 3 + 8)], 1, PictureTooLarge),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_pictures_are_counted_and_measured_as_they_were_sent(urls: list[str], most: int, error: Any) -> None:
    with pytest.raises(error):
        check_urls(urls, most)
    with pytest.raises(error):
        check_pictures([Message("user", "", images=tuple(urls)), Message("user", "And?")], most)


def test_addresses_that_the_operator_has_opened_pass_and_no_pictures_pass_always() -> None:
    check_urls(["http://example.org/a.png", URL], 2, lambda url: url.startswith("http://example.org"))
    check_pictures([Message("user", "Hi")], 0)


@pytest.mark.parametrize("text", ["AAA", "AA=A", "é", "AA AA", "AAAA\n"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(BadPicture, match="no base64"):
        file_of(text)


def test_strangers_pictures_pass_or_are_refused_and_nothing_else_happens() -> None:
    passed = 0
    for seed in range(100):
        url = hostile(seed)
        with suppress(BadPicture, PictureTooLarge):
            check_urls([url], 1)
            check_file(file_of(url.partition(",")[2]))
            passed += 1
    assert 10 <= passed <= 60  # the good ones, and those whose header is good


def test_one_large_picture_fits_into_a_request_of_the_smallest_context() -> None:
    assert BodyLimit.of(None, MEDIA_BYTES).num_bytes > MOST_BYTES * 4 // 3


def test_the_terminal_asks_about_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(picture())
    command = ["What is it?", "--image", str(file), "--model", "m", f"--image={file}", "--config", "c"]
    prompts, paths, options = split(command)
    assert (prompts, paths, options) == (["What is it?"], [str(file)] * 2, ["--model", "m", "--config", "c"])
    urls = data_urls(paths)
    engine = FakePageEngine(deltas("a| square"))
    engine.most_images = 2
    asyncio.run(stream_to_terminal(cast(Any, engine), prompts, urls))
    assert "Answer: a square" in capsys.readouterr().out
    assert engine.conversations == [(Message("user", "What is it?", images=urls),)]
    assert file_of(urls[0].partition(",")[2]) == picture()
    with pytest.raises(ConfigError, match=r"--image is 'missing.png', which cannot be read: No such file"):
        data_urls(["missing.png"])


def test_an_error_without_a_sentence_is_one_in_the_terminal() -> None:
    engine: Any = FakePageEngine([Delta("an "), ZeroDivisionError()])
    with pytest.raises(RequestFailed, match="The engine could not finish this answer; try again"):
        asyncio.run(stream_to_terminal(engine, ["What is it?"]))


@pytest.mark.parametrize("api_name", ["/chat", "/complete"])
def test_an_error_without_a_sentence_is_one_for_clients_of_gradio(site: Site, api_name: str) -> None:
    site.engine.script = [Delta("an "), ZeroDivisionError()]
    with pytest.raises(Exception, match="The engine could not finish this answer; try again"):
        Client(site.url, verbose=False).predict("Hi", api_name=api_name)


@pytest.fixture
def seen() -> list[dict[str, Any]]:
    """What reaches the application in the place of vLLM's."""
    return []


@pytest.fixture
def url(seen: list[dict[str, Any]]) -> Iterator[str]:
    """A scripted engine that sees two pictures."""
    engine = FakePageEngine(deltas("an| answer"))
    engine.most_images, engine.reads_media = 2, True

    async def keep(scope: Any, receive: Any, send: Any) -> None:
        seen.append(json.loads((await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    engine.openai_app = keep
    with served(engine) as address:
        yield address


def test_v1_takes_no_names_and_no_tensors_for_pictures(url: str, seen: list[dict[str, Any]]) -> None:
    def post(*parts: Any) -> tuple[int, str]:
        messages = [{"role": "user", "content": list(parts)}]
        body = json.dumps({"messages": messages}).encode()
        status, _, text = ask(url, "POST", "/v1/chat/completions", body, JSON)
        return status, text

    part: dict[str, Any] = {"type": "image_url", "image_url": {"url": URL}}
    assert post({**part, "uuid": "another's"}, {"image_url": URL, "uuid": "x"})[0] == 200
    assert seen[0]["messages"][0]["content"] == [part, {"image_url": URL}]
    for name in ("image_embeds", "audio_embeds", "video_embeds", "prompt_embeds", "image_pil"):
        for wrong in ({"type": name, name: "AAAA"}, {name: "AAAA"}, {"type": name}):
            status, text = post(wrong)
            assert status == 400 and f"{name} is not served here" in text
    for bad in ({**part, "image_url": None}, {**part, "image_url": {}}, {**part, "image_url": [URL]}):
        status, text = post(bad)
        assert status == 400 and "image_url must be an object with a url" in text
    status, text = post(part, part, part)
    assert status == 400 and "The message has 3 pictures; allowed are 2" in text
    status, text = post({**part, "image_url": {"url": "data:image/png;base64," + "A" * (12 << 20)}})
    assert status == 413 and "A picture has 9.4 MB; allowed are 8.4" in text
    assert len(seen) == 1


def test_a_model_that_sees_nothing_says_so_at_chat_and_v1(site: Site) -> None:
    sentence = "The model here reads text alone and no pictures"
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}]
    body = json.dumps({"messages": messages}).encode()
    status, _, text = ask(site.url, "POST", "/v1/chat/completions", body, JSON)
    assert status == 400 and sentence in text
    with pytest.raises(Exception, match=sentence):
        Client(site.url, verbose=False).predict(message="Hi", images=[URL], api_name="/chat")
    assert not site.engine.conversations


def test_images_that_are_no_list_of_texts_are_refused() -> None:
    for wrong in ("data:", {"a": 1}, [1], [None], 0):
        with pytest.raises(BadRequest, match="images must be a list of data URLs"):
            parse_images(wrong)
    assert parse_images(None) == parse_images([]) == () and parse_images([URL]) == (URL,)
    history = [{"role": "user", "content": "Look.", "images": [URL]}, {"role": "assistant", "content": "", "images": 1}]
    assert parse_history(history) == (Message("user", "Look.", images=(URL,)), Message("assistant", ""))
