"""The programs as a person starts and ends them: `python app.py` and `python -m streamspace`."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from streamspace.config import BUNDLED_MODEL
from streamspace.connections import listen
from streamspace.errors import ConfigError
from streamspace.process import has_ended, workers_of
from tests.apps import App, assert_gone, family, health, wait_for_engine
from tests.hub import Fault, Hub, folder_files
from tests.support import Start, free_port, wait_until

pytestmark = pytest.mark.xdist_group("processes")

NOWHERE = "/dev/null/nowhere"  # cannot be made, not even by root
TOKEN, PASSWORD = "hf_tOkEnThatNobodySees", "pAsSwOrDThatNobodySees"
SECRETS = {"HF_TOKEN": TOKEN, "GRADIO_AUTH": f"ada:{PASSWORD}"}
HARD = {
    "ALL_PROXY": "socks://127.0.0.1:7890/",
    "NO_PROXY": "localhost,127.0.0.0/8,::1/128",
    "HTTP_PROXY": "http://127.0.0.1:9",  # where nothing listens
    "VLLM_PORT": "tcp://10.0.0.5:8000",
    "HOME": NOWHERE,
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
}


# Refusals: which there are is test_config's and test_llm's


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (["--dtype", "banana"], {}, "streamspace: --dtype is 'banana'; allowed is auto, bfloat16"),
        (
            ["--hf-token", TOKEN, "--port", "none"],
            {"GRADIO_AUTH": f"ada:{TOKEN}"},
            "streamspace: --port is 'none'; allowed is a whole number from 1 to 65535.",
        ),
        (
            [],
            {"GRADIO_TEMP_DIR": NOWHERE},
            "streamspace: Gradio cannot write its temporary folder (Not a directory): set GRADIO_TEMP_DIR to another.",
        ),
    ],
)
def test_a_refusal_is_one_sentence_without_a_secret_and_exit_code_2(
    start: Start, arguments: list[str], environ: dict[str, str], sentence: str
) -> None:
    process = start("app.py", *arguments, VLLM_LOGGING_LEVEL="ERROR", **environ)
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 2
    assert sentence in errors.splitlines()[-1]
    assert "Traceback" not in errors and TOKEN not in output + errors


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} .*choose another with --port"), listen("127.0.0.1", port):
            pass


def test_vllm_is_imported_by_another_process_beside_the_page(start: Start) -> None:
    program = (
        "import os, runpy, sys; from streamspace import forkserver\n"
        "forkserver.start = lambda: (print('gradio' in sys.modules, flush=True), os._exit(0))\n"
        "runpy.run_path('app.py', run_name='__main__')"
    )
    assert start("-c", program).communicate(timeout=90)[0] == "False\n"


# Ends


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_while_it_loads_ends_it_within_ten_seconds(start: Start, number: signal.Signals, code: int) -> None:
    process = start("app.py", "--port", str(free_port()))
    children, began = wait_for_engine(process), time.monotonic()
    os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code and time.monotonic() - began < 10
    assert ("Interrupted by user" in errors) == (number == signal.SIGINT)
    assert "Traceback" not in errors
    assert_gone(children, 2)


@pytest.mark.slow
def test_a_signal_before_the_engines_process_leaves_nothing_either(start: Start) -> None:
    process = start("app.py", "--port", str(free_port()))
    wait_until(lambda: len(family(process)) > 1, 120, "the first processes of its own")
    children = family(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert_gone(children, 2)


@pytest.mark.slow
def test_the_engine_does_not_outlive_an_app_that_is_killed_while_it_loads(start: Start) -> None:
    process = start("app.py", "--port", str(free_port()))
    children = wait_for_engine(process)
    process.kill()
    assert_gone(children, 10)


def test_whatever_its_environment_says_it_answers_shows_no_secret_and_ends_in_mid_answer(
    start: Start, tmp_path: Path
) -> None:
    model = shutil.copytree(BUNDLED_MODEL, tmp_path / "一个 model")
    arguments = ("--model", str(model), "--max-model-len", "1024")
    app = App(start, tmp_path / "log", *arguments, VLLM_LOGGING_LEVEL="DEBUG", **HARD, **SECRETS)
    app.wait(200)
    shown = everything_shown(app)
    with app.long_answer(max_tokens=1000):
        children, began = family(app.process), time.monotonic()
        app.process.terminate()
        app.process.wait(20)
    assert app.process.returncode == 143 and time.monotonic() - began < 10
    assert_gone(children, 2)
    assert "DEBUG" in app.written and "Traceback" not in app.written
    warnings = re.findall(r"^[0-9:]{8} WARNING (\w+)", app.written, re.MULTILINE)  # ours: vLLM's begin in another way
    assert sorted(warnings) == ["ALL_PROXY", "NO_PROXY", "VLLM_PORT"]
    assert TOKEN not in shown + app.written and PASSWORD not in shown + app.written


def everything_shown(app: App) -> str:
    """The page and all that describes it, as one who has logged in gets it."""
    app.log_in("ada", PASSWORD)
    pages = ("/", "/config", "/gradio_api/info", "/gradio_api/openapi.json")
    return json.dumps(health(app.port)) + "".join(app.visitor.open(app.url + page).read().decode() for page in pages)


# The hub


def hub_environ(hub: Hub, folder: Path) -> dict[str, str]:
    """Without Xet: this hub serves plain HTTP."""
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder), "HF_HUB_DISABLE_XET": "1"}


def test_without_a_home_to_write_to_a_model_of_the_hub_is_refused_in_a_sentence(start: Start, tmp_path: Path) -> None:
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}) as hub:
        app = App(start, tmp_path / "log", HOME=NOWHERE, MODEL_ID="org/tiny", HF_ENDPOINT=hub.url)
        assert app.wait_for_stage("failed") == (
            "The model 'org/tiny' cannot be stored, the cache folder is not writable: set HF_HOME to a folder that is."
        )
        app.process.terminate()
        app.process.wait(20)
    assert "Traceback" not in app.written


@pytest.mark.parametrize(
    ("fault", "sentence", "arguments", "environ"),
    [
        pytest.param(Fault("GET", ".", status=401), "refuses access", [], {"HF_TOKEN": TOKEN}, marks=pytest.mark.slow),
        (Fault("GET", ".", status=403, code="GatedRepo"), "is gated", ["--hf-token", TOKEN], {}),
        pytest.param(
            Fault("GET", "/api/", then="early rst"), "broke off", [f"--hf-token={TOKEN}"], {}, marks=pytest.mark.slow
        ),
    ],
    ids=["bad token", "gated", "resets"],
)
def test_no_failure_of_the_hub_shows_a_secret(
    start: Start, tmp_path: Path, fault: Fault, sentence: str, arguments: list[str], environ: dict[str, str]
) -> None:
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}, always=[fault]) as hub:
        environ |= hub_environ(hub, tmp_path) | {"HF_DEBUG": "1", "MODEL_ID": "org/tiny"}
        environ |= {"GRADIO_AUTH": SECRETS["GRADIO_AUTH"]}
        app = App(start, tmp_path / "log", *arguments, **environ)
        assert sentence in app.wait_for_stage("failed", 120)
        shown = everything_shown(app)
        app.process.terminate()
        app.process.wait(20)
    shown += app.written
    assert f"Bearer {TOKEN}" in hub.tokens and sentence in shown
    assert TOKEN not in shown and PASSWORD not in shown


@pytest.mark.browser
def test_a_model_of_the_hub_is_downloaded_with_progress_and_answers_until_ctrl_c_reaches_every_process(
    start: Start, new_page: Callable[..., Page], tmp_path: Path
) -> None:
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}, throttle_bytes_per_s=300_000) as hub:
        app = App(start, tmp_path / "log", MODEL_ID="org/tiny", **hub_environ(hub, tmp_path))
        wait_until(lambda: health(app.port)[0], 60, "the page")
        page = new_page(app.url)
        expect(page.locator("#status")).to_contain_text("Downloading org/tiny: ")
        expect(page.locator("#status")).to_contain_text(" of 9.4 MB (")
        expect(page.get_by_role("link", name="org/tiny")).to_have_attribute("href", "https://huggingface.co/org/tiny")
        hub.throttle_bytes_per_s = None
        app.wait(200)
        page.locator("#message textarea").fill("Hello")
        expect(page.locator("#send")).to_be_enabled()
        page.keyboard.press("Enter")
        expect(page.locator("#chat [data-testid=bot]")).to_be_visible()
        page.close()
    children = family(app.process)
    os.killpg(app.process.pid, signal.SIGINT)
    assert app.process.wait(20) == 130
    assert app.written.splitlines()[-1] == "Interrupted by user"  # the app's own word; the others say nothing
    assert_gone(children, 2)


def test_a_signal_in_a_stalled_download_ends_it_within_ten_seconds(start: Start, tmp_path: Path) -> None:
    stall = Fault("GET", ".*/resolve/.*safetensors", after_bytes=1_000_000, then="hang")
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}, always=[stall]) as hub:
        app = App(start, tmp_path / "log", MODEL_ID="org/tiny", **hub_environ(hub, tmp_path))
        app.wait_for_stage("downloading")
        wait_until(lambda: any("safetensors" in line for line in hub.requests), what="the download")
        time.sleep(0.5)  # for the stall
        began = time.monotonic()
        app.process.terminate()
        assert app.process.wait(20) == 143 and time.monotonic() - began < 10


def test_the_page_goes_on_without_a_tunnel_and_without_a_model_and_the_log_says_both(
    start: Start, tmp_path: Path
) -> None:
    with Hub({}) as hub:
        tunnel = {"GRADIO_SHARE_SERVER_ADDRESS": f"127.0.0.1:{free_port()}"}
        arguments = ("--share", "--model", "org/missing")
        app = App(start, tmp_path / "log", *arguments, **tunnel, **hub_environ(hub, tmp_path))
        detail = app.wait_for_stage("failed")
        wait_until(lambda: "No public link could be had" in app.written, what="the word about the tunnel")
        assert health(app.port)[0] == 503 and "org/missing" in detail
        app.process.terminate()
        app.process.wait(20)
    assert detail in app.written and "Traceback" not in app.written


# The terminal


def test_the_terminal_streams_the_prompts_and_leaves_nothing(start: Start) -> None:
    process = start("-m", "streamspace", "Hello there", "你好")
    children = wait_for_engine(process)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    prompts = [line.removeprefix("Prompt: ") for line in output.splitlines() if line.startswith("Prompt: ")]
    assert prompts == ["Hello there", "你好"]
    assert all(len(answer) > 20 for answer in output.split("Answer: ")[1:])
    assert_gone(children, 2)


def test_ctrl_c_ends_the_terminal_with_a_word(start: Start) -> None:
    process = start("-m", "streamspace")
    children = wait_for_engine(process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and "Interrupted by user" in errors and "Traceback" not in errors
    assert_gone(children, 2)


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


@pytest.mark.slow
def test_an_engine_built_after_the_app_could_wait_no_longer_is_still_shut_down(start: Start) -> None:
    """A slow machine's own way, made certain: the event loop closes while vLLM starts."""
    process = start("-c", LEAVES_EARLY)
    children = wait_for_engine(process)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in errors, errors
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
