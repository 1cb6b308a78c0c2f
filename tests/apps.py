"""The app in a process of its own: started, watched, asked and ended."""

import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.support import Start, free_port, wait_until

SAMPLING = [1, 0, 0, 1, *[None] * 6]  # of /complete, after the temperature


def health(port: int) -> tuple[int, dict[str, Any]]:
    """Status and body of /health; (0, {}) while nothing answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
    except OSError:
        return 0, {}


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All processes below this one."""
    return psutil.Process(process.pid).children(recursive=True)


def has_engine(process: subprocess.Popen[str]) -> bool:
    """Whether vLLM's process is there: forked from the one that is our child."""
    try:
        return any(child.ppid() != process.pid for child in family(process))
    except psutil.NoSuchProcess:  # one that ran for a moment
        return False


def wait_for_engine(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """All processes below this one as soon as vLLM's is among them. Its import may take long; an early end fails."""
    wait_until(lambda: process.poll() is not None or has_engine(process), 240, "the engine's process")
    assert process.returncode is None, f"ended with {process.returncode}: {process.communicate()}"
    return family(process)


def assert_gone(processes: list[psutil.Process], seconds: float) -> None:
    """Fail unless they have all ended within so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert not alive


class App:
    """The app in a process of its own; `written` is what it has said so far."""

    def __init__(self, start: Start, log: Path, *arguments: str, **environ: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        self._log = log
        with log.open("w", encoding="utf-8") as file:
            self.process = start("app.py", "--port", str(self.port), *arguments, log=file, **environ)

    def wait(self, status: int, seconds: float = 240.0) -> None:
        """Wait until /health answers with this status; an early end fails."""
        wait_until(lambda: self._is_over or health(self.port)[0] == status, seconds, f"health {status}")
        assert not self._is_over, self.written

    @property
    def _is_over(self) -> bool:
        return self.process.poll() is not None

    def wait_for_stage(self, stage: str, seconds: float = 240.0) -> str:
        """Wait until /health tells this stage; returns the detail."""
        wait_until(lambda: health(self.port)[1].get("status") == stage, seconds, stage)
        return str(health(self.port)[1]["detail"])

    @property
    def engine(self) -> psutil.Process:
        """vLLM's process: forked from the one that is our child."""
        (engine,) = (child for child in family(self.process) if child.ppid() != self.process.pid)
        return engine

    @property
    def written(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def log_in(self, name: str, password: str) -> None:
        """Have `visitor`, by whom all is asked, log in."""
        self.visitor.open(f"{self.url}/login", f"username={name}&password={password}".encode()).close()

    def answer(self, prompt: str, max_tokens: int, temperature: float = 1.5) -> Any:
        """An answer under way, as the stream of its events."""
        body = json.dumps({"data": [prompt, max_tokens, temperature, *SAMPLING]}).encode()
        url = f"{self.url}/gradio_api/call/complete"
        event = json.load(self.visitor.open(urllib.request.Request(url, body, {"Content-Type": "application/json"})))
        return self.visitor.open(f"{url}/{event['event_id']}")

    def long_answer(self, max_tokens: int = 1900) -> Any:
        """An answer that has begun and does not end soon."""
        stream = self.answer("Once upon a time", max_tokens)
        assert stream.readline().startswith(b"event: generating")
        return stream

    def answer_once(self) -> None:
        """Have the engine answer somebody to the end."""
        with self.answer("Once", 5, temperature=0) as stream:
            assert b"event: complete" in stream.read()
