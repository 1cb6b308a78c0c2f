"""The bundled model that sees, on a real engine: it answers what small pictures show, in English and in Chinese."""

import io
from collections.abc import Iterator

import pytest
from gradio_client import Client
from PIL import Image, ImageDraw, ImageFont

from tests.support import Running, run_application
from tests.vision import SEEING_MODEL, data_url

pytestmark = pytest.mark.xdist_group("vision")
WHITE, RED, GREEN, BLUE, BLACK = (248, 248, 248), (214, 36, 36), (36, 158, 60), (40, 84, 214), (18, 18, 18)
Shape = tuple[str, tuple[int, int, int], float, float, float]  # name, colour, and centre and radius in shares


@pytest.fixture(scope="module")
def sighted() -> Iterator[Running]:
    """The whole application on a real engine with the bundled model that sees."""
    with run_application(MODEL_ID=str(SEEING_MODEL)) as application:
        yield application


def drawn(*shapes: Shape, text: str = "") -> str:
    """A picture of 224 pixels, as a data URL."""
    image = Image.new("RGB", (224, 224), WHITE)
    pen = ImageDraw.Draw(image)
    for name, colour, x, y, radius in shapes:
        left, top, right, bottom = (224 * side for side in (x - radius, y - radius, x + radius, y + radius))
        if name == "circle":
            pen.ellipse((left, top, right, bottom), fill=colour)
        elif name == "square":
            pen.rectangle((left, top, right, bottom), fill=colour)
        else:  # a triangle
            pen.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=colour)
    if text:
        pen.text((112, 112), text, fill=BLACK, font=ImageFont.load_default(90), anchor="mm")
    file = io.BytesIO()
    image.save(file, "PNG")
    return data_url(file.getvalue())


CIRCLE = drawn(("circle", RED, 0.5, 0.5, 0.25))
TRIANGLE = drawn(("triangle", GREEN, 0.5, 0.5, 0.3))
THREE = drawn(*(("square", BLUE, x, y, 0.1) for x, y in ((0.25, 0.25), (0.75, 0.3), (0.5, 0.75))))
CORNERS = drawn(("circle", BLUE, 0.2, 0.2, 0.13), ("square", RED, 0.8, 0.8, 0.12))
NUMBER = drawn(text="47")

ASKED = [
    (CIRCLE, "What colour is the circle?", "red"),
    (CIRCLE, "圆形是什么颜色的？", "红"),
    (TRIANGLE, "What shape is this?", "triangle"),
    (TRIANGLE, "这是什么形状？", "三角形"),
    (THREE, "How many squares are there?", "3"),
    (THREE, "有几个正方形？", "3"),
    (CORNERS, "Where is the circle?", "top left"),
    (CORNERS, "正方形在哪里？", "右下角"),
    (NUMBER, "Which number do you see?", "47"),
    (NUMBER, "图里的数字是多少？", "47"),
    (CIRCLE, "What colour is the star?", "no star"),
    (CIRCLE, "星形是什么颜色？", "没有"),
]


def test_it_tells_what_is_in_a_picture(sighted: Running) -> None:
    client = Client(sighted.url, verbose=False)
    for picture, question, right in ASKED:
        told = client.predict(
            message=question, images=[picture], max_tokens=40, temperature=0, seed=None, api_name="/chat"
        )
        assert right in told.lower(), f"{question} {told}"
