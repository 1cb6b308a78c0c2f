"""Variables of the environment that other packages fail of: left out with a warning, or refused in a sentence.

Gradio makes HTTP clients when it is imported, and vLLM reads its variables in the engine's process, so their own errors
are tracebacks or come late. Call `check` before either is imported.
"""

import importlib.util
import logging
import os
import pwd
import re
import tempfile
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamspace.errors import ConfigError

log = logging.getLogger(__name__)

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
NO_PROXY = "no_proxy"
# What Gradio and huggingface_hub read when they are imported, and uvicorn when it starts.
WHOLE_NUMBERS = (
    *("GRADIO_NUM_PORTS", "GRADIO_NODE_NUM_PORTS", "GRADIO_ANALYTICS_MAX_EVENTS", "HF_HUB_ETAG_TIMEOUT"),
    *("HF_HUB_DOWNLOAD_TIMEOUT", "WEB_CONCURRENCY"),
)
PROXY_ADVICE = "an address that begins with http:// works, and with the Python package socksio one with socks5:// too"


def check(environ: MutableMapping[str, str]) -> None:
    """Leave out what no HTTP client can use, and Kubernetes' VLLM_PORT; `environ` must be os.environ.

    Raises:
        ConfigError: the value of a variable would end the import of Gradio, or vLLM does not take it.
    """
    environ.setdefault("PATH", os.defpath)  # Gradio's import looks for programs
    _check_user(environ)
    for name in WHOLE_NUMBERS:
        if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", environ.get(name, "0")):
            raise ConfigError(f"{name} is {environ[name]!r}; allowed is a whole number.")
    _check_proxies(environ)
    if "://" in environ.get("VLLM_PORT", ""):
        log.warning("VLLM_PORT is left out: it is the address of a Kubernetes service, and vLLM wants a port there.")
        del environ["VLLM_PORT"]
    _check_vllms(environ)


def _check_user(environ: MutableMapping[str, str]) -> None:
    """Give a user whom the system does not know, as in some containers, a home and a name: PyTorch fails without.

    Others would make a folder called "~" in the working directory.
    """
    with suppress(OSError):  # there is no temporary folder, of which `config` tells
        try:
            pwd.getpwuid(os.getuid())
        except KeyError:
            environ.setdefault("USER", str(os.getuid()))
            if "HOME" not in environ:
                home = Path(tempfile.gettempdir(), f"streamspace-{os.getuid()}")
                home.mkdir(mode=0o700, exist_ok=True)
                environ["HOME"] = str(home)
                log.warning("There is no HOME, and no user %s: %s is used.", os.getuid(), home)


def _check_proxies(environ: MutableMapping[str, str]) -> None:
    given = {name: environ.pop(name) for name in list(environ) if name.lower() in (*PROXIES, NO_PROXY)}
    kept = {}
    for name, value in given.items():
        if name.lower() == NO_PROXY:
            parts = {part.strip(): _problem(environ, name, part.strip()) for part in value.split(",")}
            kept[name] = ",".join(part for part, problem in parts.items() if not problem)
            if bad := [part for part, problem in parts.items() if problem]:
                log.warning("%s has %s, which no HTTP client here understands; that is left out.", name, ", ".join(bad))
        elif problem := _problem(environ, name, value):
            log.warning("%s is left out, and no proxy is used for it (%s): %s.", name, problem, PROXY_ADVICE)
        else:
            kept[name] = value
    environ.update(kept)


def _problem(environ: MutableMapping[str, str], name: str, value: str) -> str:
    """Why no HTTP client can be made with this variable alone; empty if one can be."""
    import httpx  # only here: it takes 0.1 s

    environ[name] = value
    try:
        httpx.Client(verify=False).close()
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        return str(error).partition(". ")[0].rstrip(".")
    finally:
        del environ[name]
    return ""


def _check_vllms(environ: MutableMapping[str, str]) -> None:
    """Have vLLM read its variables that are set, from the one file that it does so in: to import it takes seconds."""
    given = [name for name in environ if name.startswith("VLLM_")]
    readers = _readers() if given else {}
    for name in given:
        try:
            readers.get(name, str)()
        except (ValueError, OSError) as error:
            words = str(error).rstrip(".")
            raise ConfigError(f"{name} is {environ[name]!r}, which vLLM cannot use: {words}.") from None


def vllm_reads(name: str) -> bool:
    """Whether the installed vLLM reads this variable; it warns of those that it does not know."""
    return name in _readers()


def _readers() -> dict[str, Any]:
    """vLLM's function for each of its variables; none if vLLM is not installed or has them elsewhere."""
    package = importlib.util.find_spec("vllm")
    path = Path(package.origin).with_name("envs.py") if package and package.origin else None
    spec = importlib.util.spec_from_file_location("vllms_variables", path) if path and path.is_file() else None
    if spec is None or spec.loader is None:
        return {}
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, "environment_variables", {})
