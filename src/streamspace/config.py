"""The operator's choices, read once: environment and command line → one frozen Config.

Each of our options has a flag and an environment variable, because a Space has no command line; the flag wins. All of
vLLM's engine flags pass through under vLLM's own names (`--max-model-len 4096` or MAX_MODEL_LEN=4096). Their names are
read from the text of the installed vLLM, because importing it takes 5 to 10 seconds. `streamspace.flag_values` checks
their values, and then `streamspace.flags` has vLLM's own parser do so.
"""

import argparse
import difflib
import importlib.util
import json
import os
import re
import shlex
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from streamspace.errors import ConfigError
from streamspace.flag_values import check_arguments, check_variable, given_flags
from streamspace.hardware import has_gpu
from streamspace.mcp_servers import McpServer, servers_of
from streamspace.words import Words, read_words

BUNDLED_MODEL = Path(__file__).parents[2] / "models" / "streamspace-tiny"
GPU_MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off", "")
HOST = "GRADIO_SERVER_NAME"
LOCAL = ("127.0.0.1", "localhost", "::1")  # which nobody on another machine can reach
MOST_WORDS = 300  # characters of a quotation from vLLM
OWN_WORDS = Words()
OWN_TOOLS = ("time", "calculator")  # of `toolbox`
SIGN_IN = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")  # what a Space sets
# The flags of vLLM's server that change its answers; the flags for listening and for authentication are ours.
SERVER_FLAGS = (
    *("--chat-template", "--enable-auto-tool-choice", "--tool-call-parser", "--tool-parser-plugin"),
    "--allowed-origins",
)


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter: its name for visitors and clients, and its hub id or folder."""

    name: str
    source: str


def _switch(value: str) -> bool:
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise ValueError("1, true, yes or on; 0, false, no or off")


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def cast(value: str) -> int:
        with suppress(ValueError):
            if least <= (number := int(value)) <= most:
                return number
        raise ValueError(f"a whole number from {least} to {most}")

    return cast


def _keys(value: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in value.split(","))
    if not all(keys):
        raise ValueError("a key, or several with commas between them")
    return keys


def _dataset(value: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", value, re.ASCII):
        raise ValueError("a dataset's id, owner/name")
    return value


def _tools(value: str) -> tuple[str, ...]:
    names = tuple(filter(None, re.split(r"[\s,]+", value)))
    if not set(names) <= set(OWN_TOOLS):
        raise ValueError("time, calculator, or both with a comma between them")
    return names


def _adapters(value: str) -> tuple[Adapter, ...]:
    allowed = ValueError("name=hub id or folder, several with spaces between, each name once")
    try:
        pairs = [word.partition("=") for word in shlex.split(value)]
    except ValueError:  # a quote that is never closed
        raise allowed from None
    adapters = tuple(Adapter(name, source) for name, _, source in pairs)
    if not all(a.name and a.source for a in adapters) or len({a.name for a in adapters}) < len(adapters):
        raise allowed
    return adapters


def _name_and_password(value: str) -> tuple[str, str]:
    name, _, password = value.partition(":")
    if not name.strip() or not password:
        raise ValueError("a name and a password with a colon between them, such as ada:long-secret")
    return name.strip(), password


def _option(
    env: str, flag: str, help: str, default: Any, cast: Callable[[str], Any] = str, secret: bool = False
) -> Any:
    """A dataclass field with the sources of its value; `default` may be a function of the environment."""
    where = {"env": env, "flag": flag, "help": help, "default": default, "cast": cast, "secret": secret}
    return field(repr=not secret, metadata=where)


def _host(value: str) -> str:
    return value.removeprefix("[").removesuffix("]")  # as an IPv6 address stands in a URL


def why_public(host: str, space_id: str | None) -> str | None:
    """Why this is a public place, where strangers come: a Space, or any host but this machine alone; else None."""
    if space_id:
        return "it is a Space"
    return None if host in LOCAL or host.startswith("127.") else f"it listens on {host}"


def _on_a_space(there: Any, elsewhere: Any) -> Callable[[Mapping[str, str]], Any]:
    return lambda environ: there if environ.get("SPACE_ID") else elsewhere


def _in_public(there: Any, elsewhere: Any) -> Callable[[Mapping[str, str]], Any]:
    """By the environment, in which `load_config` puts the host of the command line."""

    def default(environ: Mapping[str, str]) -> Any:
        host = _host(environ.get(HOST) or LOCAL[0])
        return there if why_public(host, environ.get("SPACE_ID")) else elsewhere

    return default


def _with_gpu(there: Any, elsewhere: Any) -> Callable[[Mapping[str, str]], Any]:
    return lambda environ: there if has_gpu(environ) else elsewhere


def _key_of_vllm(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The key from the environment variable of vLLM's own server."""
    return (environ["VLLM_API_KEY"],) if environ.get("VLLM_API_KEY") else ()


