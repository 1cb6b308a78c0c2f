"""All failures that visitors and operators see, one class each: ConfigError, SpaceError, ModelError,
EngineError and ChatError.

`str(error)` is one sentence that names what is wrong and what to do. It may be shown to anybody: it has no path of the
server, no stack trace and no secret.
"""

from typing import ClassVar

from streamspace.translation import Sentence


class StreamSpaceError(Exception):
    """The root: catch this to show a failure, and nothing wider. The message is an English template with values."""

    def __init__(self, template: str = "", **values: object) -> None:
        self.template, self.values = template, values
        super().__init__(Sentence(template, **values))

    @property
    def sentence(self) -> Sentence:
        """The message, to be translated."""
        return Sentence(self.template, **self.values)


class ConfigError(StreamSpaceError):
    """A setting is unknown or has a value that is not allowed; found before anything loads."""


class SpaceError(StreamSpaceError):
    """The Space cannot be made, updated or started; the sentence says what is left on the hub."""


class ModelError(StreamSpaceError):
    """The model's files cannot be had."""


class BadModel(ModelError):
    """The model's name is neither a hub id nor a folder, or there is nothing in it that vLLM can load."""


class ModelNotFound(ModelError):
    """The hub has no such repository, hides a private one, or has no such branch, tag or commit."""


class AccessDenied(ModelError):
    """The repository's terms must be accepted first, or the token is missing or refused."""


class HubUnreachable(ModelError):
    """There is no connection to the hub, it does not answer in time, or HF_HUB_OFFLINE forbids to ask."""


class DownloadFailed(ModelError):
    """The hub answers with an error, again and again, or the files could not be brought over whole."""


class DiskFull(ModelError):
    """The disk has no room for the files, or the cache folder may not be written."""


class TooBig(ModelError):
    """The weights do not fit into the memory of this machine."""


class DownloadCancelled(ModelError):
    """The caller has cancelled the download."""


class EngineError(StreamSpaceError):
    """The engine cannot be built."""


class ChatError(StreamSpaceError):
    """One answer cannot be given; the engine lives on for everybody else.

    `status` is its HTTP status; `reason` its name in the metrics, None for one that is not counted as a refusal.
    """

    status: int = 400
    reason: ClassVar[str | None] = None


class BadRequest(ChatError):
    """What the visitor sent is not allowed; the sentence names the value and what would be right."""

    reason = "bad_request"


class BreaksEngine(BadRequest):
    """The engine died of a request like this one; for `left_s` more it is not answered."""

    def __init__(self, left_s: float) -> None:
        template = (
            "The engine broke down while it worked on this request, so that it is not tried again for {minutes} "
            "{minutes:|minute|minutes}: change the message or the settings."
        )
        super().__init__(template, minutes=max(1, round(left_s / 60)))


class TooManyPromptTokens(BadRequest):
    """A prompt has more tokens than the operator allows."""

    def __init__(self, num_tokens: int, most: int) -> None:
        template = (
            "This is too long: it comes to {num_tokens} tokens, and at most {most} {most:|is|are} allowed here; "
            "shorten the message or the system prompt."
        )
        super().__init__(template, num_tokens=num_tokens, most=most)


class NoChatTemplate(BadRequest):
    """The model has no chat template, so it can only continue a text."""

    def __init__(self) -> None:
        super().__init__(
            "This model has no chat template: use the Completion tab, /complete or /v1/completions, or start the app "
            "with --chat-template and a file that has one."
        )


class NoTools(BadRequest):
    """The model's chat template has no place for tools."""

    def __init__(self) -> None:
        super().__init__(
            "This model's chat template has no tools: leave tools out, ask a model that calls them, or start the app "
            "with --chat-template and --tool-call-parser."
        )


class TemplateRefused(BadRequest):
    """The model's chat template does not take the conversation, for a reason of its own."""

    def __init__(self, reason: str) -> None:
        super().__init__("The model's chat template refuses this conversation: {reason}.", reason=reason)


class BlindModel(BadRequest):
    """There are pictures for a model that reads none."""

    def __init__(self) -> None:
        super().__init__("The model here reads text alone and no pictures: leave them out and describe them.")


class TooManyPictures(BadRequest):
    """A message has more pictures than the operator or the model allows."""

    def __init__(self, number: int, most: int) -> None:
        template = "The message has {number} {number:|picture|pictures}; allowed {most:|is|are} {most}: leave some out."
        super().__init__(template, number=number, most=most)


class BadPicture(BadRequest):
    """A picture cannot be read; `problem` completes "A picture cannot be used: ..."."""

    def __init__(self, problem: str) -> None:
        super().__init__("A picture cannot be used: {problem}.", problem=problem)


class BrokenPicture(BadPicture):
    """A picture's header can be read, and its pixels cannot."""

    def __init__(self) -> None:
        super().__init__(Sentence("the file is broken or was cut short"))


class PictureTooLarge(ChatError):
    """The file of a picture has too many bytes."""

    status = 413
    reason = "picture_size"

    def __init__(self, num_bytes: int, most: int) -> None:
        template = "A picture has {number:.1f} MB; allowed are {most:.1f}: make it smaller."
        super().__init__(template, number=num_bytes / 1e6, most=most / 1e6)


