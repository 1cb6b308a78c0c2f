"""vLLM's own server, in processes of its own, for the benchmarks that measure beside it."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.startup import free_port, running

READY_S = 900.0


@contextmanager
def vllm_serve(model: str, flags: Sequence[str], **environ: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """vLLM's own server by its module, which `vllm serve` runs; its address, which may not answer yet, and process."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--host", "127.0.0.1"]
    command += ["--port", str(port), *flags]
    with running(command, environ) as process:
        yield f"http://127.0.0.1:{port}", process


def cpu_flags() -> list[str]:
    """What the app sets by itself where there is no GPU."""
    from streamspace.flags import CPU_DEFAULTS

    flags = []
    for name, value in CPU_DEFAULTS.items():
        if value is None:  # chosen by the model and the processor
            continue
        flag = name.replace("_", "-")
        flags += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return flags


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Block until the server answers /health with 200."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        except (urllib.error.HTTPError, OSError):
            time.sleep(0.2)
    raise SystemExit(f"{url} did not become ready.")
