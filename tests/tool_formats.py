"""How each family of models writes its calls of tools, as it has been published, by the name of vLLM's parser."""

import json
from collections.abc import Callable, Sequence
from typing import Any

Call = tuple[str, dict[str, Any]]  # the tool's name, its arguments
Write = Callable[[Sequence[Call]], str]

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}},
        },
    },
]
ONE: list[Call] = [("get_weather", {"city": 'Köln, "Süd"', "days": 3})]
TWO: list[Call] = [*ONE, ("add", {"a": 1.5, "b": 2})]
# What the tokenizers of these families have as one token.
TOKENS = """
    <tool_call> </tool_call> <tool_calls> </tool_calls> <tool_sep> <arg_key> </arg_key> <arg_value> </arg_value>
    <|python_tag|> <|python_start|> <|python_end|> [TOOL_CALLS] [ARGS] <|tool_call_start|> <|tool_call_end|>
    <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜> <｜tool▁sep｜>
    <|tool_calls_section_begin|> <|tool_calls_section_end|> <|tool_call_begin|> <|tool_call_argument_begin|>
    <minimax:tool_call> </minimax:tool_call> <seed:tool_call> </seed:tool_call> <seed:think> </seed:think>
    <｜tool_calls_begin｜> <｜tool_calls_end｜> <｜tool_call_begin｜> <｜tool_call_end｜> <｜tool_sep｜>
    <|tools_prefix|> <|tools_suffix|> <|START_ACTION|> <|END_ACTION|> <|START_RESPONSE|> <|END_RESPONSE|>
    <|tool_call> <tool_call|> <|"|> <|channel> <channel|> <start_function_call> <end_function_call> <escape>
    <|tool_call|> <|function_call|> <|action_start|> <|action_end|> <|plugin|> <|message_model|> <|content_text|>
    <|content_thinking|> <|content_invoke_tool_json|> <|content_invoke_tool_text|> <|content_tool_error|>
    <|content_model_end_sampling|> <|end_message|> <|open|> <|close|> <|sep|> <|message|> <|eom|> <|eot|> <|start|>
    <longcat_tool_call> </longcat_tool_call> <dots_function_call> </dots_function_call>
""".split()


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> str:
    """Text as it is, and JSON of anything else."""
    return value if isinstance(value, str) else dump(value)


def named(calls: Sequence[Call], key: str = "arguments") -> list[dict[str, Any]]:
    return [{"name": name, key: arguments} for name, arguments in calls]


def each(begin: str, entry: str, end: str, between: str = "", around: tuple[str, str] = ("", "")) -> Write:
    """A writer of calls whose arguments are entries; the templates name `name`, `entries`, `key` and `value`."""

    def write(calls: Sequence[Call]) -> str:
        texts = []
        for name, arguments in calls:
            entries = "".join(
                entry.replace("KEY", key).replace("VALUE", plain(value)).replace("IS_TEXT", is_text(value))
                for key, value in arguments.items()
            )
            texts.append(begin.replace("NAME", name) + entries + end)
        return around[0] + between.join(texts) + around[1]

    return write


def is_text(value: Any) -> str:
    return "true" if isinstance(value, str) else "false"


def objects(begin: str, end: str, between: str = "", key: str = "arguments") -> Write:
    """A writer of one JSON object for each call."""
    return lambda calls: between.join(f"{begin}{dump(call)}{end}" for call in named(calls, key))


def array(begin: str, end: str) -> Write:
    """A writer of one JSON list of all calls."""
    return lambda calls: f"{begin}{dump(named(calls))}{end}"


def raw(begin: str, end: str, between: str = "", around: tuple[str, str] = ("", "")) -> Write:
    """A writer of the name in `begin`, and then the arguments alone as JSON."""
    return lambda calls: (
        around[0]
        + between.join(
            begin.replace("NAME", name).replace("NUMBER", str(number)) + dump(arguments) + end
            for number, (name, arguments) in enumerate(calls)
        )
        + around[1]
    )


def python(calls: Sequence[Call]) -> str:
    """Calls as Python writes them."""
    return ", ".join(
        f"{name}({', '.join(f'{key}={v!r}' for key, v in arguments.items())})" for name, arguments in calls
    )


def apertus(calls: Sequence[Call]) -> str:
    return f"<|tools_prefix|>{dump([{name: arguments} for name, arguments in calls])}<|tools_suffix|>"


def cohere(calls: Sequence[Call]) -> str:
    entries = [
        dump({"tool_call_id": str(number), "tool_name": name, "parameters": arguments})
        for number, (name, arguments) in enumerate(calls)
    ]
    return "<|START_ACTION|>[\n    " + ",\n    ".join(entries) + "\n]<|END_ACTION|>"


def gemma4(calls: Sequence[Call]) -> str:
    def value(one: Any) -> str:
        return f'<|"|>{one}<|"|>' if isinstance(one, str) else dump(one)

    entries = [(name, ",".join(f"{key}:{value(v)}" for key, v in arguments.items())) for name, arguments in calls]
    return "".join(f"<|tool_call>call:{name}{{{entry}}}<tool_call|>" for name, entry in entries)


def function_gemma(calls: Sequence[Call]) -> str:
    entries = [
        (name, ",".join(f"{key}:<escape>{plain(v)}<escape>" for key, v in arguments.items()))
        for name, arguments in calls
    ]
    return "".join(f"<start_function_call>call:{name}{{{entry}}}<end_function_call>" for name, entry in entries)


def inkling(calls: Sequence[Call]) -> str:
    entries = [dump({"name": name, "args": arguments}) for name, arguments in calls]
    return "".join(f"<|message_model|><|content_invoke_tool_json|>{entry}<|end_message|>" for entry in entries)


