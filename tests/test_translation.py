"""What is said to visitors, in their language."""

import copy
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from streamspace import errors
from streamspace.sampling import Settings, check_settings
from streamspace.summary import NUMBERS_S, Summary
from streamspace.translation import (
    ABOUT,
    FOLDER,
    LANGUAGES,
    PLURALS,
    SEPARATORS,
    Filler,
    Sentence,
    catalog,
    language_of,
    say_in,
    say_with,
)
from streamspace.types import Metrics, Reply, Status
from tests.templates import SOURCE, script_texts, scripts, strings, templates

say = say_in("zh")
STEPS = ("waiting for the next attempt", "beginning again", "starting vLLM", "loading the weights", "warming up")
every_language = pytest.mark.parametrize("language", LANGUAGES)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh", "zh"),
        ("it-IT,it;q=0.9,zh;q=0.8,en;q=0.7", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("it", "en"),
        ("*", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_the_first_of_the_browsers_that_is_spoken(header: str, language: str) -> None:
    assert language_of(header) == language


def test_values_are_kept_and_sentences_within_sentences_are_said_too() -> None:
    limit = Sentence("max_tokens is {number}", number=9)
    cut = Sentence("Cut off by a limit: {limit}.", limit=limit)
    assert cut == "Cut off by a limit: max_tokens is 9."
    assert say(cut) == "因限制而截断：max_tokens 为 9。"
    assert say("Send") == "发送"
    assert say("nobody's sentence") == "nobody's sentence"
    assert say(Sentence("nobody's, with {value}", value=limit)) == "nobody's, with max_tokens 为 9"
    assert say_in("en")(cut) == cut and say_in("en")("Send") == "Send"


@pytest.mark.parametrize("text", ["Send", "{stop} \\1 {", "Ended before the stop string 'x'.", "x" * 1_000_000])
def test_a_visitors_text_stays_as_it_is_whatever_it_says(text: str) -> None:
    began_s = time.thread_time()  # of the processor: others may keep it busy
    assert say(Sentence("Ended before the stop string {stop!r}.", stop=text)) == f"在停止字符串 {text!r} 之前结束。"
    assert time.thread_time() - began_s < 0.1


def test_a_sentence_stays_one_when_it_is_copied_or_sent() -> None:
    sentence = Sentence("Prompt {number}", number=2)
    for same in (copy.deepcopy(sentence), pickle.loads(pickle.dumps(sentence))):
        assert same == sentence and say(same) == "提示词 2"


def test_an_error_is_said_by_its_template() -> None:
    error = errors.BadRequest("{name} is {value}; allowed is a number from {least:g} to {most}.",
                              name="top_p", value="'{most}'", least=0.01, most=1)  # fmt: skip
    assert str(error) == error.sentence == "top_p is '{most}'; allowed is a number from 0.01 to 1."
    assert say(error.sentence) == "top_p 为 '{most}'；应为 0.01 到 1 之间的数。"
    plain = errors.BadRequest("vLLM's own {words}.")
    assert str(plain) == plain.sentence == say(plain.sentence) == "vLLM's own {words}."


@every_language
def test_everything_that_a_visitor_may_read_is_translated(language: str) -> None:
    """Labels of the page: test_language."""
    assert not {*templates(), *script_texts(), *STEPS} - set(catalog(language))


@every_language
def test_no_translation_is_left_over_or_of_a_sentence_that_was_reworded(language: str) -> None:
    used, text = {*strings(), *STEPS}, scripts()
    left = [key for key in catalog(language) if key not in used]
    assert not [key for key in left if not any(f"{a}{key}{b}" in text for a, b in ("''", '""', "><"))]


@every_language
def test_no_sentence_has_two_translations(language: str) -> None:
    def pairs(pairs: list[tuple[str, object]]) -> list[str]:
        return [key for key, _ in pairs]

    keys = json.loads((FOLDER / f"{language}.json").read_text("utf-8"), object_pairs_hook=pairs)
    assert [key for key, number in Counter(keys).items() if number > 1] == []
    assert set(keys) == {*ABOUT, *catalog(language)}


@every_language
def test_every_translation_uses_the_names_of_its_sentence(language: str) -> None:
    names = re.compile(r"\{\w+(?:![rs])?(?::[^{}|][^{}]*)?\}")
    for english, other in catalog(language).items():
        assert sorted(names.findall(english)) == sorted(names.findall(other)), english


@every_language
def test_every_word_that_goes_with_a_number_has_all_its_forms(language: str) -> None:
    num_forms = {"en": 2, language: len(json.loads((FOLDER / f"{language}.json").read_text("utf-8"))[PLURALS]) + 1}
    for english, other in catalog(language).items():
        for spoken, template in {"en": english, language: other}.items():
            for name, forms in re.findall(r"\{(\w+):\|([^{}]*)\}", template):
                assert len(forms.split("|")) == num_forms[spoken] > 1 and f"{{{name}" in english, template


def test_numbers_and_the_words_with_them_are_those_of_unicode() -> None:
    """As the browser has them, which says other sentences beside ours."""
    numbers = [*range(1200), 1_000_000]
    program = """
const order = ["zero", "one", "two", "few", "many", "other"];
const told = (language) => {
  const rules = new Intl.PluralRules(language);
  const all = rules.resolvedOptions().pluralCategories;
  const own = order.filter((each) => all.includes(each) && (all.length > 3 || each !== "many"));
  const place = (number) => own.indexOf(rules.select(number));
  const places = NUMBERS.map((number) => (place(number) < 0 ? own.length - 1 : place(number)));
  return [places, (12345.67).toLocaleString(language)];
};
console.log(JSON.stringify(LANGUAGES.map(told)));
""".replace("NUMBERS", json.dumps(numbers)).replace("LANGUAGES", json.dumps(["en", *LANGUAGES]))
    done = subprocess.run(["node", "--eval", program], check=True, capture_output=True, text=True)
    for language, (places, written) in zip(("en", *LANGUAGES), json.loads(done.stdout), strict=True):
        forms = range(max(places) + 1)
        template = "{n:|" + "|".join(map(str, forms)) + "}"
        about = {} if language == "en" else json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
        filler = Filler(about.get(PLURALS, ["1"]), about.get(SEPARATORS, ",."))
        assert [int(filler.fill(template, {"n": number})) for number in numbers] == places, language
        assert filler.fill("{n:,.2f}", {"n": 12345.67}) == written, language


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "1 token in 1.50 s · prompt 1,200 tokens"),
        ("de", "1 Token in 1,50 s · Prompt 1.200 Token"),
        ("fr", "1 token en 1,50 s · prompt de 1\u202f200 tokens"),
        ("zh", "1 个 token，用时 1.50 s · 提示 1,200 个 token"),
    ],
)
def test_one_token_is_no_tokens(language: str, words: str) -> None:
    reply = Reply("text", "stop", elapsed_s=1.5, metrics=Metrics(1200, 0, 1, queued_s=0, prefill_s=0, decode_s=0))
    assert words in Summary(Settings(), 300, None, say_in(language)).html(reply)


