"""Draw the pictures that the seeing model learns from: shapes, numbers, words, bar charts, at the model's resolution.

A scene says what is in a picture, so that `looking.py` can ask about it; `draw` makes the pixels. Everything comes
from a seeded generator. Fonts are Pillow's own one, and Matplotlib's where that is installed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np
from common import ONSETS, RIMES, is_held_out
from PIL import Image, ImageDraw, ImageFont

SIZE = 112  # pixels a side, after the model's processor
SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "cross", "ring")
COLOURS = {
    "red": (214, 36, 36), "green": (36, 158, 60), "blue": (40, 84, 214), "yellow": (246, 214, 34),
    "orange": (246, 134, 22), "purple": (134, 46, 172), "pink": (250, 150, 190), "brown": (124, 74, 36),
    "black": (18, 18, 18), "white": (248, 248, 248), "grey": (136, 136, 136),
}  # fmt: skip
CELLS = (
    "top left", "top", "top right",
    "left", "middle", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip
WORDS = (
    "cat dog sun moon tree fish bird book door lamp rain snow milk bread apple house green river stone cloud train "
    "boat open stop exit go yes no hello thanks left right up down hot cold new old sale menu free tea cafe bus taxi "
    "park shop bank hotel radio music piano table chair glass paper pencil north south east west page home star fire "
    "wind salt sugar lemon peach grape rose tulip horse mouse tiger zebra camel eagle snake frog queen king jack robot "
    "space model token cache stream code data disk chip cloud light night day week month year red blue pink gold "
    "silver iron"
).split()
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Thing:
    """A shape, or a bar, in a picture: coordinates and size in shares of the picture."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    turn: float = 0.0  # degrees

    @property
    def cell(self) -> str | None:
        """Return where it is, or None near the border between two places."""
        columns, rows = _third(self.x), _third(self.y)
        return None if columns is None or rows is None else CELLS[3 * rows + columns]


@dataclass(frozen=True)
class Scene:
    """What is in a picture."""

    kind: str  # shapes, number, word, bars or empty
    things: tuple[Thing, ...]  # of bars: from left to right, radius is the height
    background: str
    text: str = ""  # the number or the word
    ink: str = ""  # its colour

    def signature(self) -> tuple[object, ...]:
        """Return what the held-out split looks at: no training picture shows the same."""
        seen = sorted((t.shape, t.colour, t.cell or "") for t in self.things)
        return ("scene", self.kind, self.text or (seen if self.kind != "bars" else [t.colour for t in self.things]))


def _third(share: float) -> int | None:
    if share < 0.35:
        return 0
    if 0.42 < share < 0.58:
        return 1
    return 2 if share > 0.65 else None


def scene(rng: Random, held_out: bool, kind: str = "") -> Scene:
    """Draw what is in a picture, on the wanted side of the split."""
    kinds = ("shapes", "number", "word", "bars", "empty")
    while True:
        chosen = kind or rng.choices(kinds, (62, 8, 20, 8, 2))[0]
        made = MAKERS[chosen](rng)
        if chosen == "empty" or is_held_out(*made.signature()) == held_out:
            return made


def _background(rng: Random) -> str:
    return rng.choice(("white", "white", "white", "grey", "black", *COLOURS))


def _contrast(first: str, second: str) -> bool:
    """Say whether two colours can be told apart by brightness or hue."""
    near = ({"white", "pink"}, {"white", "yellow"}, {"black", "brown"}, {"red", "orange"}, {"red", "pink"},
            {"orange", "yellow"}, {"orange", "brown"}, {"red", "brown"}, {"blue", "purple"}, {"grey", "green"},
            {"purple", "brown"}, {"grey", "brown"}, {"orange", "pink"}, {"black", "purple"}, {"black", "blue"},
            {"pink", "grey"}, {"white", "grey"})  # fmt: skip
    return first != second and {first, second} not in near


def _colour_on(rng: Random, background: str) -> str:
    return rng.choice([name for name in COLOURS if _contrast(name, background)])


def _place(rng: Random, radius: float, taken: list[Thing]) -> tuple[float, float] | None:
    """Find a free place: anywhere, or near the middle of one of the nine places."""
    low, high = radius + 0.02, 0.98 - radius
    for _ in range(30):
        if rng.random() < 0.6:
            x, y = (rng.choice((0.19, 0.5, 0.81)) + rng.uniform(-0.06, 0.06) for _ in range(2))
            x, y = min(max(x, low), high), min(max(y, low), high)
        else:
            x, y = rng.uniform(low, high), rng.uniform(low, high)
        if all(math.hypot(x - t.x, y - t.y) > 1.1 * (radius + t.radius) for t in taken):
            return x, y
    return None


