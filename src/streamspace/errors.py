"""Everything that a visitor or an operator can be told, one class each.

`str(error)` is one sentence that names what is wrong and what to do; it holds no path of the server, no stack trace and
no secret, so that it may be shown to anybody.

    StreamSpaceError
    ├── ConfigError        a setting is unknown or its value is not allowed
    ├── ModelError         the model's files cannot be had
    │   ├── BadModelId         neither a hub id nor a folder
    │   ├── NotAModelFolder    a path, but no model in it
    │   ├── ModelNotFound      no such repository, or a private one
    │   ├── RevisionNotFound   no such branch, tag or commit
    │   ├── ModelGated         terms to accept first
    │   ├── BadToken           the hub refuses the token, or wants one
    │   ├── NoWeights          nothing in the repository that vLLM can load
    │   ├── NoAdapter          no LoRA adapter in the folder or repository
    │   ├── HubUnreachable     no network
    │   ├── HubOffline         HF_HUB_OFFLINE, and the model is not in the cache
    │   ├── HubTimeout         the hub does not answer in time
    │   ├── HubFailed          the hub answers with an error
    │   ├── DownloadFailed     the files cannot be brought over whole
    │   ├── DiskFull           no room for the files
    │   ├── CacheNotWritable   no permission for the cache folder
    │   └── DownloadCancelled  whoever asked for the model has called it off
    ├── EngineError        the engine cannot be built
    └── ChatError          one answer cannot be given
        ├── BadRequest       a value that is not allowed
        │   └── TooManyPromptTokens   more than the operator allows
        ├── PromptTooLong    the prompt does not fit into the context
        ├── LimitReached     one of the operator's limits, `limits` looks after them
        │   ├── TooManyRequests  of one address in a minute
        │   ├── TooManyAnswers   of one visitor at once
        │   └── QueueFull        too many wait already
        ├── WrongKey         of the API
        ├── NoSuchRoute      in the API
        ├── EngineNotReady   loading, failed or stopping
        │   └── EngineRestarting   it broke and will be back
        ├── EngineStopped    the engine went away in the middle
        └── RequestFailed    the engine gave up on this request
"""

from typing import ClassVar


class StreamSpaceError(Exception):
    """The root: catch this to show a failure, and nothing wider."""


class ConfigError(StreamSpaceError):
    """A setting is unknown or has a value that is not allowed; found before anything loads."""


class ModelError(StreamSpaceError):
    """The model's files cannot be had."""


class BadModelId(ModelError):
    """The model's name is neither a hub id nor a folder."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"'{model}' is not a model: give a Hugging Face id such as Qwen/Qwen2.5-1.5B-Instruct, or a folder."
        )


class NotAModelFolder(ModelError):
    """The model's name is a path, but there is no model."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"'{model}' is not a folder with a model: it must hold config.json (or params.json) and weights "
            "(*.safetensors, *.bin or *.pt)."
        )


class ModelNotFound(ModelError):
    """The hub has no such repository, or hides a private one."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"There is no model '{model}' on the Hugging Face hub: check the spelling, and if it is private set "
            "HF_TOKEN to a token that may read it."
        )


class RevisionNotFound(ModelError):
    """The repository has no such branch, tag or commit."""

    def __init__(self, model: str, revision: str) -> None:
        super().__init__(
            f"The model '{model}' has no revision '{revision}': set MODEL_REVISION to one of its branches, tags or "
            "commits, or leave it out."
        )


class ModelGated(ModelError):
    """The repository's terms have to be accepted first."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The model '{model}' is gated: accept its terms at https://huggingface.co/{model} and set HF_TOKEN to a "
            "token of the account that accepted them."
        )


class BadToken(ModelError):
    """The hub refuses the token, or wants one."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The Hugging Face hub refuses access to '{model}': set HF_TOKEN to a valid token with read access "
            "(https://huggingface.co/settings/tokens), or leave it out for a public model."
        )


class NoWeights(ModelError):
    """The repository holds nothing that vLLM can load."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The repository '{model}' has no config.json (or params.json) with weights beside it that vLLM can load "
            "(*.safetensors, *.bin or *.pt): choose the original model and not, say, its GGUF or adapter repository."
        )


class NoAdapter(ModelError):
    """The folder or repository holds no LoRA adapter."""

    def __init__(self, adapter: str) -> None:
        super().__init__(
            f"There is no LoRA adapter in '{adapter}': it must hold adapter_config.json and "
            "adapter_model.safetensors (or .bin or .pt)."
        )


