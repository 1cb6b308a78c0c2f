"""The bundled model calls the calculator and the clock: fifty questions by the page, /v1 and /v1/messages."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from streamspace.config import BUNDLED_MODEL
from streamspace.tool_calls import function_of
from streamspace.toolbox import OWN, calculate, written
from streamspace.types import ToolSpec
from tests.openai_client import MODEL, client_of
from tests.support import Running, run_application
from tests.wire import Site, Tab, added_up

MAKE = BUNDLED_MODEL.parent / "make"
CLOCK, CALCULATOR = (tool.spec for tool in OWN)
# What people ask, and what they would type into a calculator.
QUESTIONS = tuple(
    tuple(line.split(" | "))
    for line in """
What is 4827 * 391? | 4827 * 391
How much is 90210 - 4477? | 90210 - 4477
Calculate 7.5 * 48 | 7.5 * 48
What is 15% of 2480? | 2480 * 15 / 100
What is 98765 divided by 5? | 98765 / 5
12345 + 67890 | 12345 + 67890
Can you work out (384 + 216) * 7 for me? | (384 + 216) * 7
What is 2 to the power of 11? | 2 ** 11
What is 47 squared? | 47 ** 2
Multiply 1024 by 768. | 1024 * 768
Subtract 1999 from 54321. | 54321 - 1999
What is the sum of 3456, 7890 and 123? | 3456 + 7890 + 123
One ticket costs 37. What do 245 tickets cost? | 37 * 245
A box holds 144 eggs. How many are in 38 boxes? | 144 * 38
Share 7344 cards among 24 people. How many does each get? | 7344 / 24
What is the remainder of 1000 divided by 37? | 1000 % 37
What is the average of 418 and 736? | (418 + 736) / 2
I have 500 euros and buy 12 books at 23 each. What is left? | 500 - 12 * 23
What's 88*77? | 88 * 77
how much is 6021 + 999 + 45 | 6021 + 999 + 45
Tell me 19.99 * 3 | 19.99 * 3
What is half of 9138? | 9138 / 2
What is 640 times 480? | 640 * 480
Please calculate 1234 - 56 * 7 | 1234 - 56 * 7
Divide 10000 by 16. | 10000 / 16
A car drives 612 km a day. How far does it get in 14 days? | 612 * 14
What is twice 45678? | 45678 * 2
4827乘以391是多少？ | 4827 * 391
90210减4477等于多少？ | 90210 - 4477
计算 7.5 * 48 | 7.5 * 48
2480的15%是多少？ | 2480 * 15 / 100
98765除以5等于多少 | 98765 / 5
12345+67890=？ | 12345 + 67890
请计算 (384 + 216) * 7 | (384 + 216) * 7
2的11次方是多少？ | 2 ** 11
47的平方是多少 | 47 ** 2
求1024乘768 | 1024 * 768
从54321里减去1999得多少 | 54321 - 1999
3456、7890和123一共是多少？ | 3456 + 7890 + 123
一张票37元，245张多少元？ | 37 * 245
一箱有144个鸡蛋，38箱有多少个？ | 144 * 38
7344个贴纸分给24个人，每人几个？ | 7344 / 24
1000除以37余几？ | 1000 % 37
418和736的平均数是多少？ | (418 + 736) / 2
我有500元，买了12个杯子，每个23元，还剩多少元？ | 500 - 12 * 23
算一下 6021 + 999 + 45 | 6021 + 999 + 45
9138的一半是多少？ | 9138 / 2
640与480的积是多少 | 640 * 480
帮我算 1234 - 56 * 7 | 1234 - 56 * 7
汽车每天开612公里，14天开多远？ | 612 * 14
""".strip().splitlines()
)
Answer = tuple[tuple[str, ...], str]  # the expressions of all calls, and what was said in the end
ENOUGH = 45


@pytest.fixture(scope="module")
def acting() -> Iterator[Running]:
    with run_application("--tools", "time,calculator", MODEL_ID=str(BUNDLED_MODEL)) as application:
        yield application


@pytest.fixture(scope="module")
def client(acting: Running) -> Iterator[OpenAI]:
    with client_of(acting.url) as client:
        yield client


@pytest.fixture(scope="module")
def claude(acting: Running) -> Iterator[Anthropic]:
    with Anthropic(base_url=acting.url, api_key="any", max_retries=0) as client:
        yield client


def by_page(running: Running, question: str, tools: Sequence[ToolSpec] = (CALCULATOR,), **values: Any) -> Answer:
    """Ask in a tab of its own, with these tools switched on."""
    site: Any = Site(running.url, running.engine, running.demo)  # type: ignore[arg-type]
    asked = {"system_prompt": "", "tools": [tool.name for tool in tools], "temperature": 0, **values}
    turn = turn_of(added_up(Tab(site).answer(question, **asked))[-1])
    *steps, answer = ["".join(part["text"] for part in message["content"]) for message in turn[1:]]
    return tuple(map(expression_in, steps)), answer


def turn_of(values: Sequence[Any]) -> list[Any]:
    """The question, the folds and the answer among what a frame brings."""
    return next(value for value in values if isinstance(value, list) and value and "role" in value[0])


def expression_in(fold: str) -> str:
    """The expression in a fold that shows a call."""
    begin = fold.index("{")
    return str(json.JSONDecoder().raw_decode(fold, begin)[0].get("expression", ""))


def by_openai(client: OpenAI, question: str) -> Answer:
    """The loop of a client: ask, run the calls, ask again."""
    messages: list[Any] = [{"role": "user", "content": question}]
    expressions: list[str] = []
    tools: Any = [function_of(CALCULATOR)]
    for _ in range(3):
        asked = {"model": MODEL, "messages": messages, "tools": tools, "temperature": 0, "max_tokens": 200}
        message: Any = client.chat.completions.create(**asked).choices[0].message
        if not message.tool_calls:
            break
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            expressions.append(json.loads(call.function.arguments)["expression"])
            result = written(calculate(expressions[-1]))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return tuple(expressions), message.content or ""


def by_anthropic(claude: Anthropic, question: str) -> Answer:
    """The same with Anthropic's client."""
    messages: list[Any] = [{"role": "user", "content": question}]
    expressions: list[str] = []
    tool = {"name": CALCULATOR.name, "description": CALCULATOR.description, "input_schema": CALCULATOR.schema}
    for _ in range(3):
        asked: Any = {"model": MODEL, "messages": messages, "tools": [tool], "max_tokens": 200}
        message: Any = claude.messages.create(**asked, extra_body={"temperature": 0})
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            break
        expressions += [call.input["expression"] for call in calls]
        messages.append({"role": "assistant", "content": [block.model_dump() for block in message.content]})
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": written(calculate(call.input["expression"]))}
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
    return tuple(expressions), "".join(block.text for block in message.content if block.type == "text")


