"""The programs as a person starts and ends them: `python app.py` and `python -m streamspace`."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from streamspace.config import BUNDLED_MODEL
from streamspace.process import has_ended, workers_of
from tests.hub import Fault, Hub, folder_files
from tests.support import Start, free_port, wait_until


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
    return psutil.Process(process.pid).children(recursive=True)


def has_engine(process: subprocess.Popen[str]) -> bool:
    """Whether vLLM's process is there: forked from the one that is our child."""
    try:
        return any(child.ppid() != process.pid for child in family(process))
    except psutil.NoSuchProcess:  # one that ran for a moment
        return False


def long_answer(port: int) -> Any:
    """An answer under way, as the stream of its events."""
    body = json.dumps({"data": ["Once upon a time", 1900, 1.5, 1, 0, 0, 1, *[None] * 6]}).encode()
    url = f"http://127.0.0.1:{port}/gradio_api/call/complete"
    event = json.load(urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})))
    return urllib.request.urlopen(f"{url}/{event['event_id']}")


def assert_gone(processes: list[psutil.Process], seconds: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert not alive


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (["--port", "high"], {}, "streamspace: --port is 'high'; allowed is a whole number from 1 to 65535."),
        (["--modle", "x"], {}, "streamspace: Unknown option --modle: did you mean --model?"),
        ([], {"MAX_TOKENS": "many"}, "streamspace: MAX_TOKENS is 'many'; allowed is a whole number from 1 to 1000000."),
        (["--dtype", "banana"], {}, "streamspace: --dtype: invalid choice: 'banana'"),
        ([], {"MAX_MODEL_LEN": "long"}, "streamspace: --max-model-len"),
    ],
)
def test_a_bad_option_is_one_sentence_and_exit_code_2(
    start: Start, arguments: list[str], environ: dict[str, str], sentence: str
) -> None:
    process = start("app.py", *arguments, VLLM_LOGGING_LEVEL="ERROR", **environ)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 2
    assert sentence in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_a_port_in_use_is_one_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = start("app.py", "--port", str(port))
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {port}" in errors and "choose another with --port" in errors and "Traceback" not in errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_it_loads_ends_it_within_ten_seconds(start: Start, number: signal.Signals, code: int) -> None:
    port = free_port()
    process = start("app.py", "--port", str(port))
    wait_until(lambda: has_engine(process), 60, "the engine's process")
    children, began = family(process), time.monotonic()
    os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code and time.monotonic() - began < 10
    assert ("Interrupted by user" in errors) == (number == signal.SIGINT)
    assert "Traceback" not in errors
    assert_gone(children, 2)


def test_a_signal_before_the_engines_process_leaves_nothing_either(start: Start) -> None:
    process = start("app.py", "--port", str(free_port()))
    wait_until(lambda: len(family(process)) > 1, 30, "the first processes of its own")
    children = family(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert_gone(children, 2)


def test_sigterm_in_mid_answer_ends_everything_within_ten_seconds(start: Start) -> None:
    port = free_port()
    process = start("app.py", "--port", str(port))
    wait_until(lambda: health(port)[0] == 200, 120, "the model")
    with long_answer(port) as stream:
        assert stream.readline().startswith(b"event: generating")
        children, began = family(process), time.monotonic()
        process.terminate()
        process.wait(20)
    assert process.returncode == 143 and time.monotonic() - began < 10
    assert_gone(children, 2)


@pytest.mark.parametrize("when", ["while it loads", "in mid-answer"])
def test_the_engine_does_not_outlive_a_killed_app(start: Start, when: str) -> None:
    port = free_port()
    process = start("app.py", "--port", str(port))
    wait_until(lambda: has_engine(process), 60, "the engine's process")
    if when == "in mid-answer":
        wait_until(lambda: health(port)[0] == 200, 120, "the model")
        stream = long_answer(port)
        assert stream.readline().startswith(b"event: generating")
    children = family(process)
    process.kill()
    assert_gone(children, 10)


def test_a_second_app_loads_beside_the_first_which_answers_on(start: Start) -> None:
    ports = free_port(), free_port()
    apps = [start("app.py", "--port", str(ports[0]))]
    wait_until(lambda: health(ports[0])[0] == 200, 120, "the first model")
    apps.append(start("app.py", "--port", str(ports[1])))
    wait_until(lambda: has_engine(apps[1]), 120, "the second engine's process")
    with long_answer(ports[0]) as stream:
        assert stream.readline().startswith(b"event: generating")
    assert health(ports[1])[1]["status"] in ("loading", "ready")
    apps[1].terminate()
    assert apps[1].wait(20) == 143
    assert health(ports[0])[0] == 200


# A machine that lets the app write nowhere

NOWHERE = "/dev/null/nowhere"  # cannot be made, not even by root


def test_without_a_home_to_write_to_the_bundled_model_answers(start: Start) -> None:
    port = free_port()
    start("app.py", "--port", str(port), HOME=NOWHERE)
    wait_until(lambda: health(port)[0] == 200, 120, "the model")


def test_without_a_home_to_write_to_a_model_of_the_hub_is_refused_in_a_sentence(start: Start) -> None:
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}) as hub:
        port = free_port()
        process = start("app.py", "--port", str(port), HOME=NOWHERE, MODEL_ID="org/tiny", HF_ENDPOINT=hub.url)
        wait_until(lambda: health(port)[1].get("status") == "failed", 60, "the failure")
        assert health(port)[1]["detail"] == (
            "The model 'org/tiny' cannot be stored, the cache folder is not writable: set HF_HOME to a folder that is."
        )
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


