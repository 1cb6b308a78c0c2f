"""Pictures and files of text that a visitor attaches: what leaves the browser, what is shown, and what is kept."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, Request, expect

from tests.fake import FakePageEngine, deltas
from tests.page import NewPage, box, questions, send, wait_for_end
from tests.support import wait_until
from tests.wire import Site, served_site

pytestmark = pytest.mark.browser
ORIENTATION, GPS, GPS_LATITUDE = 0x0112, 0x8825, 2
ON_ITS_SIDE = 6  # the camera was held upright, its picture lies
RED, BLUE = (220, 20, 20), (20, 20, 220)

# Drop files on the chat, as a visitor does from another window.
DROP = """([selector, files]) => {
  const data = new DataTransfer();
  for (const { name, type, base64 } of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }
  const target = document.querySelector(selector);
  for (const kind of ['dragover', 'drop']) {
    target.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
  }
}"""


def photo() -> bytes:
    """A photo of 12 megapixels that lies on its side, red above and blue below once it is upright, with its place."""
    picture = Image.new("RGB", (4000, 3000), RED)
    picture.paste(BLUE, (2000, 0, 4000, 3000))
    exif = Image.Exif()
    exif[ORIENTATION] = ON_ITS_SIDE
    exif.get_ifd(GPS)[GPS_LATITUDE] = (52.0, 31.0, 12.0)
    written = io.BytesIO()
    picture.save(written, "JPEG", exif=exif)
    return written.getvalue()


def glass() -> bytes:
    written = io.BytesIO()
    Image.new("RGBA", (60, 40), (0, 0, 0, 0)).save(written, "PNG")
    return written.getvalue()


def picture_of(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def drop(page: Page, *files: tuple[str, str, bytes], on: str = "#compose") -> None:
    listed = [{"name": n, "type": t, "base64": base64.b64encode(data).decode()} for n, t, data in files]
    page.evaluate(DROP, [on, listed])
    expect(page.locator(".attached p").first).not_to_have_text("Reading …")


def attached(page: Page) -> Any:
    return page.get_by_role("tabpanel").locator(".attached li:visible")


@pytest.fixture(scope="module")
def sighted() -> Iterator[Site]:
    engine = FakePageEngine(deltas("an answer"))
    engine.most_images = 4
    with served_site(engine) as site:
        yield site


@pytest.fixture
def bodies(sighted: Site, new_page: NewPage) -> Iterator[tuple[Page, list[str]]]:
    """A page, and all that it has sent of questions."""
    sighted.engine.reset(deltas("an answer"))
    sighted.engine.most_images = 4
    page, sent = new_page(sighted.url), []

    def note(request: Request) -> None:
        if request.url.endswith("/queue/join?") or "/queue/join" in request.url:
            sent.append(request.post_data or "")

    page.on("request", note)
    expect(page.locator("#send")).to_be_enabled()
    yield page, sent


def test_a_photo_is_sent_upright_small_and_without_its_place_and_stays_with_the_conversation(
    sighted: Site, bodies: tuple[Page, list[str]], tmp_path: Path
) -> None:
    page, sent = bodies
    engine = sighted.engine
    taken = photo()
    assert b"GPS" in taken or Image.open(io.BytesIO(taken)).getexif().get_ifd(GPS)
    drop(page, ("IMG_1.jpg", "image/jpeg", taken), ("glass.png", "image/png", glass()), ("a.heic", "image/heic", b"no"))
    expect(attached(page)).to_have_count(2)
    expect(page.locator(".attached p").first).to_have_text(
        "“a.heic” is not attached: this browser cannot read it; JPEG and PNG always work."
    )
    send(page, "What is this?")
    wait_for_end(page)
    expect(attached(page)).to_have_count(0)
    expect(box(page)).to_have_value("")

    question = engine.conversations[-1][-1]
    assert question.text == "What is this?" and len(question.images) == 2
    upright, see_through = map(picture_of, question.images)
    assert (upright.format, see_through.format) == ("JPEG", "PNG")
    width, height = upright.size
    assert width < height and 1_990_000 < width * height <= 2_000_000
    colours = [upright.getpixel((width // 2, y)) for y in (height // 8, 7 * height // 8)]
    for seen, painted in zip(colours, (RED, BLUE), strict=True):
        assert isinstance(seen, tuple) and max(abs(a - b) for a, b in zip(seen, painted, strict=True)) < 12
    assert not upright.getexif() and not upright.info.get("exif")
    body = json.loads(sent[-1])
    assert "GPS" not in json.dumps(body) and base64.b64encode(taken[:300]).decode()[:40] not in sent[-1]

    shown = questions(page).last.locator(".pictures img")
    expect(shown).to_have_count(2)
    expect(questions(page)).to_have_text("What is this?")
    page.get_by_role("button", name="Show “Picture 1” large").click()
    large = page.get_by_role("dialog", name="Picture 1")
    expect(large).to_be_visible()
    assert large.locator("img").evaluate("(img) => img.naturalWidth * img.naturalHeight") == width * height
    page.keyboard.press("Escape")
    expect(large).to_have_count(0)

    page.reload()
    expect(shown).to_have_count(2)
    send(page, "And now?")
    wait_for_end(page)
    assert [len(message.images) for message in engine.conversations[-1]] == [2, 0, 0]
    assert engine.conversations[-1][0].images == question.images
    page.get_by_label("Retry").last.click()
    wait_until(lambda: engine.num_started == 3, what="another answer")
    wait_for_end(page)
    assert engine.conversations[-1][0].images == question.images
    page.get_by_label("Edit").first.click()
    page.locator("#chat textarea").fill("What else?")
    page.get_by_label("Submit").first.click()
    wait_until(lambda: engine.num_started == 4, what="the answer to the edited question")
    wait_for_end(page)
    (asked,) = engine.conversations[-1]
    assert (asked.text, asked.images) == ("What else?", question.images)
    page.get_by_label("Undo").last.click()
    expect(box(page)).to_have_value("What else?")
    expect(attached(page)).to_have_count(2)
    box(page).press("Enter")
    wait_until(lambda: engine.num_started == 5, what="the answer to what was put back")
    wait_for_end(page)
    assert engine.conversations[-1][0].images == question.images