class BodyTooLarge(ChatError):
    """A request is larger than any that could be answered."""

    status = 413
    reason = "body_size"

    def __init__(self, num_bytes: int, most: int) -> None:
        template = "The request has {number} bytes or more; allowed are {most}: shorten it or begin a new conversation."
        super().__init__(template, number=num_bytes, most=most)


class BodyTooLate(ChatError):
    """A request was begun and did not come to its end."""

    status = 408
    reason = "body_time"

    def __init__(self, most_s: float) -> None:
        super().__init__("The request was not complete after {seconds:g} s: send it again.", seconds=most_s)


class ForeignSite(ChatError):
    """A browser asks for a page of another site."""

    status = 403
    reason = "site"

    def __init__(self) -> None:
        super().__init__("Pages of other sites cannot ask here: open this one, or ask from a program.")


class TooOften(ChatError):
    """An address did something too often in the last minute; `wait_s` is how long it has to wait."""

    status = 429

    def __init__(self, template: str, most: int, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(template, most=most, seconds=max(1, round(wait_s)))


class TooManyAttempts(TooOften):
    """It sent wrong keys or passwords."""

    reason = "attempts"

    def __init__(self, most: int, wait_s: float) -> None:
        template = "More than {most} wrong keys or passwords came from here in a minute: try again in {seconds} s."
        super().__init__(template, most, wait_s)


class NotTheOperator(ChatError):
    """The operator's key is missing or wrong."""

    status = 403
    reason = "key"

    def __init__(self) -> None:
        super().__init__("The operator's key is not the one in the log.")


class LimitReached(ChatError):
    """One of the operator's limits; `limit` is its name in Config and in the metrics."""

    status = 429
    limit: ClassVar[str]


class TooManyRequests(TooOften, LimitReached):
    """It asked too often."""

    limit = "requests_per_minute"

    def __init__(self, most: int, wait_s: float) -> None:
        template = (
            "At most {most} {most:|request a minute is|requests a minute are} answered here: try again in {seconds} s."
        )
        super().__init__(template, most, wait_s)


class TooManyAnswers(LimitReached):
    """A visitor has as many answers under way as are allowed at once."""

    limit = "answers_per_visitor"

    def __init__(self, most: int) -> None:
        words = "At most {most} {most:|answer|answers} at once for each visitor: wait until one has ended, or stop it."
        super().__init__(words, most=most)


class TooManyAtAddress(LimitReached):
    """An address, which may have several visitors, has as many answers under way as are allowed at once."""

    limit = "answers_per_visitor"

    def __init__(self, most: int) -> None:
        template = "At most {most} {most:|answer|answers} at once for one address: wait until one has ended."
        super().__init__(template, most=most)


class TooManyVotes(TooOften):
    """It voted too often."""

    reason = "votes"

    def __init__(self, most: int, wait_s: float) -> None:
        super().__init__("At most {most} votes a minute are taken here: try again in {seconds} s.", most, wait_s)


class QueueFull(LimitReached):
    """As many requests wait as are allowed to."""

    limit = "queue_length"

    def __init__(self, most: int) -> None:
        template = "The queue is full, {most} {most:|request waits|requests wait} already: try again in a minute."
        super().__init__(template, most=most)


class WrongKey(ChatError):
    """The API wants a key, and this is none of the operator's."""

    status = 401
    reason = "api_key"

    def __init__(self) -> None:
        super().__init__("The API key is missing or wrong: send one of the operator's as Authorization: Bearer <key>.")


class NoSuchRoute(ChatError):
    """The API has no such route, or there is no API here."""

    status = 404


class WrongMethod(ChatError):
    """The API's route is asked by another method."""

    status = 405


class PromptTooLong(ChatError):
    """The prompt does not fit into the model's context."""

    reason = "prompt_too_long"

    def __init__(self, max_model_len: int, num_tokens: int | None = None) -> None:
        template = (
            "This is too long: it comes to {count}, and the model's context holds {most}, answer included; "
            "shorten the message or the system prompt."
        )
        more = Sentence("more than {number} tokens", number=max_model_len)
        count = more if num_tokens is None else Sentence("{number} tokens", number=num_tokens)
        super().__init__(template, count=count, most=max_model_len)


class EngineNotReady(ChatError):
    """The engine is loading, has failed or is stopping."""

    status = 503
    reason = "not_ready"

    def __init__(self, detail: str) -> None:
        super().__init__("The model is not ready: {detail}", detail=detail)


class EngineRestarting(EngineNotReady):
    """The engine broke and is being built again; the request can wait."""

    def __init__(self) -> None:
        super().__init__(Sentence("it is being restarted; try again in a minute."))


class EngineStopped(ChatError):
    """The engine died or was shut down in the middle of an answer; the text that came stands."""

    def __init__(self) -> None:
        super().__init__("The engine stopped before the answer was complete; what came so far stands.")


class RequestFailed(ChatError):
    """The engine gave up on this one request and lives on."""

    status = 503

    def __init__(self) -> None:
        super().__init__("The engine could not finish this answer; try again.")