class HubUnreachable(ModelError):
    """There is no connection to the hub."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The Hugging Face hub cannot be reached to fetch '{model}': check the network (and HF_ENDPOINT and "
            "HTTPS_PROXY, if they are set) and start again."
        )


class HubOffline(ModelError):
    """The operator forbids requests, and the model is not in the cache."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The model '{model}' is not complete in the local cache and HF_HUB_OFFLINE forbids fetching it: unset "
            "HF_HUB_OFFLINE, or fetch the model first."
        )


class HubTimeout(ModelError):
    """The hub accepts connections but does not answer in time."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The Hugging Face hub did not answer in time while '{model}' was fetched: start again later; finished "
            "files are kept."
        )


class HubFailed(ModelError):
    """The hub answers with an error, again and again."""

    def __init__(self, model: str, status: int) -> None:
        super().__init__(
            f"The Hugging Face hub answered with error {status} while '{model}' was fetched: start again later "
            "(https://status.huggingface.co); finished files are kept."
        )


class DownloadFailed(ModelError):
    """The files could not be brought over whole."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The download of '{model}' broke off again and again: check the network and start again; finished files "
            "are kept."
        )


class DiskFull(ModelError):
    """The disk has no room for the files."""

    def __init__(self, model: str, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"The disk is too full for '{model}': {_size(needed_bytes)} are needed and {_size(free_bytes)} are free; "
            "make room, or set HF_HOME to a folder on a larger disk."
        )


class CacheNotWritable(ModelError):
    """The cache folder may not be written."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The model '{model}' cannot be stored, the cache folder is not writable: set HF_HOME to a folder that is."
        )


class DownloadCancelled(ModelError):
    """Whoever asked for the model has called it off."""

    def __init__(self, model: str) -> None:
        super().__init__(f"The download of '{model}' was cancelled; finished files are kept.")


class EngineError(StreamSpaceError):
    """The engine cannot be built."""


class ChatError(StreamSpaceError):
    """One answer cannot be given; the engine lives on for everybody else."""


class BadRequest(ChatError):
    """What the visitor sent is not allowed; the sentence names the value and what would be right."""


class TooManyPromptTokens(BadRequest):
    """A prompt has more tokens than the operator allows."""

    def __init__(self, num_tokens: int, most: int) -> None:
        super().__init__(
            f"This is too long: it comes to {num_tokens} tokens, and at most {most} are allowed here; shorten the "
            "message or the system prompt."
        )


class LimitReached(ChatError):
    """One of the operator's limits, which each have a class; `limit` is its name in Config, and in the metrics."""

    limit: ClassVar[str]


class TooManyRequests(LimitReached):
    """An address asked too often in the last minute; `wait_s` is how long it has to wait."""

    limit = "requests_per_minute"

    def __init__(self, most: int, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(f"At most {most} requests a minute are answered here: try again in {max(1, round(wait_s))} s.")


class TooManyAnswers(LimitReached):
    """A visitor has as many answers under way as are allowed at once."""

    limit = "answers_per_visitor"

    def __init__(self, most: int) -> None:
        answers = "one answer" if most == 1 else f"{most} answers"
        super().__init__(f"At most {answers} at once for each visitor: wait until one has ended, or stop it.")


class QueueFull(LimitReached):
    """As many requests wait as are allowed to."""

    limit = "queue_length"

    def __init__(self, most: int) -> None:
        super().__init__(f"The queue is full, {most} requests wait already: try again in a minute.")


class WrongKey(ChatError):
    """The API wants a key, and this is none of the operator's."""

    def __init__(self) -> None:
        super().__init__("The API key is missing or wrong: send one of the operator's as Authorization: Bearer <key>.")


class NoSuchRoute(ChatError):
    """The API has no such route, or there is no API here."""


class PromptTooLong(ChatError):
    """The prompt does not fit into the model's context."""

    def __init__(self, max_model_len: int, num_tokens: int | None = None) -> None:
        count = f"{num_tokens} tokens" if num_tokens is not None else f"more than {max_model_len} tokens"
        super().__init__(
            f"This is too long: it comes to {count}, and the model's context holds {max_model_len}, answer included; "
            "shorten the message or the system prompt."
        )


class EngineNotReady(ChatError):
    """The engine is loading, has failed or is stopping."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"The model is not ready: {detail}")


class EngineRestarting(EngineNotReady):
    """The engine broke and is being built again; whoever asks can wait."""

    def __init__(self) -> None:
        super().__init__("it is being restarted; try again in a minute.")


class EngineStopped(ChatError):
    """The engine died or was shut down in the middle of an answer; the text that came stands."""

    def __init__(self) -> None:
        super().__init__("The engine stopped before the answer was complete; what came so far stands.")


class RequestFailed(ChatError):
    """The engine gave up on this one request and lives on."""

    def __init__(self) -> None:
        super().__init__("The engine could not finish this answer; try again.")


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