def test_a_folder_that_gradio_cannot_write_is_one_sentence(start: Start) -> None:
    process = start("app.py", GRADIO_TEMP_DIR=NOWHERE)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.splitlines()[-1] == (
        "streamspace: Gradio cannot write its temporary folder (Not a directory): set GRADIO_TEMP_DIR to another."
    )
    assert "Traceback" not in errors


# Secrets

TOKEN, PASSWORD = "hf_tOkEnThatNobodySees", "pAsSwOrDThatNobodySees"


def everything_shown(port: int) -> str:
    """The page and all that describes it, as one who has logged in gets it."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    url = f"http://127.0.0.1:{port}"
    opener.open(f"{url}/login", f"username=ada&password={PASSWORD}".encode()).close()
    pages = ("/", "/config", "/gradio_api/info", "/gradio_api/openapi.json")
    return json.dumps(health(port)) + "".join(opener.open(url + page).read().decode() for page in pages)


@pytest.mark.parametrize(
    ("fault", "sentence", "arguments", "environ"),
    [
        (Fault("GET", ".", status=401), "refuses access", [], {"HF_TOKEN": TOKEN}),
        (Fault("GET", ".", status=403, code="GatedRepo"), "is gated", ["--hf-token", TOKEN], {}),
        (Fault("GET", "/api/", then="early rst"), "broke off", [f"--hf-token={TOKEN}"], {}),
    ],
    ids=["bad token", "gated", "resets"],
)
def test_no_failure_of_the_hub_shows_a_secret(
    start: Start, tmp_path: Path, fault: Fault, sentence: str, arguments: list[str], environ: dict[str, str]
) -> None:
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}, always=[fault]) as hub:
        port = free_port()
        environ |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "HF_DEBUG": "1"}
        environ |= {"GRADIO_AUTH": f"ada:{PASSWORD}", "MODEL_ID": "org/tiny"}
        process = start("app.py", "--port", str(port), *arguments, **environ)
        wait_until(lambda: health(port)[1].get("status") == "failed", 120, "the failure")
        assert sentence in health(port)[1]["detail"]
        shown = everything_shown(port)
        process.terminate()
        shown += "".join(process.communicate(timeout=20))
    assert f"Bearer {TOKEN}" in hub.tokens and sentence in shown
    assert TOKEN not in shown and PASSWORD not in shown


def test_the_engine_shows_no_secret_however_much_it_logs(start: Start) -> None:
    port = free_port()
    environ = {"HF_TOKEN": TOKEN, "GRADIO_AUTH": f"ada:{PASSWORD}", "VLLM_LOGGING_LEVEL": "DEBUG"}
    process = start("app.py", "--port", str(port), "--max-model-len", "1024", **environ)
    wait_until(lambda: health(port)[0] == 200, 120, "the model")
    shown = everything_shown(port)
    process.terminate()
    shown += "".join(process.communicate(timeout=20))
    assert "DEBUG" in shown and TOKEN not in shown and PASSWORD not in shown


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        ([f"--hf_token={TOKEN}"], {}),
        ([f"--auth={TOKEN}"], {}),
        ([], {"GRADIO_AUTH": TOKEN}),
        (["--hf-token", TOKEN, "--port", "none"], {"GRADIO_AUTH": f"ada:{TOKEN}"}),
    ],
)
def test_no_refusal_shows_a_secret(start: Start, arguments: list[str], environ: dict[str, str]) -> None:
    process = start("app.py", *arguments, **environ)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and TOKEN not in output + errors


@pytest.mark.browser
def test_a_model_of_the_hub_is_downloaded_with_progress_and_answers(
    start: Start, new_page: Callable[..., Page], tmp_path: Path
) -> None:
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}, throttle_bytes_per_s=300_000) as hub:
        port = free_port()
        environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "MODEL_ID": "org/tiny"}
        process = start("app.py", "--port", str(port), **environ)
        wait_until(lambda: health(port)[0], 60, "the page")
        page = new_page(f"http://127.0.0.1:{port}")
        expect(page.locator("#status")).to_contain_text("Downloading org/tiny: ")
        expect(page.locator("#status")).to_contain_text(" of 9.4 MB (")
        expect(page.get_by_role("link", name="org/tiny")).to_have_attribute("href", "https://huggingface.co/org/tiny")
        hub.throttle_bytes_per_s = None
        wait_until(lambda: health(port)[0] == 200, 120, "the model")
        page.locator("#message textarea").fill("Hello")
        expect(page.locator("#send")).to_be_enabled()
        page.keyboard.press("Enter")
        expect(page.locator("#chat [data-testid=bot]")).to_be_visible()
    process.terminate()
    process.wait(20)


def test_a_signal_in_a_stalled_download_ends_it_within_ten_seconds(start: Start, tmp_path: Path) -> None:
    stall = Fault("GET", ".*/resolve/.*safetensors", after_bytes=1_000_000, then="hang")
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}, always=[stall]) as hub:
        port = free_port()
        environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "MODEL_ID": "org/tiny"}
        process = start("app.py", "--port", str(port), **environ)
        wait_until(lambda: health(port)[1].get("status") == "downloading", 60, "the download")
        time.sleep(1)
        began = time.monotonic()
        process.terminate()
        assert process.wait(20) == 143 and time.monotonic() - began < 10


def test_a_model_that_the_hub_has_not_is_said_on_the_page_and_in_the_log(start: Start, tmp_path: Path) -> None:
    with Hub({}) as hub:
        port = free_port()
        environ = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        process = start("app.py", "--port", str(port), "--model", "org/missing", **environ)
        wait_until(lambda: health(port)[1].get("status") == "failed", 60, "the failure")
        code, body = health(port)
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert code == 503 and "org/missing" in body["detail"]
    assert body["detail"] in errors and "Traceback" not in errors


def test_share_without_a_tunnel_is_one_sentence_and_the_local_page_goes_on(start: Start) -> None:
    port, closed = free_port(), free_port()
    process = start("app.py", "--port", str(port), "--share", GRADIO_SHARE_SERVER_ADDRESS=f"127.0.0.1:{closed}")
    wait_until(lambda: health(port)[0], 60, "the page")
    time.sleep(3)
    assert health(port)[0] == 503
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert "No public link could be had" in errors and "Traceback" not in errors


def test_the_terminal_streams_the_prompts_and_leaves_nothing(start: Start) -> None:
    process = start("-m", "streamspace", "Hello there", "你好")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    prompts = [line.removeprefix("Prompt: ") for line in output.splitlines() if line.startswith("Prompt: ")]
    assert prompts == ["Hello there", "你好"]
    assert all(len(answer) > 20 for answer in output.split("Answer: ")[1:])


def test_ctrl_c_in_a_terminal_reaches_every_process_and_only_the_app_speaks(start: Start) -> None:
    port = free_port()
    process = start("app.py", "--port", str(port))
    wait_until(lambda: health(port)[0] == 200, 120, "the model")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "Interrupted by user"


LEAVES_EARLY = """
import asyncio, threading
from streamspace import engine as module
from streamspace.config import load_config

