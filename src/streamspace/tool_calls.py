"""How a model writes its calls of tools: from the operator's choice of vLLM's tool parsers, or from its chat template.

vLLM's parsers are given to its server through `suited` ones. Some of vLLM's lose text or calls if a delta ends at an
unlucky place, or if deltas are merged; those get the text from the first mark of a call on as a whole, when it has
ended. And the backend of constraints, llguidance, does not know the structural tags that vLLM makes for tools.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from vllm.tool_parsers import ToolParser, ToolParserManager

from streamspace.errors import ConfigError
from streamspace.tokenizer import template_of
from streamspace.types import Call, ReadCalls, ToolSpec
from streamspace.vllm_internals import (
    CALL,
    CALL_DELTA,
    CHAT_REQUEST,
    DELTA,
    FOUND,
    FUNCTION,
    FUNCTION_DELTA,
    IS_MISTRAL,
    find,
    is_0_26,
)

log = logging.getLogger(__name__)
_kind = cache(find)  # asked for each delta

# Families that share a mark with others, or whose templates say nothing of tools, by the type in their config.json.
TYPES = {
    "gpt_oss": "openai",
    "deepseek_v32": "deepseek_v32",
    "deepseek_v4": "deepseek_v4",
    "granitemoehybrid": "granite4",
    "laguna": "poolside_v1",
    "bailing_moe_v3": "ling3",
    "step3p5": "step3p5",
    "step3p7": "step3p5",
}
# What a family's chat template has in it, all of the marks; the first that fits counts.
TEMPLATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("mistral", ("[TOOL_CALLS]",)),
    ("openai", ("<|channel|>", "to=functions.")),
    ("kimi_k2", ("<|tool_calls_section_begin|>",)),
    ("kimi_k3", ("<|open|>", "<|sep|>")),
    ("deepseek_v3", ("<｜tool▁calls▁begin｜>", "```json")),
    ("deepseek_v31", ("<｜tool▁calls▁begin｜>",)),
    ("deepseek_v32", ("｜DSML｜", "function_calls")),
    ("deepseek_v4", ("｜DSML｜", "tool_calls")),
    ("minimax_m3", ("]<]minimax[>[",)),
    ("minimax_m2", ("<minimax:tool_call>",)),
    ("seed_oss", ("<seed:tool_call>",)),
    ("step3", ("<｜tool_calls_begin｜>",)),
    ("dots", ("<dots_function_call>",)),
    ("longcat", ("<longcat_tool_call>",)),
    ("functiongemma", ("<start_function_call>",)),
    ("gemma4", ("<|tool_call>",)),
    ("apertus", ("<|tools_prefix|>",)),
    ("lfm2", ("<|tool_call_start|>",)),
    ("lfm2", ("<|tool_list_start|>",)),
    ("cohere_command4", ("<|START_ACTION|>", "<|START_TEXT|>")),
    ("cohere_command3", ("<|START_ACTION|>",)),
    ("internlm", ("<|plugin|>",)),
    ("muse_glimmer", ("<atem:",)),
    ("inkling", ("<|content_invoke_tool_json|>",)),
    ("gigachat3", ("<|role_sep|>", "function call")),
    ("phi4_mini_json", ("<|/tool|>",)),
    ("granite", ("<|tool_call|>",)),
    ("granite-20b-fc", ("<function_call>",)),
    ("olmo3", ("<function_calls>",)),
    ("hy_v3", ("<tool_calls", "<tool_sep")),
    ("hy_v4", ("<tool_calls", "<arg_key")),
    ("jamba", ("<tool_calls>",)),
    ("hunyuan_a13b", ("<tool_calls>",)),
    ("ernie45", ("<tool_call>", "<response>")),
    ("glm45", ("<tool_call>", "<arg_key>")),
    ("qwen3_coder", ("<tool_call>", "<function=")),
    ("minicpm5", ("<function name=", "<param name=")),
    ("hermes", ("<tool_call>",)),
    ("xlam", ('[{"name": "tool_call_name"',)),
    ("xlam", ('[{\\"name\\": \\"tool_call_name\\"',)),
    ("llama4_pythonic", ("<|python_start|>",)),
    ("pythonic", ("[func_name1(",)),
    ("llama3_json", ("dictionary of argument name and its value",)),
)


@dataclass(frozen=True)
class Marks:
    """What begins the calls in a text: marks anywhere, or leads at its beginning."""

    anywhere: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()

    def begin(self, text: str, is_whole: bool = True) -> int:
        """Where the calls begin in a text, or may begin if more text may come; its length if they do not."""
        body = text.lstrip()
        if any(body.startswith(lead) or (not is_whole and lead.startswith(body)) for lead in self.leads):
            return len(text) - len(body)
        found = [at for mark in self.anywhere if (at := text.find(mark)) >= 0]
        if found or is_whole:
            return min(found, default=len(text))
        lengths = (n for mark in self.anywhere for n in range(1, len(mark)) if text.endswith(mark[:n]))
        return len(text) - max(lengths, default=0)


# The parsers of vLLM that are given the calls as a whole, and what their calls begin with.
WHOLE = {
    "apertus": Marks(("<|tools_prefix|>",)),
    "cohere_command3": Marks(("<|START_ACTION|>",)),
    "cohere_command4": Marks(("<|START_ACTION|>",)),
    "deepseek_v3": Marks(("<｜tool▁calls▁begin｜>",)),
    "deepseek_v31": Marks(("<｜tool▁calls▁begin｜>",)),
    "ernie45": Marks(("<tool_call>",)),
    "functiongemma": Marks(("<start_function_call>",)),
    "gigachat3": Marks(("<|function_call|>", "function call<|role_sep|>")),
    "granite": Marks(("<|tool_call|>", "<tool_call>")),
    "granite-20b-fc": Marks(("<function_call>",)),
    "hunyuan_a13b": Marks(("<tool_calls>",)),
    "internlm": Marks(("<|action_start|>",)),
    "jamba": Marks(("<tool_calls>",)),
    "llama3_json": Marks(("<|python_tag|>",), ("{",)),
    "llama4_json": Marks(("<|python_tag|>",), ("{",)),
    "llama4_pythonic": Marks(("<|python_start|>",), ("[",)),
    "minicpm5": Marks(("<function",)),
    "olmo3": Marks(("<function_calls>",)),
    "phi4_mini_json": Marks(("functools[",)),
    "pythonic": Marks((), ("[",)),
    "step3": Marks(("<｜tool_calls_begin｜>",)),
    "xlam": Marks(("<tool_call>", "[TOOL_CALLS]", "```json"), ("[",)),
}
# What calls begin with of the other parsers, for a page that shows none of them.
BEGIN = {name: Marks(marks[:1]) for name, marks in reversed(TEMPLATES)} | WHOLE
BEGIN |= dict.fromkeys(("glm47", "granite4", "ling3", "mimo", "poolside_v1", "qwen3_xml", "step3p5"), BEGIN["hermes"])
BEGIN |= {"deepseek_v32": Marks(("<｜DSML｜function_calls>",)), "deepseek_v4": Marks(("<｜DSML｜tool_calls>",))}
UNSUITED = ("openai", "kimi_k3")  # vLLM's server knows these two by their names


def check_tool_parser(name: str, plugin: str) -> None:
    """Raises ConfigError if vLLM has no such tool parser, or the file of the operator's plugin has none."""
    _read_plugin(plugin)
    known = ToolParserManager.list_registered()
    if name and name not in known:
        raise ConfigError(f"--tool-call-parser is {name!r}; there are {', '.join(sorted(known))}.")


