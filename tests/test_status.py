"""The engine's state in words."""

import pytest

from streamspace.types import Status


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status("downloading", "Downloading org/m", 1_500_000, 3_000_000), "Downloading org/m: 1.5 MB of 3.0 MB (50%)"),
        (Status("downloading", "Downloading org/m", 10**9, 3 * 10**9), "Downloading org/m: 1.00 GB of 3.00 GB (33%)"),
        (Status("loading", "Warming up", 3, 4), "Warming up (step 4 of 4) …"),
        (Status("ready", "Ready", 4, 4), "Ready"),
        (Status("failed", "No disk space."), "No disk space."),
    ],
)
def test_progress_has_words_and_numbers(status: Status, words: str) -> None:
    assert status.sentence == words