module.BUILD_STOP_S = 0
module.Engine._children = lambda engine: set()  # none to terminate, so the build succeeds
engine = module.Engine(load_config((), {}))

async def leave_early():
    engine.start()
    while "weights" not in engine.status.detail:
        await asyncio.sleep(0.05)
    await engine.stop()

asyncio.run(leave_early())
next(thread for thread in threading.enumerate() if thread.name == "engine").join()
"""


def test_an_engine_built_after_the_app_could_wait_no_longer_is_still_shut_down(start: Start) -> None:
    """A slow machine's own way, made certain: the event loop closes while vLLM starts."""
    process = start("-c", LEAVES_EARLY)
    wait_until(lambda: has_engine(process), 60, "the engine's process")
    children = family(process)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in errors, errors
    assert_gone(children, 2)


def test_ctrl_c_ends_the_terminal_with_a_word(start: Start) -> None:
    process = start("-m", "streamspace")
    wait_until(lambda: has_engine(process), 60, "the engine's process")
    children = family(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Interrupted by user" in errors and "Traceback" not in errors
    assert_gone(children, 2)


def test_workers_are_known_by_their_titles_and_ended_ones_before_they_are_waited_for() -> None:
    command = ["bash", "-c", 'exec -a "$0" sleep 60']
    with subprocess.Popen([*command, "VLLM::Worker_TP0"]) as worker, subprocess.Popen([*command, "another"]) as other:
        wait_until(lambda: [found.pid for found in workers_of([os.getpid()])] == [worker.pid], what="the title")
        (found,) = workers_of([os.getpid()])
        assert not has_ended(found)
        worker.kill()
        wait_until(lambda: has_ended(found), what="the end")
        worker.wait()
        assert has_ended(found)
        other.kill()
    assert workers_of([other.pid]) == []