@cache
def _read_plugin(path: str) -> None:
    if path:
        ToolParserManager.import_tool_parser(path)


def tool_parser_of(model_config: Any, chosen: str, tokenizer: Any) -> str:
    """The name of vLLM's parser for this model's calls, "" if the model has none; raises ConfigError.

    `chosen` is the operator's; ConfigError says that it does not suit the model.
    """
    for name in [chosen] if chosen else _fitting(model_config, tokenizer):
        try:
            ToolParserManager.get_tool_parser(name)(tokenizer, None)
            return name
        except (ImportError, KeyError, RuntimeError, ValueError) as error:
            if chosen:
                raise ConfigError(f"--tool-call-parser {chosen} does not suit this model: {error}") from None
            log.info("vLLM's tool parser %s does not suit this model: %s", name, error)
    return ""


def _fitting(model_config: Any, tokenizer: Any) -> Iterator[str]:
    """The parsers for what the model's type and chat template say, the best first."""
    known, template = ToolParserManager.list_registered(), template_of(tokenizer)
    if find(IS_MISTRAL)(tokenizer):
        yield "mistral"
        return
    if name := TYPES.get(model_config.hf_config.model_type):
        yield name
    # More than one, because the first may want tokens that this tokenizer does not have: Jamba's, to Hunyuan's.
    yield from (name for name, marks in TEMPLATES if name in known and all(mark in template for mark in marks))


def register(name: str, tokenizer: Any, backend: str) -> str:
    """Have vLLM know the suited parser for one of its own, and return its name; `backend` is that of constraints."""
    if name in UNSUITED or is_0_26() or find(IS_MISTRAL)(tokenizer):
        return name
    kind = ToolParserManager.get_tool_parser(name)
    suited = f"streamspace_{name}"
    ToolParserManager.register_module(suited, module=suited_parser(name, kind, backend == "guidance"))
    return suited


