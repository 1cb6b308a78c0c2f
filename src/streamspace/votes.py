"""What visitors think of answers: rows of a private dataset on the hub, if the operator names one.

A vote is in a file of this machine before it is acknowledged. huggingface_hub's CommitScheduler brings the files over
every few minutes, and once more at the end; what a killed process has left comes with the next start. Each process
writes a file of its own and the hub gets whole files, so no row is there twice. Nothing of the visitor is in a row.
"""

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import CommitScheduler, HfApi

from streamspace import hub_internals, starts
from streamspace.config import Config
from streamspace.errors import BadRequest, TooManyVotes
from streamspace.sampling import Settings
from streamspace.types import Message
from streamspace.visitors import VISITOR, LastMinute

log = logging.getLogger(__name__)

EVERY_MIN = 5.0  # minutes between commits
AGAIN_S = 60.0  # until the next attempt to reach the hub
STOP_S = 5.0  # for the last commit
MOST_A_MINUTE = 30  # votes from one address
MOST_CHARS = 100_000  # of one row
MOST_BYTES = 500_000_000  # of one process


def row(
    config: Config, prompt: Sequence[Message], settings: Settings | None, language: str, **said: str
) -> dict[str, Any]:
    """A row: the same columns for a vote on one answer (vote up or down) and for a pair (chosen and rejected)."""
    empty = dict.fromkeys(("vote", "words", "answer", "chosen", "rejected"), "")
    return {
        "id": secrets.token_hex(8),
        "time": time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime()),
        "prompt": [{"role": message.role, "content": message.text} for message in prompt],
        **(empty | said),
        "settings": json.dumps(asdict(settings), default=str) if settings else "",
        "model": config.model_name,
        "revision": config.revision or "",
        "language": language,
    }


class Votes:
    """The votes of one process. `add` may be called from any thread; `stop` must be called at the end."""

    def __init__(
        self, dataset: str, folder: Path, api: HfApi | None = None, most_a_minute: int = MOST_A_MINUTE
    ) -> None:
        """Votes for a dataset (owner/name), in files of `folder`; `most_a_minute` are taken from one address."""
        self._dataset, self._folder, self._most = dataset, folder, most_a_minute
        hub_internals.set_up()
        self._api = api or HfApi()
        self._path = folder / f"votes-{time.time_ns()}-{secrets.token_hex(4)}.jsonl"
        self._lock = threading.Lock()  # until there is a scheduler, whose own is used then
        self._scheduler: CommitScheduler | None = None
        self._connecting = threading.Thread(target=self._connect, name="votes", daemon=True)
        self._stopping = threading.Event()
        self._minute = LastMinute()
        self._num_bytes = 0

    @classmethod
    def of(cls, config: Config) -> "Votes | None":
        """The votes that the operator wants; None without a dataset."""
        if not config.feedback_dataset:
            return None
        folder = starts.folder(os.environ).parent / "votes" / config.feedback_dataset.replace("/", "--")
        return cls(config.feedback_dataset, folder, HfApi(token=config.hf_token))

    def start(self) -> None:
        """Begin to bring votes to the hub, in a thread; returns at once."""
        self._connecting.start()

    def _connect(self) -> None:
        """Have a scheduler as soon as the hub answers; until then the votes are kept here."""
        while True:
            try:
                self._scheduler = CommitScheduler(
                    repo_id=self._dataset,
                    repo_type="dataset",
                    private=True,
                    folder_path=self._folder,
                    path_in_repo="data",
                    every=EVERY_MIN,
                    hf_api=self._api,
                )
                return
            except Exception as error:  # of the network, the hub or the token: all may be mended while the app runs
                log.warning("Votes are kept on this machine, as %s cannot be reached: %s", self._dataset, error)
                if self._stopping.wait(AGAIN_S):
                    return

    def check(self) -> None:
        """Raises TooManyVotes for a visitor who has to wait."""
        visitor = VISITOR.get()
        address = visitor.address if visitor else ""
        self._minute.take(address, self._most, partial(TooManyVotes, self._most))

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a vote; when this returns, the end of this process does not lose it. Blocks for a moment.

        Raises BadRequest for one that is too long, or if no more can be kept.
        """
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        if len(line) > MOST_CHARS * 4 or self._num_bytes + len(line) > MOST_BYTES:
            raise BadRequest("This vote cannot be kept: the conversation is too long, or there are too many votes.")
        scheduler = self._scheduler
        with scheduler.lock if scheduler else self._lock:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab", buffering=0) as file:
                    file.write(line)
            except OSError as error:
                log.warning("A vote cannot be kept: %s", error.strerror)
                raise BadRequest("The vote cannot be kept now: try again later.") from error
            self._num_bytes += len(line)

    def stop(self, seconds: float = STOP_S) -> None:
        """Bring what is left to the hub, for at most so long; the rest stays in its file for the next start."""
        self._stopping.set()
        self._connecting.join(seconds)
        scheduler = self._scheduler
        if scheduler is None:
            return
        scheduler.last_uploaded.pop(self._path.resolve(), None)  # a vote of the same moment leaves the time unchanged
        with suppress(Exception):  # the scheduler has logged it
            scheduler.trigger().result(seconds)
        scheduler.stop()