def kimi_k3(calls: Sequence[Call]) -> str:
    text = "<|open|>tools<|sep|>"
    for number, (name, arguments) in enumerate(calls):
        text += f'<|open|>call tool="{name}" index="{number}"<|sep|>'
        for key, value in arguments.items():
            kind = "string" if isinstance(value, str) else "number"
            text += f'<|open|>argument key="{key}" type="{kind}"<|sep|>{plain(value)}<|close|>argument<|sep|>'
        text += "<|close|>call<|sep|>"
    return text + "<|close|>tools<|sep|>"


def dsml(kind: str) -> Write:
    mark = "｜DSML｜"
    return each(
        f'<{mark}invoke name="NAME">\n',
        f'<{mark}parameter name="KEY" string="IS_TEXT">VALUE</{mark}parameter>\n',
        f"</{mark}invoke>\n",
        around=(f"<{mark}{kind}>\n", f"</{mark}{kind}>"),
    )


def invokes(begin: str, end: str) -> Write:
    entry = '<parameter name="KEY">VALUE</parameter>\n'
    return each('<invoke name="NAME">\n', entry, "</invoke>\n", around=(f"{begin}\n", end))


HERMES = objects("<tool_call>\n", "\n</tool_call>", "\n")
QWEN = each(
    "<tool_call>\n<function=NAME>\n",
    "<parameter=KEY>\nVALUE\n</parameter>\n",
    "</function>\n</tool_call>",
    between="\n",
)
GLM = each(
    "<tool_call>NAME\n",
    "<arg_key>KEY</arg_key>\n<arg_value>VALUE</arg_value>\n",
    "</tool_call>",
    between="\n",
)
DEEPSEEK = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")

FORMATS: dict[str, Write] = {
    "apertus": apertus,
    "cohere_command3": cohere,
    "cohere_command4": cohere,
    "deepseek_v3": raw(
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n", "\n```<｜tool▁call▁end｜>", "\n", DEEPSEEK
    ),
    "deepseek_v31": raw("<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "", DEEPSEEK),
    "deepseek_v32": dsml("function_calls"),
    "deepseek_v4": dsml("tool_calls"),
    "dots": invokes("<dots_function_call>", "</dots_function_call>"),
    "ernie45": HERMES,
    "functiongemma": function_gemma,
    "gemma4": gemma4,
    "gigachat3": objects("<|function_call|>", ""),
    "glm45": GLM,
    "glm47": lambda calls: GLM(calls).replace("\n", ""),
    "granite": array("<|tool_call|>", ""),
    "granite-20b-fc": objects("<function_call> ", ""),
    "granite4": HERMES,
    "hermes": HERMES,
    "hunyuan_a13b": array("<tool_calls>", "</tool_calls>"),
    "hy_v3": each(
        "<tool_call>NAME<tool_sep>\n",
        "<arg_key>KEY</arg_key>\n<arg_value>VALUE</arg_value>\n",
        "</tool_call>",
        between="\n",
        around=("<tool_calls>\n", "\n</tool_calls>"),
    ),
    "hy_v4": each(
        "<tool_call>NAME",
        "<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>",
        "</tool_call>",
        around=("<tool_calls>", "</tool_calls>"),
    ),
    "inkling": inkling,
    "internlm": objects("<|action_start|><|plugin|>\n", "<|action_end|>", key="parameters"),
    "jamba": array("<tool_calls>", "</tool_calls>"),
    "kimi_k2": raw(
        "<|tool_call_begin|>functions.NAME:NUMBER<|tool_call_argument_begin|>",
        "<|tool_call_end|>",
        around=("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    ),
    "kimi_k3": kimi_k3,
    "lfm2": lambda calls: f"<|tool_call_start|>[{python(calls)}]<|tool_call_end|>",
    "ling3": GLM,
    "llama3_json": objects("", "", "; ", "parameters"),
    "llama4_json": objects("", "", "; ", "parameters"),
    "llama4_pythonic": lambda calls: f"<|python_start|>[{python(calls)}]<|python_end|>",
    "longcat": objects("<longcat_tool_call>\n", "\n</longcat_tool_call>", "\n"),
    "mimo": QWEN,
    "minicpm5": each('<function name="NAME">', '<param name="KEY">VALUE</param>', "</function>", "\n"),
    "minimax_m2": invokes("<minimax:tool_call>", "</minimax:tool_call>"),
    "mistral": raw("[TOOL_CALLS]NAME[ARGS]", ""),
    "muse_glimmer": each(
        '<|start|>assistant to=NAME<|message|><atem:function_calls>\n<atem:invoke name="NAME">\n',
        '<atem:parameter name="KEY">VALUE</atem:parameter>\n',
        "</atem:invoke>\n</atem:function_calls><|eom|>",
    ),
    "olmo3": lambda calls: f"<function_calls>{chr(10).join(python([call]) for call in calls)}</function_calls>",
    "phi4_mini_json": array("functools", ""),
    "poolside_v1": GLM,
    "pythonic": lambda calls: f"[{python(calls)}]",
    "qwen3_coder": QWEN,
    "qwen3_xml": QWEN,
    "seed_oss": lambda calls: QWEN(calls).replace("tool_call>", "seed:tool_call>"),
    "step3": each(
        '<｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="NAME">',
        '<steptml:parameter name="KEY">VALUE</steptml:parameter>',
        "</steptml:invoke><｜tool_call_end｜>",
        between="\n",
        around=("<｜tool_calls_begin｜>\n", "\n<｜tool_calls_end｜>"),
    ),
    "step3p5": QWEN,
    "xlam": array("", ""),
}
# Families that write a single call, and families whose calls are a whole answer.
SINGLE = {"gigachat3", "internlm"}
ALONE = {"llama3_json", "llama4_json", "llama4_pythonic", "pythonic", "xlam"}
