"""LoRA adapters on the real engine: named by the operator, chosen on the page, by the API and by endpoints."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from openai import NotFoundError, OpenAI
from playwright.sync_api import Page, expect

from streamspace import flags as engine_flags
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import Engine
from streamspace.errors import ConfigError
from tests.adapters import write_adapter
from tests.hub import Hub, folder_files, use
from tests.page import begin_and_end, bot, set_up
from tests.support import Running, final_status, run_application

pytestmark = pytest.mark.xdist_group("processes")

NewPage = Callable[..., Page]
QUESTION = "What is a token?"
PIRATE, POET = "Ahoy, sailor! The wind is fair.", "Roses are red."
ANSWERS = {"pirate": PIRATE, "poet": POET}
ITSELF = "A token is"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of two adapters, of different ranks."""
    root = tmp_path_factory.mktemp("adapters")
    return {
        "pirate": write_adapter(root / "pirate", PIRATE, rank=4),
        "poet": write_adapter(root / "poet", POET, rank=24),
    }


@pytest.fixture(scope="module")
def app(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One adapter from a folder that is removed as soon as it is read, the other from the hub."""
    folder = tmp_path_factory.mktemp("lora")
    passing = shutil.copytree(folders["pirate"], folder / "passing")
    with Hub({"org/poet": folder_files(folders["poet"])}) as hub, pytest.MonkeyPatch.context() as monkeypatch:
        use(hub.url, monkeypatch, folder / "cache")
        with run_application("--lora-modules", f"pirate={passing}", "poet=org/poet") as app:
            shutil.rmtree(passing)
            yield app


def test_clients_name_an_adapter_as_they_name_a_model(app: Running) -> None:
    client = OpenAI(base_url=f"{app.url}/v1", api_key="-", max_retries=0)
    models = client.models.list().data
    assert {model.id: model.parent for model in models} == {  # type: ignore[attr-defined]  # vLLM's own field
        "streamspace-tiny": None,
        "pirate": "streamspace-tiny",
        "poet": "streamspace-tiny",
    }
    assert {model.id: model.root for model in models} == {model.id: model.id for model in models}  # type: ignore[attr-defined]

    def answer(model: str) -> str:
        asked = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=30
        )
        return asked.choices[0].message.content or ""

    assert {name: answer(name) for name in ANSWERS} == ANSWERS
    assert answer("streamspace-tiny").startswith(ITSELF)
    with pytest.raises(NotFoundError, match="The model `nobody` does not exist"):
        answer("nobody")


def test_endpoints_take_an_adapters_name_and_answer_at_once_through_different_ones(app: Running) -> None:
    client = Client(app.url, verbose=False)
    try:
        wanted = [None, *ANSWERS, ""] * 2
        jobs = [
            client.submit(QUESTION, adapter=adapter, temperature=0, max_tokens=30, api_name="/chat")
            for adapter in wanted
        ]
        for adapter, job in zip(wanted, jobs, strict=True):
            assert str(job.result(60)).startswith(ANSWERS.get(adapter or "", ITSELF))
        with pytest.raises(AppError, match="There is no LoRA adapter 'nobody'; there are: pirate, poet"):
            client.predict(QUESTION, adapter="nobody", api_name="/complete")
        with pytest.raises(AppError, match="adapter is 5; allowed is the name of one, or nothing"):
            client.predict(QUESTION, adapter=5, api_name="/chat")
        assert client.predict(QUESTION, adapter="poet", temperature=0, api_name="/chat") == POET
    finally:
        client.close()


def choose(page: Page, place: str, name: str) -> None:
    page.locator(place).get_by_label("adapter").click()
    page.locator(place).get_by_role("option", name=name).click()


@pytest.mark.browser
def test_the_page_has_them_to_choose_from(app: Running, new_page: NewPage) -> None:
    page = new_page(app.url)
    set_up(page, temperature="0")
    for adapter, answer in [*ANSWERS.items(), ("none", None)]:
        choose(page, "#settings", adapter)
        begin_and_end(page, QUESTION)
        expect(bot(page)).to_contain_text(answer or ITSELF)


@pytest.mark.browser
def test_adapters_can_be_compared(app: Running, new_page: NewPage) -> None:
    page = new_page(app.url)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-message textarea").fill(QUESTION)
    choose(page, "#column-1", "pirate")
    choose(page, "#column-2", "poet")
    page.locator("#compare-run").click()
    for column, answer in enumerate([PIRATE, POET], 1):
        expect(page.locator(f"#column-{column} .block.answer")).to_have_text(answer)
    expect(page.locator("#column-3 .block.answer")).not_to_contain_text("Ahoy")


@pytest.mark.slow
def test_an_adapter_that_the_engine_cannot_use_is_told_and_not_asked(folders: dict[str, Path], tmp_path: Path) -> None:
    broken = shutil.copytree(folders["pirate"], tmp_path / "broken")
    (broken / "adapter_model.safetensors").write_bytes(b"no weights")
    status = final_status(Engine(load_config(["--lora-modules", f"broken={broken}"], {})))
    assert status.stage == "failed" and status.detail.startswith("The LoRA adapter 'broken' cannot be used: ")
    assert str(tmp_path) not in status.detail


def test_room_is_made_for_all_adapters_unless_the_operator_says_otherwise(folders: dict[str, Path]) -> None:
    def args(*flags: str) -> tuple[object, ...]:
        made = engine_flags.engine_args(load_config(flags, {}), BUNDLED_MODEL, folders.values())
        return made.enable_lora, made.max_loras, made.max_lora_rank, made.max_cpu_loras

    assert args() == (True, 3, 32, 3)  # on a CPU, one more than there are
    assert args("--max-loras", "1", "--max-lora-rank", "64") == (True, 1, 64, 3)


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"r": "8"}', '{"r": 0}', '{"r": 1000}'])
def test_an_adapter_without_a_rank_is_refused(config: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(config, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"The LoRA adapter in '{tmp_path.name}' has no rank from 1 to 512"):
        engine_flags.engine_args(load_config((), {}), BUNDLED_MODEL, [tmp_path])


def test_adapters_in_a_yaml_file_are_refused_with_where_they_belong(tmp_path: Path) -> None:
    (tmp_path / "flags.yaml").write_text("lora-modules: [a=org/a]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="give --lora-modules or LORA_MODULES"):
        engine_flags.engine_args(load_config(["--config", str(tmp_path / "flags.yaml")], {}), BUNDLED_MODEL)
