"""The recipe of docs/architecture.md, followed with a parameter that vLLM has and this application has not."""

import asyncio
import sys
from contextlib import aclosing
from dataclasses import make_dataclass
from typing import Any

import gradio as gr
import pytest

from streamspace.checks import Range
from streamspace.errors import BadRequest
from streamspace.sampling import PARAMETERS, Parameter, Settings, check_settings
from streamspace.ui import StreamingBlocks, build_demo
from tests.fake import FakePageEngine, deltas
from tests.support import admission_of

NAME = "frequency_penalty"
ROW = Parameter(float, "Above 0 discourages tokens the more, the more often they were there", 0.5, Range(-2, 2), 0.05)
REFUSAL = f"{NAME} is 9; allowed is a number from -2 to 2."


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakePageEngine:
    """An engine under a page that has the parameter: a field of Settings, and a row of the table."""
    settings: Any = make_dataclass("Settings", [(NAME, float, 0.0)], bases=(Settings,), frozen=True)
    for module in [module for name, module in sys.modules.items() if name.startswith("streamspace")]:
        if getattr(module, "Settings", None) is Settings:
            monkeypatch.setattr(module, "Settings", settings)
    monkeypatch.setitem(PARAMETERS, NAME, ROW)
    engine = FakePageEngine(deltas("an answer"))
    engine.defaults = settings()
    return engine


def page(engine: FakePageEngine) -> StreamingBlocks:
    return build_demo(engine, admission_of(engine))


def event(demo: StreamingBlocks, handler: str) -> Any:
    """The first event with this handler."""
    return next(fn for fn in demo.fns.values() if getattr(fn.fn, "__name__", "") == handler)


def ask(demo: StreamingBlocks, handler: str, *before: Any, **changes: Any) -> None:
    """Run a handler to its end, with the values that its components begin with but for these, by id or label."""
    fn = event(demo, handler)
    values = {"chat": [], **changes}
    inputs = [values.get(part.elem_id or part.label, getattr(part, "value", None)) for part in fn.inputs]

    async def act() -> None:
        async with aclosing(fn.fn(*before, *inputs)) as frames:
            async for _ in frames:
                pass

    asyncio.run(act())


@pytest.mark.parametrize(
    ("handler", "before"),
    [("_answer", [gr.EventData(None, None)]), ("run", []), ("_compare", []), ("chat", []), ("complete", [])],
)
def test_it_goes_from_every_entrypoint_to_the_engine(engine: FakePageEngine, handler: str, before: list[Any]) -> None:
    demo, texts = page(engine), {"message": "Hi", "prompt": "Hi"}
    ask(demo, handler, *before, **texts, **{NAME: 1.5})
    assert {getattr(settings, NAME) for settings in engine.settings} == {1.5}
    with pytest.raises(gr.Error) as refused:
        ask(demo, handler, *before, **texts, **{NAME: 9})
    assert str(refused.value.message).endswith(REFUSAL)


def test_each_tab_has_one_control_for_it_that_explains_it(engine: FakePageEngine) -> None:
    demo = page(engine)
    for handler in ("_answer", "run", "_compare"):
        fn = event(demo, handler)
        (control,) = [part for part in fn.inputs if part.label == NAME]
        assert isinstance(control, gr.Slider) and control.info == ROW.info
        assert (control.minimum, control.maximum, control.step, control.value) == (-2, 2, 0.05, 0.0)


@pytest.mark.parametrize(("endpoint", "default"), [("/chat", None), ("/complete", 0.0)])
def test_the_endpoints_take_it_last_and_explain_it(engine: FakePageEngine, endpoint: str, default: Any) -> None:
    parameters = page(engine).get_api_info()["named_endpoints"][endpoint]["parameters"]
    *_, last = [each for each in parameters if each["parameter_name"] != "images"]  # which are sent by their name
    assert (last["parameter_name"], last["parameter_default"], last["example_input"]) == (NAME, default, 0.5)
    assert last["python_type"]["description"] == f"{ROW.info} (-2 to 2)."


@pytest.mark.usefixtures("engine")
def test_the_check_refuses_what_is_out_of_range() -> None:
    with pytest.raises(BadRequest) as refused:
        check_settings({NAME: 9}, Settings(), 100)
    assert str(refused.value) == REFUSAL


def test_without_the_recipe_there_is_no_such_parameter() -> None:
    with pytest.raises(BadRequest, match=f"There is no sampling parameter '{NAME}'"):
        check_settings({NAME: 0.5}, Settings(), 100)


def test_the_table_has_a_row_for_each_field_that_a_visitor_sets_by_name() -> None:
    assert set(PARAMETERS) == set(vars(Settings())) - {"constraint", "logprobs", "tools"}
    for name, parameter in PARAMETERS.items():
        assert parameter.info and not parameter.info.endswith(".")
        assert (parameter.range is None) is (parameter.check is not None), name
        if parameter.example is not None:
            assert check_settings({name: parameter.example}, Settings(), 100)