def is_right(answer: Answer, expression: str) -> bool:
    return answer[0] == (expression,) and written(calculate(expression)) in answer[1]


def test_fifty_sums_are_calculated_by_every_way_in(acting: Running, client: OpenAI, claude: Anthropic) -> None:
    ways: dict[str, Callable[[str], Answer]] = {
        "page": partial(by_page, acting),
        "/v1": partial(by_openai, client),
        "/v1/messages": partial(by_anthropic, claude),
    }
    with ThreadPoolExecutor(8) as pool:
        answers = {way: [*pool.map(ask, [question for question, _ in QUESTIONS])] for way, ask in ways.items()}
    assert len(QUESTIONS) == 50
    for way, given in answers.items():
        wrong = [(q, a) for (q, e), a in zip(QUESTIONS, given, strict=True) if not is_right(a, e)]
        print(f"{way}: {50 - len(wrong)} of 50 right; not {wrong}")
        assert 50 - len(wrong) >= ENOUGH, wrong
    calls = {way: [expressions for expressions, _ in given] for way, given in answers.items()}
    assert calls["page"] == calls["/v1"] == calls["/v1/messages"]


@pytest.mark.parametrize(
    ("question", "says"),
    [("What time is it?", "It is "), ("What day is it today?", "Today is "), ("现在几点？", "现在是")],
)
def test_the_clock_is_asked(acting: Running, question: str, says: str) -> None:
    calls, said = by_page(acting, question, (CLOCK, CALCULATOR))
    assert len(calls) == 1 and said.startswith(says) and any(letter.isdigit() or "day" in said for letter in said)


@pytest.mark.parametrize("question", ["Who are you?", "What is a KV cache?", "你是谁？", "Tell me a short story."])
def test_a_question_that_needs_no_tool_calls_none(acting: Running, question: str) -> None:
    calls, said = by_page(acting, question, (CLOCK, CALCULATOR))
    assert not calls and len(said) > 20 and "tool_call" not in said


def test_a_call_is_never_seen_half(acting: Running) -> None:
    site: Any = Site(acting.url, acting.engine, acting.demo)  # type: ignore[arg-type]
    asked = {"system_prompt": "", "tools": ["calculator"], "temperature": 0}
    frames = added_up(Tab(site).answer("What is 4827 * 391?", **asked))
    assert "1887357" in str(frames[-1]) and "tool_call" not in str(frames)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports one of the scripts that made the model."""
    monkeypatch.syspath_prepend(str(MAKE))
    return import_module


def test_the_model_was_taught_the_tools_that_there_are(maker: Callable[[str], Any]) -> None:
    tools = maker("tools")
    for taught, spec in ((tools.CALCULATORS[0], CALCULATOR), (tools.CLOCKS[0], CLOCK)):
        assert taught == (spec.name, *spec.schema["properties"], spec.description)


@pytest.mark.parametrize(("name", "script"), [("streamspace-tiny", "chatml"), ("streamspace-tiny-vision", "eyes")])
def test_a_template_writes_what_the_training_text_has(maker: Callable[[str], Any], name: str, script: str) -> None:
    template = BUNDLED_MODEL.with_name(name) / "chat_template.jinja"
    assert template.read_text(encoding="utf-8") == maker(script).CHAT_TEMPLATE