@dataclass(frozen=True)
class Config:
    """The operator's choices, made by `load_config`."""

    # fmt: off
    model: str = _option(
        "MODEL_ID", "--model", "hub id or local folder of the model", _with_gpu(GPU_MODEL, str(BUNDLED_MODEL)))
    revision: str | None = _option("MODEL_REVISION", "--revision", "branch, tag or commit of the model", None)
    hf_token: str | None = _option("HF_TOKEN", "--hf-token", "token for gated and private models", None, secret=True)
    adapters: tuple[Adapter, ...] = _option(
        "LORA_MODULES", "--lora-modules", "LoRA adapters to choose from: name=hub id or folder, several with spaces",
        (), _adapters)
    system_prompt: str = _option("SYSTEM_PROMPT", "--system-prompt", "system prompt that a new chat starts with", "")
    page: Words = _option(  # noqa: RUF009
        "PAGE", "--page", "the page's own words, as JSON or the name of a JSON file", OWN_WORDS, read_words)
    max_tokens: int = _option(
        "MAX_TOKENS", "--max-tokens", "most tokens that one answer may have", 2048, _whole_number(1, 1_000_000))
    max_prompt_tokens: int = _option(
        "MAX_PROMPT_TOKENS", "--max-prompt-tokens", "most tokens that one prompt may have; 0 is as many as the context",
        0, _whole_number(0, 100_000_000))
    images_per_message: int = _option(
        "IMAGES_PER_MESSAGE", "--images-per-message", "most pictures in one message, for a model that sees; 0 is none",
        4, _whole_number(0, 1000))
    max_seconds: int = _option(
        "MAX_SECONDS", "--max-seconds", "most seconds that one answer may take",
        _in_public(300, 3600), _whole_number(1, 86_400))
    answers_per_visitor: int = _option(
        "ANSWERS_PER_VISITOR", "--answers-per-visitor", "most answers at once for one visitor; 0 is no limit",
        _in_public(1, 0), _whole_number(0, 1_000_000))
    queue_length: int = _option(
        "QUEUE_LENGTH", "--queue-length", "most requests that wait while the engine is full; 0 is no limit",
        _in_public(256, 1024), _whole_number(0, 1_000_000))
    requests_per_minute: int = _option(
        "REQUESTS_PER_MINUTE", "--requests-per-minute", "most requests a minute from one address; 0 is no limit",
        _in_public(30, 0), _whole_number(0, 1_000_000))
    connections_per_address: int = _option(
        "CONNECTIONS_PER_ADDRESS", "--connections-per-address",
        "most connections at once from one address; 0 is no limit", _in_public(256, 0), _whole_number(0, 1_000_000))
    feedback_dataset: str | None = _option(
        "FEEDBACK_DATASET", "--feedback-dataset", "private dataset on the hub for visitors' votes; without it none",
        None, _dataset)
    hang_timeout: int = _option(  # longer on a CPU, where a whole prompt is one step
        "HANG_TIMEOUT", "--hang-timeout", "seconds that the engine may take for one step; then it is restarted",
        _with_gpu(60, 300), _whole_number(1, 86_400))
    try_anyway: bool = _option(
        "TRY_ANYWAY", "--try-anyway", "load the model even if its weights seem too big for this machine", False,
        _switch)
    host: str = _option(
        HOST, "--host", "address to listen on; 0.0.0.0 is every address of IPv4, :: of IPv6 and IPv4",
        _on_a_space("0.0.0.0", LOCAL[0]), _host)
    port: int = _option("GRADIO_SERVER_PORT", "--port", "port to listen on", 7860, _whole_number(1, 65535))
    share: bool = _option("GRADIO_SHARE", "--share", "also open a temporary public link", False, _switch)
    auth: tuple[str, str] | None = _option(
        "GRADIO_AUTH", "--auth", "name:password that the page asks for", None, _name_and_password, secret=True)
    hf_login: bool = _option(
        "HF_LOGIN", "--hf-login", "have visitors sign in with Hugging Face, on a Space with hf_oauth: true",
        False, _switch)
    api_keys: tuple[str, ...] = _option(
        "API_KEY", "--api-key", "keys of the OpenAI API at /v1, separated by commas", _key_of_vllm, _keys, secret=True)
    tools: tuple[str, ...] = _option(
        "TOOLS", "--tools", "tools that visitors may switch on in the chat: time, calculator or both", (), _tools)
    mcp_servers: tuple[McpServer, ...] = _option(
        "MCP_SERVERS", "--mcp-servers", "MCP servers whose tools visitors may switch on in the chat, as JSON",
        (), servers_of, secret=True)
    # fmt: on
    space_id: str | None = None  # owner/name on a Hugging Face Space, set there by the platform
    engine_arguments: tuple[str, ...] = ()  # vLLM's flags from the command line, as they stand there
    engine_environ: tuple[tuple[str, str], ...] = ()  # (flag, value) for vLLM's flags from the environment

    def flag_value(self, *names: str) -> str:
        """The operator's value of one of vLLM's flags by any of its names; empty if there is none."""
        given = dict(self.engine_environ) | {
            name: values[0] for name, values in given_flags(self.engine_arguments) if values
        }
        return next((given[name] for name in reversed(names) if name in given), "")

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins whose pages may ask /v1 from a browser, by vLLM's flag; raises ConfigError. None by default."""
        value = self.flag_value("--allowed-origins", "--allowed_origins")
        try:
            origins = json.loads(value or "[]")
        except ValueError:
            origins = None
        if not isinstance(origins, list) or not all(isinstance(origin, str) for origin in origins):
            raise ConfigError(f'--allowed-origins is {value!r}; allowed is a JSON list such as ["https://a.example"].')
        return tuple(origins)

    @property
    def has_own_tokenizer(self) -> bool:
        """Whether the tokenizer must be a file of the model's, as far as is known without vLLM."""
        flags = ("--tokenizer", "--config", "--skip-tokenizer-init", "--trust-remote-code")
        return not any(name in self.engine_arguments or self.flag_value(name) for name in flags)

    @property
    def trusts_remote_code(self) -> bool:
        """Whether vLLM may run the Python files of the model's repository, which must then be fetched too."""
        environ = dict(self.engine_environ).get("--trust-remote-code", "")
        return "--trust-remote-code" in self.engine_arguments or environ.lower() in TRUE

    @property
    def wants_compilation(self) -> bool:
        """Whether the operator turned `--enforce-eager` off, which is on by default without a GPU."""
        environ = dict(self.engine_environ).get("--enforce-eager", "1")
        return "--no-enforce-eager" in self.engine_arguments or environ.lower() in FALSE

    @property
    def serves_openai(self) -> bool:
        """Whether /v1 is on: always with a key; without one, not in a public place, nor with --share or --auth."""
        return bool(self.api_keys) or not (self.why_public or self.share or self.auth)

    @property
    def why_public(self) -> str | None:
        """Why this is a public place, where defaults are stricter and /v1 wants a key; else None."""
        return why_public(self.host, self.space_id)

    @property
    def is_bundled(self) -> bool:
        """Whether the model is the one that comes with the project."""
        return Path(self.model) == BUNDLED_MODEL

    @property
    def model_name(self) -> str:
        """The model's name for visitors: the whole hub id, or the last part of a folder."""
        return Path(self.model).name if is_path(self.model) else self.model

    @property
    def model_card(self) -> str | None:
        """The address of the model's card on the hub; None for a local folder."""
        return None if is_path(self.model) else f"https://huggingface.co/{self.model}"


