"""A process that takes votes until it is killed: python -m tests.voters ENDPOINT FOLDER ACKNOWLEDGED VOTERS VOTES

Each voter writes the id of a vote to ACKNOWLEDGED once it is kept. At the end, the process stops as the app does.
"""

import sys
import threading
from pathlib import Path

from huggingface_hub import HfApi

from streamspace import votes
from streamspace.votes import Votes


def main(endpoint: str, folder: str, acknowledged: str, num_voters: str, num_votes: str) -> None:
    votes.EVERY_MIN = 1 / 60
    taken = Votes("me/votes", Path(folder), HfApi(endpoint=endpoint, token="hf_me"), most_a_minute=10**9)
    taken.start()
    with Path(acknowledged).open("a", buffering=1) as log:

        def vote(number: int) -> None:
            for turn in range(int(num_votes)):
                name = f"{Path(acknowledged).stem}-{number}-{turn}"
                taken.add({"id": name, "prompt": [{"role": "user", "content": "x" * 100}], "answer": "y" * 200})
                log.write(f"{name}\n")

        voters = [threading.Thread(target=vote, args=(number,)) for number in range(int(num_voters))]
        for voter in voters:
            voter.start()
        for voter in voters:
            voter.join()
    taken.stop(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
