"""A request's outputs are made when its reader asks for one, instead of one a token. Pure asyncio.

vLLM makes an output of every token, and merges those that nobody has fetched. A page fetches one a frame, so that most
are made to be merged: more than half of what vLLM's output processor spends on a token (benchmarks/outputs.py).
"""

from typing import Any


class Outputs:
    """The outputs of one request. The methods take the place of those of vLLM's state and queue of it.

    To be made when all outputs so far have been fetched. Text, token ids and end are what they were: each output has
    all that came since the one before.
    """

    def __init__(self, state: Any) -> None:
        self._detokenizer = state.detokenizer
        self._make = state.make_request_output
        self._get, self._get_nowait = state.queue.get, state.queue.get_nowait
        self._num_made = self._detokenizer.num_output_tokens()  # tokens that an output has
        self._is_awaited = False

    def make_request_output(
        self, new_token_ids: list[int], pooling_output: Any, finish_reason: Any, *others: Any, **named: Any
    ) -> Any:
        """An output if the reader waits for one, or the request has finished."""
        if finish_reason is None and not self._is_awaited:
            return None
        self._is_awaited = False
        return self._make(self._new_tokens(), pooling_output, finish_reason, *others, **named)

    def get_nowait(self) -> Any:
        """What is in the queue, else an output of the tokens that none has, else None."""
        output = self._get_nowait()
        if output is None and self._detokenizer.num_output_tokens() > self._num_made:
            return self._make(self._new_tokens(), None, None, None)
        return output

    async def get(self) -> Any:
        """Wait for the next token, or the end."""
        self._is_awaited = True
        return await self._get()

    def _new_tokens(self) -> list[int]:
        token_ids: list[int] = self._detokenizer.output_token_ids[self._num_made :]
        self._num_made += len(token_ids)
        return token_ids