def can_read(name: str) -> bool:
    """Whether `reader` knows where the calls of this parser begin."""
    return name in BEGIN and name not in UNSUITED and not is_0_26()


def function_of(tool: ToolSpec) -> dict[str, Any]:
    """A tool in OpenAI's form, which chat templates take."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.schema}
    return {"type": "function", "function": function}


def reader(name: str, tokenizer: Any, tools: Sequence[ToolSpec]) -> ReadCalls:
    """How an answer is read that may call these tools, by one of vLLM's parsers that `can_read` knows."""
    functions = [function_of(tool) for tool in tools]
    request = _kind(CHAT_REQUEST)(messages=[], model="-", tools=functions, tool_choice="auto")
    kind = suited_parser(name, ToolParserManager.get_tool_parser(name), is_guidance=True)

    def read(text: str, is_whole: bool) -> tuple[str, tuple[Call, ...]]:
        begin = BEGIN[name].begin(text, is_whole)
        if begin == len(text) or not is_whole:
            return text[:begin], ()
        found = kind(tokenizer, request.tools).extract_tool_calls(text, request)
        calls = [Call(call.function.name, call.function.arguments, call.id) for call in found.tool_calls]
        return (found.content or "") if calls else text, tuple(calls)

    return read


def suited_parser(name: str, kind: type[ToolParser], is_guidance: bool) -> type[ToolParser]:
    """The class of a parser that has one of vLLM's read the calls."""
    own = {"kind": kind, "marks": WHOLE.get(name), "is_guidance": is_guidance}
    return type(f"Suited{kind.__name__}", (SuitedParser,), {**own, "structural_tag_model": kind.structural_tag_model})


class SuitedParser(ToolParser):
    """Reads the calls of one answer by vLLM's parser `kind`, however the text comes.

    Forced calls, of a named tool or of any, are JSON by the constraint of vLLM's `adjust_request`, and read as such.
    """

    kind: ClassVar[type[ToolParser]]
    marks: ClassVar[Marks | None]
    is_guidance: ClassVar[bool]
    supports_required_and_named = False  # `extract_tool_calls` gets these too
    engine_based_streaming = True  # vLLM then calls `finish_streaming`

    def __init__(self, tokenizer: Any, tools: Any = None) -> None:
        super().__init__(tokenizer, tools)
        self._inner: Any = self.kind(tokenizer, tools)
        self._request: Any = None
        self._text = ""
        self._token_ids: list[int] = []
        self._num_sent = 0  # characters of the text
        self._num_calls = 0
        self._said_by_inner = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.supports_required_and_named = False

    def adjust_request(self, request: Any) -> Any:
        """vLLM's hook before the prompt is made."""
        if not _is_forced(request):
            return self._inner.adjust_request(request)
        request = super().adjust_request(request)
        constraint = getattr(request, "structured_outputs", None)
        if request.tool_choice == "required" and constraint is not None and isinstance(constraint.json, dict):
            for call in constraint.json["items"]["anyOf"]:  # else a model may add to a call for ever
                call["additionalProperties"] = False
            if request.parallel_tool_calls is False:
                constraint.json["maxItems"] = 1
        return request

    def get_structural_tag(self, request: Any, *, reasoning: bool = False) -> Any:
        """The constraint on calls that the model makes by itself, of tools that are strict."""
        tag = None if _is_forced(request) else self._inner.get_structural_tag(request, reasoning=reasoning)
        return TagsForGuidance.of(tag.model_dump()) if tag and self.is_guidance else tag

    def get_remaining_unstreamed_args(self) -> str:
        """What vLLM adds to the arguments of the last call."""
        is_own = self.marks is not None or _is_forced(self._request)
        return "" if is_own else str(self._inner.get_remaining_unstreamed_args())

    def extract_tool_calls(self, model_output: str, request: Any) -> Any:
        """The calls and the text of a whole answer."""
        if request.tool_choice == "none":
            return _kind(FOUND)(tools_called=False, tool_calls=[], content=model_output)
        if _is_forced(request):
            calls, _ = _forced_calls(model_output, request)
            return _kind(FOUND)(tools_called=bool(calls), tool_calls=calls, content=None)
        begin = self.marks.begin(model_output) if self.marks else 0
        found = self._found(model_output[begin:], request)
        found.content = model_output[:begin] + (found.content or "") or None
        return found

    def _found(self, text: str, request: Any) -> Any:
        """What vLLM's parser finds in a text; it is no call if that fails."""
        try:
            return self._inner.extract_tool_calls(text, request)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.info("vLLM's parser failed at a call: %s", error)
            return _kind(FOUND)(tools_called=False, tool_calls=[], content=text)

    def extract_tool_calls_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
        request: Any,
    ) -> Any:
        """What of an answer can be sent by now."""
        before, ids_before = self._text, self._token_ids
        self._text, self._token_ids, self._request = before + delta_text, [*ids_before, *delta_token_ids], request
        if request.tool_choice == "none":
            return self._said(delta_text)
        if _is_forced(request):
            return self._forced(delta_text)
        if self.marks is not None:
            return self._said(self._text[self._num_sent : self.marks.begin(self._text, is_whole=False)])
        delta = self._inner.extract_tool_calls_streaming(
            before, self._text, delta_text, ids_before, self._token_ids, delta_token_ids, request
        )
        if delta is not None:
            self._said_by_inner += delta.content or ""
            self._num_calls += len(delta.tool_calls or ())
        return delta

    def finish_streaming(self) -> Any:
        """What is left when the text has ended."""
        if self._request is None or self._request.tool_choice == "none" or _is_forced(self._request):
            return None
        if self.marks is None:
            return self._inner.finish_streaming() if self._inner.engine_based_streaming else self._rest()
        found = self._found(self._text[self._num_sent :], self._request)
        calls = [_delta_of(call, number) for number, call in enumerate(found.tool_calls)]
        return _kind(DELTA)(content=found.content or None, tool_calls=calls) if calls or found.content else None

    def _rest(self) -> Any:
        """Text that looked like the beginning of a mark, and was none."""
        rest = self._text.removeprefix(self._said_by_inner)
        is_kept = not self._num_calls and (rest != self._text or not self._said_by_inner)
        return self._said(rest) if is_kept else None

    def _said(self, text: str) -> Any:
        self._num_sent += len(text)
        return _kind(DELTA)(content=text) if text else None

    def _forced(self, delta_text: str) -> Any:
        """Calls as they are complete; the arguments of a named tool as they come."""
        if name := _name_of(self._request.tool_choice):
            is_first = not self._num_calls
            self._num_calls = 1
            function = _kind(FUNCTION_DELTA)(name=name if is_first else None, arguments=delta_text)
            begin = {"id": _call(name, "").id, "type": "function"} if is_first else {}
            return _kind(DELTA)(tool_calls=[_kind(CALL_DELTA)(index=0, function=function, **begin)])
        calls, self._num_sent = _forced_calls(self._text, self._request, self._num_sent)
        number = self._num_calls
        self._num_calls += len(calls)
        return _kind(DELTA)(tool_calls=[_delta_of(call, number + n) for n, call in enumerate(calls)]) if calls else None


