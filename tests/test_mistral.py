"""A model of Mistral's kind: vLLM reads its tokenizer by mistral-common, which is like no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio_client import Client
from openai import OpenAI
from playwright.sync_api import expect

from streamspace.thoughts import Splitter
from tests import mistral
from tests.page import NewPage, begin_and_end, bot, questions, set_up, wait_for_end
from tests.support import Running, run_application

pytestmark = pytest.mark.xdist_group("processes")

HI = "Hi [INST] é"


def tokenizer_of(folder: Path) -> Any:
    from vllm.tokenizers.mistral import MistralTokenizer

    return MistralTokenizer.from_pretrained(mistral.write_tokenizer(folder))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("mistral")
    flags = ("--tokenizer-mode", "mistral", "--reasoning-parser", "mistral")
    with run_application("--model", str(mistral.write_model(folder)), "--served-model-name", "model", *flags) as app:
        yield app


def test_every_door_answers_alike(app: Running) -> None:
    greedy: dict[str, Any] = {"max_tokens": 12, "temperature": 0}
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": HI},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "And?"},
    ]
    by_openai = OpenAI(base_url=f"{app.url}/v1", api_key="-", max_retries=0).chat.completions.create(
        model="model", messages=messages, **greedy
    )
    by_gradio = Client(app.url, verbose=False).predict(
        message="And?", history=messages[1:3], system_prompt="Be brief.", **greedy, api_name="/chat"
    )
    assert by_gradio and by_gradio == by_openai.choices[0].message.content


@pytest.mark.browser
def test_pieces_of_characters_have_probabilities_and_an_answer_goes_on(app: Running, new_page: NewPage) -> None:
    page = new_page(app.url)
    set_up(page, max_tokens="60", seed="42")
    page.get_by_label("Show token probabilities").first.check()
    begin_and_end(page, HI)
    expect(page.locator(".tokens").first).to_contain_text(r"\x")  # of so many random tokens, some are single bytes
    before = bot(page).inner_text()
    page.get_by_role("button", name="Continue").click()
    wait_for_end(page)
    # But for the last character, of which the first half may be all that came.
    assert bot(page).inner_text().startswith(before[:-1]) and len(bot(page).inner_text()) > len(before)
    expect(questions(page)).to_have_count(1)


def test_marks_of_a_thought_are_in_the_text_and_no_other_control_token(tmp_path: Path) -> None:
    from streamspace.reasoning import keeps_special, of_parser
    from streamspace.tokenizer import control_tokens

    tokenizer = tokenizer_of(tmp_path)
    special, marks = control_tokens(tokenizer)
    assert (special, marks) == ((), ()) and not keeps_special(of_parser("mistral", tokenizer), special)
    control = tokenizer.convert_tokens_to_ids(["[THINK]", "[INST]", "[/THINK]"])
    assert tokenizer.convert_ids_to_tokens(control, skip_special_tokens=True) == ["[THINK]", "[/THINK]"]
    (_, *written) = tokenizer.encode("[THINK]")
    assert not {*written} & {*control}


def test_a_thought_that_goes_on_begins_with_its_mark_as_a_token(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from streamspace.config import BUNDLED_MODEL
    from streamspace.tokenizer import start_tokens

    for tokenizer, start in (
        (tokenizer_of(tmp_path), "[THINK]"),
        (AutoTokenizer.from_pretrained(BUNDLED_MODEL), "<think>"),
    ):
        mark, *rest = start_tokens(tokenizer, Splitter((start,), ("-",)))
        assert (tokenizer.decode([mark]), tokenizer.decode(rest)) == (start, "\n")
    in_letters = start_tokens(tokenizer, Splitter(("Here is my thought process:",), ("-",)))
    assert tokenizer.decode(in_letters) == "Here is my thought process:\n"
    assert start_tokens(tokenizer, None) == ()