def _shapes(rng: Random) -> Scene:
    background = _background(rng)
    count = rng.choice((1, 1, 2, 2, 3, 3, 4, 4, 5, 5))
    # Many of one kind make counting worth asking; otherwise each is drawn for itself.
    alike = rng.random() < 0.45 and count > 1
    shape, colour = rng.choice(SHAPES), _colour_on(rng, background)
    things: list[Thing] = []
    size = rng.uniform(0.75, 1.1)
    for _ in range(count):
        if not (alike and rng.random() < 0.75):
            shape = rng.choice(SHAPES)
        if not (alike and rng.random() < 0.75):
            colour = _colour_on(rng, background)
        biggest = {1: 0.36, 2: 0.24, 3: 0.2, 4: 0.17, 5: 0.15}[count]
        radius = max(0.085, rng.uniform(0.5, 1.0) * biggest * size)
        place = _place(rng, radius, things)
        if place:
            turn = rng.uniform(-14, 14) if shape in ("square", "triangle", "diamond", "heart", "cross") else 0.0
            things.append(Thing(shape, colour, *place, radius, turn if rng.random() < 0.5 else 0.0))
    return Scene("shapes", tuple(things), background)


def _number(rng: Random) -> Scene:
    background = _background(rng)
    text = str(rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 4))))
    return Scene("number", (), background, text, _colour_on(rng, background))


def _word(rng: Random) -> Scene:
    background = _background(rng)
    made = "".join(rng.choice(ONSETS) + rng.choice(RIMES) for _ in range(rng.choice((1, 1, 2))))[:6]
    text = rng.choice(WORDS) if rng.random() < 0.6 else made
    text = rng.choice((text.upper(), text, text.capitalize()))
    return Scene("word", (), background, text, _colour_on(rng, background))


def _bars(rng: Random) -> Scene:
    background = rng.choice(("white", "white", "white", "grey", "black"))
    count = rng.choice((2, 3, 3, 4, 4, 5, 5))
    colours = [name for name in COLOURS if _contrast(name, background)]
    colours = rng.sample(colours, count)
    # The tallest and the lowest differ clearly from all others.
    levels = [0.15, *(rng.uniform(0.3, 0.7) for _ in range(count - 2)), 0.86]
    levels = [level + rng.uniform(-0.05, 0.05) for level in levels]
    rng.shuffle(levels)
    things = (Thing("bar", c, (i + 0.5) / count, 0.5, h) for i, (c, h) in enumerate(zip(colours, levels, strict=True)))
    return Scene("bars", tuple(things), background)


def _empty(rng: Random) -> Scene:
    return Scene("empty", (), rng.choice(list(COLOURS)))


MAKERS: dict[str, Callable[[Random], Scene]] = {
    "shapes": _shapes, "number": _number, "word": _word, "bars": _bars, "empty": _empty,
}  # fmt: skip


def tint(rng: Random, name: str) -> Colour:
    """Vary a named colour a little, so that a colour is a range and not a point."""
    spread = 9 if name in ("black", "white", "grey") else 20
    shift = rng.randint(-spread, spread) if name in ("black", "white", "grey") else None
    red, green, blue = (
        min(255, max(0, part + (rng.randint(-spread, spread) if shift is None else shift))) for part in COLOURS[name]
    )
    return red, green, blue


