"""Pictures of visitors: how many a conversation has, and what a file must be before anything decodes it. Pure.

A file is the work of a stranger. What it says of itself is read, and neither its pixels nor a decoder of a rare format.
"""

import io
import re
from collections.abc import Callable, Sequence

import pybase64  # vLLM's own: 0.02 ms for a photograph, where binascii takes 0.7
from PIL import Image

from streamspace.errors import BadPicture, BlindModel, PictureTooLarge, TooManyPictures
from streamspace.translation import Sentence
from streamspace.types import Message

MEDIA_BYTES = 16 << 20  # beside the text of a request, to a model that reads pictures
MOST_BYTES = 8 << 20  # of one file
MOST_PIXELS = 20_000_000  # of one picture, unless the operator sets vLLM's variable; a photo of a telephone has 12
LEAST_SIDE = 8  # pixels; processors take a picture of 1 or 3 rows for one of as many colours
MOST_RATIO = 100  # of the sides: a processor scales the short one up, so that 30,000 x 1 would become gigabytes
MOST_SCANS = 100  # of a JPEG, each of which is another pass over all pixels; a progressive one has 10 or so
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SCAN = b"\xff\xda"  # before each; in the data after it, 0xFF is followed by 0
DATA_URL = re.compile(r"data:image/[\w.+-]{1,40};base64,", re.IGNORECASE)


def check_pictures(messages: Sequence[Message], most_images: int) -> None:
    """Check the pictures of a conversation by number, form and size, without reading one.

    `most_images` is how many the last message may have; the oldest turns can be left out.

    Raises:
        BlindModel, TooManyPictures, BadPicture, PictureTooLarge: for the first thing that is wrong.
    """
    for message in messages:
        check_urls(message.images, most_images)


def check_urls(urls: Sequence[str], most_images: int, is_open: Callable[[str], bool] = lambda url: False) -> None:
    """As `check_pictures`, for the pictures of one message; `is_open` tells of an address that is to be fetched."""
    if urls and not most_images:
        raise BlindModel
    if len(urls) > most_images:
        raise TooManyPictures(len(urls), most_images)
    for url in urls:
        if is_open(url):
            continue
        found = DATA_URL.match(url)
        if found is None:
            raise BadPicture(Sentence("it must be sent as a data URL, which begins with data:image/png;base64,"))
        if len(url) == found.end():
            raise BadPicture(Sentence("the file is empty"))
        if (num_bytes := (len(url) - found.end()) * 3 // 4) > MOST_BYTES:
            raise PictureTooLarge(num_bytes, MOST_BYTES)


def file_of(base64: str) -> bytes:
    """The bytes of a data URL's last part; raises BadPicture if it is no base64."""
    try:
        return pybase64.b64decode(base64, validate=True)
    except ValueError:
        raise BadPicture(Sentence("its data is no base64, or was cut short")) from None


def check_file(file: bytes, most_pixels: int = MOST_PIXELS) -> None:
    """Check a file by what its header says, so that decoding it is bounded; raises BadPicture."""
    try:
        with Image.open(io.BytesIO(file), formats=KINDS) as image:
            width, height = image.size
            kind = image.format
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadPicture(_too_many_pixels(most_pixels)) from None
    except Exception:  # the libraries behind raise whatever they come across
        kinds = ", ".join(KINDS)
        raise BadPicture(Sentence("the file is empty, broken or none of {kinds}", kinds=kinds)) from None
    if 0 < most_pixels < width * height:
        raise BadPicture(_too_many_pixels(most_pixels))
    if min(width, height) < LEAST_SIDE or max(width, height) > MOST_RATIO * min(width, height):
        template = (
            "it is {width} x {height}; both sides must have at least {least} pixels, and one at most {times} times "
            "those of the other"
        )
        raise BadPicture(Sentence(template, width=width, height=height, least=LEAST_SIDE, times=MOST_RATIO))
    if kind in ("JPEG", "MPO") and file.count(SCAN) > MOST_SCANS:
        raise BadPicture(Sentence("it is a JPEG of more than {most} scans: save it anew", most=MOST_SCANS))


def _too_many_pixels(most_pixels: int) -> Sentence:
    return Sentence("it has more than {most:g} megapixels: make it smaller", most=most_pixels / 1e6)