OPTIONS = {f.name: f.metadata for f in fields(Config) if f.metadata}


def is_path(model: str) -> bool:
    """Whether a model is a local folder: its name begins like a path, or there is a folder of that name."""
    return model.startswith(("/", ".", "~")) or Path(model).is_dir()


def without_folders(words: str, most: int = MOST_WORDS) -> str:
    """A quotation from vLLM in one line, without folders and the full stop; cut at `most` characters, 0 is never."""
    words = re.sub(r"(?<![\w:/])/(?:[^\s/:'\"]+/)+", "", " ".join(words.split())).rstrip(".")
    return f"{words[:most]}…" if 0 < most < len(words) else words


def defaults(environ: Mapping[str, str]) -> dict[str, Any]:
    """The values of the options that are neither on the command line nor in the environment."""
    values = {name: option["default"] for name, option in OPTIONS.items()}
    return {name: value(environ) if callable(value) else value for name, value in values.items()}


def load_config(arguments: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Config:
    """Read the command line and the environment.

    Raises:
        ConfigError: neither we nor vLLM have such an option, its value is not allowed, or there is no temporary folder.
            What only vLLM knows of the values of its flags is checked when it is there, before anything is fetched.
        SystemExit: after `--help` was printed.
    """
    options, rest = _parser().parse_known_args(list(arguments))
    _check_temporary_folder()
    values = defaults({**environ, HOST: options.host or environ.get(HOST, "")})
    for name, option in OPTIONS.items():
        if value := environ.get(option["env"]):
            values[name] = cast_option(option, option["env"], value)
        if (value := getattr(options, name)) is not None:
            value = value if isinstance(value, str) else shlex.join(value)
            values[name] = cast_option(option, option["flag"], value)
    _refuse_unknown(rest)
    check_arguments(rest)
    space_id = environ.get("SPACE_ID") or None
    engine_environ = _engine_environ(environ)
    config = Config(**values, space_id=space_id, engine_arguments=tuple(rest), engine_environ=engine_environ)
    if config.hf_login:
        _check_sign_in(config, environ)
    if config.model_name in [adapter.name for adapter in config.adapters]:
        raise ConfigError(f"A LoRA adapter cannot be called {config.model_name!r}, for so is the model called.")
    return config


def _check_sign_in(config: Config, environ: Mapping[str, str]) -> None:
    if config.auth:
        raise ConfigError("HF_LOGIN and GRADIO_AUTH are two logins: choose one.")
    missing = [name for name in ("SPACE_ID", *SIGN_IN) if not environ.get(name)]
    if environ.get("SYSTEM") != "spaces":  # without it Gradio's sign-in is a mock, which lets everybody in
        missing.append("SYSTEM")
    if missing:
        raise ConfigError(f"HF_LOGIN needs a Space whose README.md says `hf_oauth: true`, which sets {missing[0]}.")


def _check_temporary_folder() -> None:
    """Gradio, vLLM and multiprocessing need one, and their own errors do not say so."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise ConfigError(
            "There is no temporary folder that can be written, as on a full disk: make room, or set TMPDIR to one."
        ) from None


def engine_flags() -> list[str]:
    """The long names of vLLM's flags that pass through, without importing vLLM.

    They are the engine's, `--config` (a YAML file of them), and SERVER_FLAGS, without our own (`--model`, `--revision`,
    `--hf-token`). A test compares them with vLLM's parser.

    Raises:
        ConfigError: vLLM is not installed, or does not write its flags there any more.
    """
    flags = set(re.findall(r'"(--[a-z0-9][a-z0-9-]*)"', _flag_source()))
    if not flags:
        raise ConfigError(
            "vLLM has no flags in vllm/engine/arg_utils.py any more, where StreamSpace reads their names."
        )
    return sorted((flags | {"--config", *SERVER_FLAGS}) - {"--help"} - {option["flag"] for option in OPTIONS.values()})


def _flag_source() -> str:
    """The source of the module in which vLLM defines its engine's flags."""
    package = importlib.util.find_spec("vllm")
    if package is None or package.origin is None:
        raise ConfigError("vLLM is not installed: run `make setup`, or pip install -r requirements.txt.")
    return Path(package.origin).with_name("engine").joinpath("arg_utils.py").read_text(encoding="utf-8")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[0].upper()}{message[1:]}; `python app.py --help` lists the options.")

    def format_help(self) -> str:
        names = ", ".join(engine_flags())
        note = (
            "All of vLLM's engine flags pass through, each also as an environment variable in capitals "
            f"(--max-model-len 4096 or MAX_MODEL_LEN=4096): {names}."
        )
        return super().format_help() + "\n" + textwrap.fill(note, 110, break_on_hyphens=False) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python app.py",
        description="StreamSpace: a chat page on vLLM, at the engine's own speed.",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=110),
    )
    kinds: dict[Any, dict[str, Any]] = {
        _switch: {"action": "store_const", "const": "1"},
        _adapters: {"metavar": "NAME=VALUE", "nargs": "+"},  # several values, as for vLLM's own flag
    }
    for name, option in OPTIONS.items():
        kind = kinds.get(option["cast"], {"metavar": "VALUE"})
        parser.add_argument(option["flag"], dest=name, help=f"{option['help']} [{option['env']}]", **kind)
    return parser