def _polygon(*points: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    return points


def _star() -> tuple[tuple[float, float], ...]:
    angles = [(math.pi * i / 5 - math.pi / 2, 1.0 if i % 2 == 0 else 0.42) for i in range(10)]
    return tuple((r * math.cos(a), r * math.sin(a)) for a, r in angles)


def _heart() -> tuple[tuple[float, float], ...]:
    steps = [2 * math.pi * i / 28 for i in range(28)]
    return tuple(
        (math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16)
        for t in steps
    )


OUTLINES = {
    "square": _polygon((-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)),
    "triangle": _polygon((0, -0.95), (0.95, 0.75), (-0.95, 0.75)),
    "diamond": _polygon((0, -1), (0.68, 0), (0, 1), (-0.68, 0)),
    "cross": _polygon(
        (-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3),
        (0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3),
    ),
    "star": _star(),
    "heart": _heart(),
}  # fmt: skip


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing, size: tuple[int, int], fill: Colour, behind: Colour) -> None:
    radius = thing.radius * min(size)
    x, y = thing.x * size[0], thing.y * size[1]
    if thing.shape in ("circle", "ring"):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        if thing.shape == "ring":
            hole = radius * 0.56
            pen.ellipse((x - hole, y - hole, x + hole, y + hole), fill=behind)
        return
    angle = math.radians(thing.turn)
    cos, sin = radius * math.cos(angle), radius * math.sin(angle)
    pen.polygon([(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in OUTLINES[thing.shape]], fill=fill)


@cache
def font_files() -> tuple[Path | None, ...]:
    """Return the fonts to write with; None is Pillow's own."""
    spec = find_spec("matplotlib")
    folder = Path(spec.origin or "").parent / "mpl-data/fonts/ttf" if spec else Path("/nowhere")
    names = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono-Bold")
    files = [folder / f"{name}.ttf" for name in names]
    return None, None, None, *(file for file in files if file.is_file())


@cache
def _font(file: Path | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(str(file), size)


def _draw_text(rng: Random, image: Image.Image, text: str, fill: Colour, behind: Colour) -> Image.Image:
    """Write a text as large as it fits or smaller, anywhere, often slightly turned."""
    width, height = image.size
    file, bold = rng.choice(font_files()), rng.choice((0, 0, 1, 2))
    box = ImageDraw.Draw(image).textbbox((0, 0), text, font=_font(file, 100), stroke_width=bold)
    fits = 100 * min(0.88 * width / (box[2] - box[0]), 0.8 * height / (box[3] - box[1]))
    least = 0.2 * height if len(text) > 3 else 0.24 * height
    size = int(max(min(least, fits), fits * rng.uniform(0.5, 1.0)) / 4) * 4
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=_font(file, size), stroke_width=bold)
    x = rng.uniform(0.03, 0.97) * max(0, width - (right - left)) - left
    y = rng.uniform(0.03, 0.97) * max(0, height - (bottom - top)) - top
    pen.text((x, y), text, fill=fill, font=_font(file, size), stroke_width=bold, stroke_fill=fill)
    if rng.random() < 0.4:
        image = image.rotate(rng.uniform(-8, 8), Image.Resampling.BILINEAR, fillcolor=behind)
    return image


def _draw_bars(rng: Random, pen: ImageDraw.ImageDraw, made: Scene, size: tuple[int, int], line: Colour) -> None:
    width, height = size
    left, right = rng.uniform(0.03, 0.15) * width, rng.uniform(0.88, 0.98) * width
    base, top = rng.uniform(0.86, 0.97) * height, rng.uniform(0.02, 0.1) * height
    thickness = rng.uniform(0.55, 0.85) * (right - left) / len(made.things)
    if rng.random() < 0.3:
        for share in (0.25, 0.5, 0.75):
            y = base - share * (base - top)
            pen.line((left, y, right, y), fill=(128, 128, 128))
    for bar in made.things:
        x, y = left + bar.x * (right - left), base - bar.radius * (base - top)
        pen.rectangle((x - thickness / 2, y, x + thickness / 2, base), fill=tint(rng, bar.colour))
    if rng.random() < 0.7:
        pen.line((left, base, right, base), fill=line, width=2)
    if rng.random() < 0.5:
        pen.line((left, top, left, base), fill=line, width=2)


def draw(rng: Random, made: Scene) -> Image.Image:
    """Draw a scene at some size and with some aspect; the model's processor brings it to SIZE."""
    size = (rng.randint(180, 300), rng.randint(180, 300))
    behind = tint(rng, made.background)
    image = Image.new("RGB", size, behind)
    pen = ImageDraw.Draw(image)
    for thing in made.things if made.kind == "shapes" else ():
        _draw_thing(pen, thing, size, tint(rng, thing.colour), behind)
    if made.text:
        image = _draw_text(rng, image, made.text, tint(rng, made.ink), behind)
    if made.kind == "bars":
        _draw_bars(rng, pen, made, size, (235, 235, 235) if made.background == "black" else (30, 30, 30))
    return worn(rng, image)


def worn(rng: Random, image: Image.Image) -> Image.Image:
    """Wear a picture as the world does: noise, or a trip through JPEG."""
    luck = rng.random()
    if luck < 0.15:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=rng.randint(40, 90))
        return Image.open(file).convert("RGB")
    if luck < 0.35:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(2, 14), (image.height, image.width, 1))
        return Image.fromarray((np.asarray(image, np.float32) + noise.astype(np.float32)).clip(0, 255).astype(np.uint8))
    return image


def pixels(image: Image.Image) -> np.ndarray:
    """Bring a picture to the model's resolution, as its processor does: uint8 [SIZE, SIZE, 3]."""
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
