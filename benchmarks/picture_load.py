"""What a picture takes from its data URL to pixels in this process: vLLM's own loading, and the app's with its checks.

python -m benchmarks.picture_load [--pictures 16] [--rounds 9]

Pictures are photographs of a megapixel. The sides take turns; told is the best round of each, in CPU milliseconds a
picture. The app's is told with the base64 decoder that it had before, too.
"""

import argparse
import binascii
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.streaming import picture
from streamspace.pictures import MOST_PIXELS, check_file, file_of


def sides() -> dict[str, Callable[[str], Any]]:
    """What each side does with the base64 of a picture."""
    from vllm.multimodal.media.image import ImageMediaIO

    media = ImageMediaIO()

    def checked(decode: Callable[[str], bytes], text: str) -> Any:
        file = decode(text)
        check_file(file, MOST_PIXELS)
        return media.load_bytes(file)

    return {
        "vLLM's own": partial(media.load_base64, ""),
        "the app": partial(checked, file_of),
        "the app with binascii": partial(checked, partial(binascii.a2b_base64, strict_mode=True)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    texts = [picture(str(number)).partition(",")[2] for number in range(given.pictures)]
    best_s: dict[str, float] = {}
    for _ in range(given.rounds):
        for name, load in sides().items():
            began_s = time.process_time()
            for text in texts:
                load(text)
            best_s[name] = min(best_s.get(name, 1.0), (time.process_time() - began_s) / len(texts))
    for name, seconds in best_s.items():
        print(f"{name:24}{1e3 * seconds:6.2f} ms")


if __name__ == "__main__":
    main()