def cast_option(option: Mapping[str, Any], name: str, value: str) -> Any:
    """The value of one of OPTIONS, given under this name; raises ConfigError for one that is not allowed."""
    try:
        return option["cast"](value)
    except ValueError as allowed:
        problem = "not" if option["secret"] else f"{value!r}; allowed is"
        raise ConfigError(f"{name} is {problem} {allowed}.") from None


def _refuse_unknown(arguments: Sequence[str]) -> None:
    """Refuse flags that are not vLLM's; vLLM's parser checks the values between them."""
    if not arguments:
        return
    known = set(engine_flags())
    if not arguments[0].startswith("-"):
        raise ConfigError(f"Unexpected argument {arguments[0]!r}; `python app.py --help` lists the options.")
    for argument in arguments:
        if not argument.startswith("--"):
            continue
        flag = re.split(r"[=.]", argument, maxsplit=1)[0].replace("_", "-")
        if flag not in known and flag.replace("--no-", "--", 1) not in known:
            near = difflib.get_close_matches(flag, known | {option["flag"] for option in OPTIONS.values()}, 1)
            hint = f"did you mean {near[0]}?" if near else "`python app.py --help` lists the options."
            # Without the value, which may be a secret: --hf_token=...
            raise ConfigError(f"Unknown option {argument.partition('=')[0]}: {hint}")


def _engine_environ(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    own = {option["env"] for option in OPTIONS.values()}
    names = {flag.removeprefix("--").replace("-", "_").upper(): flag for flag in engine_flags()}
    given = [(env, flag, environ[env]) for env, flag in names.items() if env not in own and environ.get(env)]
    for each in given:
        check_variable(*each)
    return tuple((flag, value) for _, flag, value in given)
