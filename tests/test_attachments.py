"""Pictures and files of text that a visitor attaches: what leaves the browser, what is shown, and what is kept."""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, Request, expect

from streamspace.errors import EngineStopped
from tests.fake import FakePageEngine, deltas
from tests.page import (
    FILLED,
    NewPage,
    bot,
    box,
    compare,
    open_compare,
    open_sidebar,
    questions,
    send,
    use,
    wait_for_all,
    wait_for_end,
)
from tests.support import Running, wait_until
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
PASTE = """([selector, text]) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData('text/plain', text);
  const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
  return document.querySelector(selector).dispatchEvent(event);
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


KEPT = """() => new Promise((resolve) => {
  const opening = indexedDB.open('streamspace-conversations');
  opening.onsuccess = () => {
    const database = opening.result;
    const asking = database.transaction('pictures').objectStore('pictures').count();
    asking.onsuccess = () => { database.close(); resolve(asking.result); };
  };
})"""


def test_pictures_are_exported_imported_and_deleted_with_their_conversation(
    sighted: Site, bodies: tuple[Page, list[str]], tmp_path: Path
) -> None:
    page, _ = bodies
    engine = sighted.engine
    drop(page, ("glass.png", "image/png", glass()), on="#chat")
    expect(attached(page)).to_have_count(1)
    box(page).press("Enter")  # a picture alone is a question
    wait_for_end(page)
    expect(questions(page).locator(".pictures img")).to_have_count(1)
    (asked,) = engine.conversations[-1]
    assert asked.text == "" and len(asked.images) == 1
    wait_until(lambda: page.evaluate(KEPT) == 1, what="the picture in the browser's storage")
    open_sidebar(page)
    paths: list[Path] = []
    page.get_by_role("button", name=re.compile("^Actions for")).click()
    for action, ending in (("Export JSON", "json"), ("Export Markdown", "md")):
        with page.expect_download() as download:
            page.locator("#conversations").get_by_role("button", name=action).click()
        paths.append(tmp_path / f"conversation.{ending}")
        download.value.save_as(paths[-1])
        assert asked.images[0] in paths[-1].read_text("utf-8")
    page.get_by_role("button", name="Delete", exact=True).click()
    wait_until(lambda: page.evaluate(KEPT) == 0, what="the end of the picture")
    page.get_by_role("button", name="Undo", exact=True).click()
    wait_until(lambda: page.evaluate(KEPT) == 1, what="the picture again")
    for number, path in enumerate(paths, 2):
        page.locator("#conversations input[type=file]").set_input_files(path)
        wait_until(lambda number=number: page.evaluate(KEPT) == number, what="the imported picture")  # type: ignore[misc]
        expect(questions(page).locator(".pictures img")).to_have_count(1)
        send(page, "And now?")
        wait_for_end(page)
        assert engine.conversations[-1][0].images == asked.images


def pdf(text: str) -> bytes:
    """A PDF of one page with this text."""
    content = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    return (
        b"%PDF-1.4\n"
        + b"".join(b"%d 0 obj\n%s\nendobj\n" % each for each in enumerate(objects, 1))
        + b"trailer\n<< /Root 1 0 R >>\n"
    )


def scan() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (600, 800), RED).save(written, "PDF")
    return written.getvalue()


def test_files_of_text_and_pdfs_are_part_of_the_message_and_folded(
    sighted: Site, bodies: tuple[Page, list[str]]
) -> None:
    page, _ = bodies
    engine = sighted.engine
    code = "def f():\n    return '```'\n"
    drop(
        page, ("main.py", "text/x-python", code.encode()), ("report.pdf", "application/pdf", pdf("Two lines of words")),
        ("zip.txt", "text/plain", b"PK\x03\x04\x00"), ("broken.pdf", "application/pdf", b"%PDF-1.4 no"),
        ("scan.pdf", "application/pdf", scan()),
    )  # fmt: skip
    names = attached(page).locator("button:first-child")
    expect(names).to_have_count(3)
    assert names.evaluate_all("(all) => all.map((one) => one.textContent)") == ["main.py", "report.pdf", ""]
    expect(page.locator(".attached p").first).to_have_text(
        "“zip.txt” is not attached: it is neither a picture nor text in UTF-8. "
        "“broken.pdf” is not attached: it is a broken PDF, or one that is locked."
    )
    box(page).fill("What?")
    assert page.evaluate(PASTE, ["#message textarea", "short"])
    assert not page.evaluate(PASTE, ["#message textarea", "long paste " * 300])
    expect(names).to_have_count(4)
    page.get_by_role("button", name="Remove “pasted text.txt”").focus()
    page.keyboard.press("Enter")
    expect(names).to_have_count(3)
    send(page, "What?")
    wait_for_end(page)
    expect(attached(page)).to_have_count(0)
    asked = engine.conversations[-1][-1]
    report = "`report.pdf`:\n```text\nTwo lines of words\n```"
    assert asked.text == f"What?\n\n`main.py`:\n````python\n{code}\n````\n\n{report}"
    (page_of_scan,) = map(picture_of, asked.images)
    assert page_of_scan.format == "JPEG" and page_of_scan.getpixel((300, 300))[0] > 200  # type: ignore[index]
    question = questions(page).last
    expect(question.locator("summary")).to_have_text(["main.py", "report.pdf"])
    expect(question.locator("pre").first).not_to_be_visible()
    question.locator("summary").first.click()
    expect(question.locator("pre").first).to_contain_text("return '```'")

    # What does not fit is refused, and nothing is lost.
    drop(page, ("long.txt", "text/plain", b"word " * 2000), ("longer.txt", "text/plain", b"a word " * 3000))
    expect(page.locator(".attached p").first).to_have_text(
        "“longer.txt” is not attached: 21,000 characters are more than a context of 1,000 tokens."
    )
    send(page, "And this?")
    expect(page.get_by_text("the model's context holds 1000, answer included").first).to_be_visible()
    wait_for_end(page)
    expect(box(page)).to_have_value("And this?")
    expect(attached(page)).to_have_text(["long.txt×"])
    page.get_by_role("button", name="Remove “long.txt”").click()

    engine.script = [EngineStopped()]
    drop(page, ("more.txt", "text/plain", b"more"))
    send(page, "And this?")
    expect(page.get_by_text(str(EngineStopped())).first).to_be_visible()
    wait_for_end(page)
    expect(box(page)).to_have_value("And this?")
    expect(attached(page)).to_have_text(["more.txt×"])
    engine.script = deltas("an answer")
    page.get_by_label("Undo").last.click()
    expect(box(page)).to_have_value("What?\nAnd this?")
    expect(attached(page)).to_have_count(4)  # the two files and the picture of the question, and the file


def test_compare_takes_pictures_and_a_model_that_does_not_see_takes_none(
    sighted: Site, site: Site, bodies: tuple[Page, list[str]], new_page: NewPage
) -> None:
    page, _ = bodies
    engine = sighted.engine
    open_compare(page, 2)
    drop(page, ("glass.png", "image/png", glass()), on="#compare-compose")
    expect(attached(page)).to_have_count(1)
    compare(page, "Which colour?")
    wait_for_all(page)
    assert {len(messages[-1].images) for messages in engine.conversations} == {1}
    use(page, 1)
    expect(questions(page).locator(".pictures img")).to_have_count(1)
    send(page, "Sure?")
    wait_for_end(page)
    assert [len(message.images) for message in engine.conversations[-1]] == [1, 0, 0]

    blind = new_page(site.url)
    expect(blind.locator("#send")).to_be_enabled()
    expect(blind.get_by_role("button", name="Attach text files").first).to_be_visible()
    drop(blind, ("glass.png", "image/png", glass()), ("scan.pdf", "application/pdf", scan()))
    expect(blind.locator(".attached p").first).to_have_text(
        "“glass.png” is not attached: it is a picture, and this model reads text alone. "
        "“scan.pdf” is not attached: it has no text, and this model reads text alone."
    )
    expect(attached(blind)).to_have_count(0)


def test_an_engine_that_sees_answers_about_a_photo(seeing: Running, new_page: NewPage) -> None:
    page = new_page(seeing.url)
    expect(page.locator("#send")).to_be_enabled()
    drop(page, ("IMG_1.jpg", "image/jpeg", photo()))
    expect(attached(page)).to_have_count(1)
    send(page, "What is this?")
    expect(bot(page)).to_have_text(FILLED)
    wait_for_end(page)
    expect(questions(page).locator(".pictures img")).to_have_count(1)
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator(".attach:visible").get_by_role("button", name="Attach pictures or text files")).to_be_visible()
