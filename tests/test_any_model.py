"""Models as they are: what they recommend and the templates that they bring, or do not."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import expect

from streamspace.chat import stream_chat
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.errors import ConfigError, TemplateRefused
from streamspace.frames import Pacer
from streamspace.prompt import conversation
from streamspace.sampling import Settings
from streamspace.types import Message, Prompt, Role, Status, ToolSpec
from tests.client import JSON, ask
from tests.fake import FakeEngine, FakePageEngine, deltas
from tests.page import NewPage, begin_and_end, bot, compare, open_compare, wait_for_all
from tests.support import Running, run_application
from tests.wire import served_site

ODD = Settings(temperature=2.5, top_p=0.001, top_k=-1, repetition_penalty=3.0, min_p=-1, seed=None)


@pytest.mark.browser
@pytest.mark.parametrize("is_early", [True, False], ids=["before the page", "after the page"])
def test_what_a_model_recommends_is_never_refused(new_page: NewPage, is_early: bool) -> None:
    engine = FakePageEngine(deltas("an answer"))
    if is_early:
        engine.defaults = ODD
    else:
        engine.status = Status("loading", "Loading")
    with served_site(engine) as site:
        page = new_page(site.url)
        engine.defaults, engine.status = ODD, Status("ready", "Ready")
        begin_and_end(page, "Hello")
        expect(bot(page)).to_have_text("an answer")
        compare(open_compare(page, 2))
        wait_for_all(page)
        client = Client(site.url, verbose=False)
        assert client.predict("Hello", api_name="/chat") == "an answer"
        client.close()
    chat, *columns, endpoint = engine.settings
    for each in (chat, *columns, endpoint):
        assert (each.top_p, each.top_k, each.repetition_penalty, each.min_p) == (0.01, 0, 2.0, 0.0)
    assert chat.temperature == endpoint.temperature == 2.0 and len(columns) == 2


# Templates

STRICT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}"
    "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_TEMPLATE = "This model has no chat template: use the Completion tab, /complete or /v1/completions"


class StrictEngine(FakeEngine):
    """Its template takes no system prompt, or only roles that alternate, or nothing."""

    def __init__(self, takes_system: bool = True, takes: bool = True) -> None:
        super().__init__(deltas("an answer"))
        self._takes_system, self._takes = takes_system, takes

    async def render_chat(
        self, messages: Sequence[Message], enable_thinking: bool | None = None, tools: Sequence[ToolSpec] = ()
    ) -> Prompt:
        prompt = await super().render_chat(messages, enable_thinking)
        roles = [message.role for message in messages if message.role != "system" or not self._takes_system]
        if "system" in roles:
            raise TemplateRefused("System role not supported")
        if not self._takes or roles != [*(["user", "assistant"] * len(roles))[: len(roles)]]:
            raise TemplateRefused("Conversation roles must alternate")
        return prompt


def asked(engine: FakeEngine, system_prompt: str, *turns: tuple[Role, str]) -> str:
    """The conversation that the engine takes in the end, in letters for the roles."""

    async def run() -> None:
        messages = conversation(system_prompt, [Message(role, text) for role, text in turns])
        async for _ in stream_chat(engine, messages, Settings(), Pacer()):
            pass

    asyncio.run(run())
    return " ".join(f"{message.role[0]}:{message.text}" for message in engine.conversations[-1])


def test_a_question_without_an_answer_is_joined_with_the_next() -> None:
    turns: tuple[tuple[Role, str], ...] = (("user", "Hi"), ("user", "Well?"))
    assert asked(StrictEngine(), "Be brief", *turns) == "s:Be brief u:Hi\n\nWell?"
    assert asked(StrictEngine(takes_system=False), "Be brief", *turns) == "u:Be brief\n\nHi\n\nWell?"


def test_a_conversation_may_begin_with_an_answer() -> None:
    assert asked(StrictEngine(), "", ("assistant", "Hello"), ("user", "Hi")) == "u: a:Hello u:Hi"


def test_what_the_template_takes_goes_to_it_as_it_is() -> None:
    engine = FakeEngine(deltas("an answer"))
    assert asked(engine, "Be brief", ("user", "Hi"), ("user", "Well?")) == "s:Be brief u:Hi u:Well?"
    assert len(engine.conversations) == 1


def test_the_reason_of_a_refusal_is_that_for_the_conversation_as_it_is() -> None:
    with pytest.raises(TemplateRefused, match="The model's chat template refuses this conversation: System role not"):
        asked(StrictEngine(takes_system=False, takes=False), "Be brief", ("user", "Hi"))


@pytest.mark.xdist_group("engine")
def test_a_template_is_given_by_a_flag_a_variable_or_a_file_of_flags(tmp_path: Path) -> None:
    from streamspace import flags

    file, yaml = tmp_path / "a template.jinja", tmp_path / "flags.yaml"
    file.write_text(STRICT)
    yaml.write_text(f"chat-template: {file}\n")

    def template(*arguments: str, **environ: str) -> str | None:
        return flags.chat_template(load_config(arguments, environ), BUNDLED_MODEL)

    assert template() is None
    given = (template("--chat-template", str(file)), template(CHAT_TEMPLATE=str(file)), template(CONFIG=str(yaml)))
    assert given == (STRICT, STRICT, STRICT) and template("--chat-template", "{{ messages }}") == "{{ messages }}"
    with pytest.raises(ConfigError, match=r"missing\.jinja"):
        template("--chat-template", str(tmp_path / "missing.jinja"))


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model without its template, in a folder whose name has a space and Chinese."""
    folder = tmp_path_factory.mktemp("models") / "基础 model"
    shutil.copytree(BUNDLED_MODEL, folder, ignore=shutil.ignore_patterns("chat_template.jinja"))
    return folder


def chat_of(app: Running, *roles: str) -> tuple[int, str]:
    """What /v1 answers to a conversation of these roles: the text, or the sentence of the refusal."""
    body = {"messages": [{"role": role, "content": "Hi"} for role in roles], "max_tokens": 2, "temperature": 0}
    status, _, text = ask(app.url, "POST", "/v1/chat/completions", json.dumps(body).encode(), JSON)
    told = json.loads(text)
    return status, str(told["error"]["message"] if status >= 400 else told["choices"][0]["message"]["content"])


@pytest.mark.xdist_group("processes")
def test_a_model_without_a_template_continues_texts_and_says_that_it_has_none(
    base_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with run_application("--model", str(base_model)) as app:
        client = Client(app.url, verbose=False)
        assert client.predict("Once", max_tokens=5, temperature=0, api_name="/complete")
        with pytest.raises(AppError, match=NO_TEMPLATE):
            client.predict("Hi", api_name="/chat")
        client.close()
        status, sentence = chat_of(app, "user")
    assert status == 400 and sentence.startswith(NO_TEMPLATE)
    assert "Traceback" not in caplog.text


@pytest.mark.xdist_group("processes")
def test_a_given_template_is_the_chats_and_v1s(
    base_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "strict.jinja"
    file.write_text(STRICT)
    with run_application("--model", str(base_model), CHAT_TEMPLATE=str(file)) as app:
        assert chat_of(app, "user")[0] == 200
        assert chat_of(app, "system", "user") == (400, "System role not supported.")
        client = Client(app.url, verbose=False)
        history = [{"role": "user", "content": "Hi"}]
        assert client.predict("Who are you?", history, "Be brief.", 5, 0, api_name="/chat")
        client.close()
    assert "Traceback" not in caplog.text