@dataclass(frozen=True)
class TagsForGuidance:
    """Structural tags in the form that vLLM's backend for llguidance takes."""

    triggers: list[str]
    structures: list[dict[str, Any]]

    @classmethod
    def of(cls, tag: dict[str, Any]) -> "TagsForGuidance | None":
        """The same as one of xgrammar's; None if the arguments in it are no JSON."""
        form = tag["format"]
        tags = form.get("tags", ()) if form["type"] == "triggered_tags" else ()
        if not tags or any(t["content"].get("style") != "json" for t in tags):
            return None
        structures = [{"begin": t["begin"], "schema": t["content"]["json_schema"], "end": t["end"]} for t in tags]
        return cls(form["triggers"], structures)

    def model_dump(self) -> dict[str, Any]:
        """What vLLM makes JSON of."""
        return {"triggers": self.triggers, "structures": self.structures}


def _is_forced(request: Any) -> bool:
    choice = getattr(request, "tool_choice", None)
    return choice == "required" or bool(_name_of(choice))


def _name_of(choice: Any) -> str:
    """The name of the tool that a request names; "" if it names none."""
    return "" if choice is None or isinstance(choice, str) else getattr(getattr(choice, "function", choice), "name", "")


def _forced_calls(text: str, request: Any, begin: int = 0) -> tuple[list[Any], int]:
    """The complete calls in a text from `begin` on, and where the rest begins."""
    if name := _name_of(request.tool_choice):
        return ([_call(name, text)] if text.strip() else []), len(text)
    calls = []
    while (at := text.find("{", begin)) >= 0:
        try:
            call, begin = json.JSONDecoder().raw_decode(text, at)
        except ValueError:  # more of it has to come
            break
        arguments = json.dumps(call.get("parameters", {}), ensure_ascii=False)
        calls.append(_call(call.get("name", ""), arguments))
    return calls, begin


def _call(name: str, arguments: str) -> Any:
    return _kind(CALL)(function=_kind(FUNCTION)(name=name, arguments=arguments))


def _delta_of(call: Any, index: int) -> Any:
    function = _kind(FUNCTION_DELTA)(name=call.function.name, arguments=call.function.arguments)
    return _kind(CALL_DELTA)(index=index, id=call.id, type="function", function=function)
