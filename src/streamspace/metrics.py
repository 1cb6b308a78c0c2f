"""StreamSpace's counts for Prometheus, in the same registry as vLLM's. No label identifies a visitor or has text."""

import threading
import time

from prometheus_client import REGISTRY, Counter, Gauge, Info, generate_latest

from streamspace import __version__
from streamspace.errors import ChatError, LimitReached

# Not OpenMetrics, which scrapers prefer: there prometheus_client 0.26 renames vLLM's vllm: to vllm_.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH_S = 1.0  # anybody may ask for the numbers

Info("streamspace", "This application.").info({"version": __version__})
VISITORS = Gauge("streamspace_visitors", "Visitors with a request that is answered or waits.")
RUNNING = Gauge("streamspace_answers_running", "Answers that have had their turn and are under way.")
QUEUED = Gauge("streamspace_requests_queued", "Requests that wait before the engine for their turn.")
FRAMES = Counter("streamspace_frames", "Frames of answers made for the page's and the endpoints' readers.")
REFUSALS = Counter("streamspace_refusals", "Requests that were refused, by the limit or the reason.", ["reason"])
STREAMS = Counter(
    "streamspace_streams",
    "Events of the page and the endpoints that have ended. Causes: finished; error, of which the visitor was told; "
    "stopped by the visitor; left, the reader went away; never_read; stalled, the reader took nothing any more.",
    ["event", "cause"],
)
RESTARTS = Counter("streamspace_engine_restarts", "Times that the engine was built again.")

REASONS = [error.reason for error in ChatError.__subclasses__() if error.reason]
LIMITS = [error.limit for error in LimitReached.__subclasses__()]  # the operator's
for _reason in (*LIMITS, *REASONS, "events", "connections"):
    REFUSALS.labels(_reason)  # shown from the start, at 0
for _cause in ("finished", "error", "stopped", "left", "never_read", "stalled"):
    STREAMS.labels("answer", _cause)


def count(error: ChatError) -> None:
    """Count a refusal by its reason; `limits.Queue` counts its own."""
    if error.reason:
        REFUSALS.labels(error.reason).inc()


def exposition() -> bytes:
    """All series in Prometheus' text format; takes some milliseconds."""
    return generate_latest(REGISTRY)


class Exposition:
    """The same for whoever asks, made once in FRESH_S."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = b""
        self._until_s = 0.0

    def text(self) -> bytes:
        """The series, at most FRESH_S old; may be called from several threads."""
        with self._lock:
            if time.monotonic() >= self._until_s:
                self._text = exposition()
                self._until_s = time.monotonic() + FRESH_S
            return self._text