def test_a_sentence_without_a_translation_keeps_the_forms_of_english() -> None:
    assert say_in("fr")(Sentence("{n} {n:|thing|things}", n=0)) == "0 things"
    assert say_with({})(errors.TooManyRequests(1, 9).sentence).startswith("At most 1 request a minute is answered")


def test_a_new_language_is_one_file(tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "streamspace")
    made_up = {"$locales": ["xx", "xx-YY"], "Send": "Zend", "Prompt {number}": "{number}. Pronto"}
    (tmp_path / "streamspace" / "languages" / "xx.json").write_text(json.dumps(made_up))
    code = """
from streamspace.translation import LANGUAGES, Sentence, catalog, language_of, locales, say_in
assert LANGUAGES == ("ar", "de", "es", "fr", "ja", "ko", "pt", "xx", "zh")
assert language_of("xx-YY,en;q=0.5") == "xx"
assert say_in("xx")(Sentence("Prompt {number}", number=2)) == "2. Pronto" and say_in("xx")("Stop") == "Stop"
assert locales("xx") == ["xx", "xx-YY"] and "$locales" not in catalog("xx")
"""
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )


CHAT_ERRORS = [
    errors.TooManyRequests(30, 12.4),
    errors.TooManyAnswers(1),
    errors.TooManyAnswers(3),
    errors.QueueFull(256),
    errors.PromptTooLong(2048),
    errors.PromptTooLong(2048, 3000),
    errors.TooManyPromptTokens(300, 200),
    errors.EngineNotReady(Sentence("Warming up")),
    errors.EngineRestarting(),
    errors.EngineStopped(),
    errors.RequestFailed(),
]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status("downloading", Sentence("Downloading {name}", name="org/m"), 5, 10),
         "正在下载 org/m：0.0 MB / 0.0 MB（50%）"),
        (Status("downloading", Sentence("Downloading {name}", name="org/m")), "正在下载 org/m……"),
        (Status("loading", Sentence("Warming up"), 3, 4), "正在预热（第 4 步，共 4 步）……"),
    ],
)  # fmt: skip
def test_the_engines_state_is_said(status: Status, words: str) -> None:
    assert say(status.sentence) == words


@pytest.mark.parametrize("error", CHAT_ERRORS, ids=lambda error: type(error).__name__)
def test_what_a_visitor_is_refused_with_is_chinese_to_a_chinese_reader(error: errors.ChatError) -> None:
    said = say(error.sentence)
    assert not re.search(r"[A-Za-z]{3,}", said.replace("token", "")), said


def test_a_bad_setting_is_refused_in_the_same_language() -> None:
    with pytest.raises(errors.BadRequest) as refused:
        check_settings({"top_k": 2.5}, Settings(), 100)
    assert say(refused.value.sentence) == "top_k 为 2.5；应为 0 到 1000 之间的整数。"


def test_the_whole_line_is_said() -> None:
    metrics = Metrics(84, 64, 256, queued_s=0.5, prefill_s=0.02, decode_s=1.0)
    reply = Reply("text", "length", num_left_out=2, ttft_s=0.04, elapsed_s=1.3, metrics=metrics)
    for one in (reply, replace(reply, finish_reason=None, elapsed_s=2 + NUMBERS_S)):
        html = Summary(Settings(), 300, 2048, say).html(one)
        words = re.sub(r"<[^>]*>", "", html)
        assert not re.search(
            r"[A-Za-z]{3,}", words.replace("token", "").replace("max_tokens", "").replace("max_s", "")
        ), words
