"""The operator's choices, read once: environment and command line → one frozen Config.

Every option of ours has an environment name beside its flag, because a Space has no command line; the command line
wins. All of vLLM's engine flags pass through under vLLM's own names (`--max-model-len 4096` or MAX_MODEL_LEN=4096).
Their names are read from the text of the installed vLLM, because importing it takes 5 to 10 seconds. vLLM's own parser
checks their values, in `streamspace.flags`, and only if there are any.
"""

import argparse
import difflib
import importlib.util
import os
import re
import shlex
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn

from streamspace.errors import ConfigError
from streamspace.hardware import has_gpu

BUNDLED_MODEL = Path(__file__).parents[2] / "models" / "streamspace-tiny"
GPU_MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off", "")
MOST_WORDS = 300  # characters of vLLM's own words
SIGN_IN = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")  # what a Space sets
# The flags of vLLM's server that change its answers; the flags for listening and for authentication are ours.
SERVER_FLAGS = ("--enable-auto-tool-choice", "--tool-call-parser")


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter: what visitors and clients call it, and its hub id or folder."""

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
        allowed = f"a whole number from {least} to {most}"
        try:
            number = int(value)
        except ValueError:
            raise ValueError(allowed) from None
        if not least <= number <= most:
            raise ValueError(allowed)
        return number

    return cast


def _keys(value: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in value.split(","))
    if not all(keys):
        raise ValueError("a key, or several with commas between them")
    return keys


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
    """A dataclass field that carries where its value comes from; `default` may be a function of the environment."""
    where = {"env": env, "flag": flag, "help": help, "default": default, "cast": cast, "secret": secret}
    return field(repr=not secret, metadata=where)


def _on_a_space(there: Any, elsewhere: Any) -> Callable[[Mapping[str, str]], Any]:
    return lambda environ: there if environ.get("SPACE_ID") else elsewhere


def _with_gpu(there: Any, elsewhere: Any) -> Callable[[Mapping[str, str]], Any]:
    return lambda environ: there if has_gpu(environ) else elsewhere


def _key_of_vllm(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The key by the name that vLLM's own server has for it."""
    return (environ["VLLM_API_KEY"],) if environ.get("VLLM_API_KEY") else ()


@dataclass(frozen=True)
class Config:
    """What the operator chose. `load_config` makes it; nothing changes it afterwards."""

    # fmt: off
    model: str = _option(
        "MODEL_ID", "--model", "hub id or local folder of the model", _with_gpu(GPU_MODEL, str(BUNDLED_MODEL)),
    )
    revision: str | None = _option("MODEL_REVISION", "--revision", "branch, tag or commit of the model", None)
    hf_token: str | None = _option("HF_TOKEN", "--hf-token", "token for gated and private models", None, secret=True)
    adapters: tuple[Adapter, ...] = _option(
        "LORA_MODULES", "--lora-modules", "LoRA adapters to choose from: name=hub id or folder, several with spaces",
        (), _adapters,
    )
    system_prompt: str = _option("SYSTEM_PROMPT", "--system-prompt", "system prompt that a new chat starts with", "")
    max_tokens: int = _option(
        "MAX_TOKENS", "--max-tokens", "most tokens that one answer may have", 2048, _whole_number(1, 1_000_000),
    )
    max_prompt_tokens: int = _option(
        "MAX_PROMPT_TOKENS", "--max-prompt-tokens", "most tokens that one prompt may have; 0 is as many as the context",
        0, _whole_number(0, 100_000_000),
    )
    max_seconds: int = _option(
        "MAX_SECONDS", "--max-seconds", "most seconds that one answer may take",
        _on_a_space(300, 3600), _whole_number(1, 86_400),
    )
    answers_per_visitor: int = _option(
        "ANSWERS_PER_VISITOR", "--answers-per-visitor", "most answers at once for one visitor; 0 is no limit",
        _on_a_space(1, 0), _whole_number(0, 1_000_000),
    )
    queue_length: int = _option(
        "QUEUE_LENGTH", "--queue-length", "most requests that wait while the engine is full; 0 is no limit",
        _on_a_space(256, 1024), _whole_number(0, 1_000_000),
    )
    requests_per_minute: int = _option(
        "REQUESTS_PER_MINUTE", "--requests-per-minute", "most requests a minute from one address; 0 is no limit",
        _on_a_space(30, 0), _whole_number(0, 1_000_000),
    )
    hang_timeout: int = _option(  # longer on a CPU, where a whole prompt is one step
        "HANG_TIMEOUT", "--hang-timeout", "seconds that the engine may take for one step; then it is restarted",
        _with_gpu(60, 300), _whole_number(1, 86_400),
    )
    host: str = _option(
        "GRADIO_SERVER_NAME", "--host", "address to listen on; 0.0.0.0 is every address",
        _on_a_space("0.0.0.0", "127.0.0.1"),
    )
    port: int = _option("GRADIO_SERVER_PORT", "--port", "port to listen on", 7860, _whole_number(1, 65535))
    share: bool = _option("GRADIO_SHARE", "--share", "also open a temporary public link", False, _switch)
    auth: tuple[str, str] | None = _option(
        "GRADIO_AUTH", "--auth", "name:password that the page asks for", None, _name_and_password, secret=True,
    )
    hf_login: bool = _option(
        "HF_LOGIN", "--hf-login", "have visitors sign in with Hugging Face, on a Space with hf_oauth: true",
        False, _switch,
    )
    api_keys: tuple[str, ...] = _option(
        "API_KEY", "--api-key", "keys of the OpenAI API at /v1, separated by commas", _key_of_vllm, _keys, secret=True,
    )
    # fmt: on
    space_id: str | None = None  # owner/name on a Hugging Face Space, set there by the platform
    engine_arguments: tuple[str, ...] = ()  # vLLM's flags as on a command line
    engine_environ: tuple[tuple[str, str], ...] = ()  # (flag, value) of vLLM's flags given as environment variables

    @property
    def trusts_remote_code(self) -> bool:
        """Whether vLLM was told to run the Python files of the model's repository, so that they must be fetched too."""
        environ = dict(self.engine_environ).get("--trust-remote-code", "")
        return "--trust-remote-code" in self.engine_arguments or environ.lower() in TRUE

    @property
    def wants_compilation(self) -> bool:
        """Whether the operator turned vLLM's `--enforce-eager` off, which is our default where there is no GPU."""
        environ = dict(self.engine_environ).get("--enforce-eager", "1")
        return "--no-enforce-eager" in self.engine_arguments or environ.lower() in FALSE

    @property
    def serves_openai(self) -> bool:
        """Whether the OpenAI API is on: with a key everywhere, without one only where the page is for oneself."""
        return bool(self.api_keys) or not (self.space_id or self.share or self.auth)

    @property
    def is_bundled(self) -> bool:
        """Whether the model is the one that comes with the project."""
        return Path(self.model) == BUNDLED_MODEL

    @property
    def model_name(self) -> str:
        """The model's name as a visitor sees it: a hub id whole, of a folder only its last part."""
        return Path(self.model).name if is_path(self.model) else self.model

    @property
    def model_card(self) -> str | None:
        """The address of the model's card on the hub; None for a local folder."""
        return None if is_path(self.model) else f"https://huggingface.co/{self.model}"


OPTIONS = {f.name: f.metadata for f in fields(Config) if f.metadata}


def is_path(model: str) -> bool:
    """Whether the operator means a local folder: it begins like a path, or there is such a folder."""
    return model.startswith(("/", ".", "~")) or Path(model).is_dir()


def without_folders(words: str) -> str:
    """vLLM's words on one line, at most MOST_WORDS characters, without this machine's folders and the full stop."""
    words = re.sub(r"(?<![\w:/])/(?:[^\s/:'\"]+/)+", "", " ".join(words.split())).rstrip(".")
    return f"{words[:MOST_WORDS]}…" if len(words) > MOST_WORDS else words


def defaults(environ: Mapping[str, str]) -> dict[str, Any]:
    """What holds where neither the command line nor the environment says otherwise."""
    values = {name: option["default"] for name, option in OPTIONS.items()}
    return {name: value(environ) if callable(value) else value for name, value in values.items()}


def load_config(arguments: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Config:
    """Read the command line and the environment.

    Raises:
        ConfigError: a name that neither we nor vLLM know, or a value of ours that is not allowed. Values of vLLM's
            flags are checked by `Engine.check_flags`. Also when nothing temporary can be written anywhere.
        SystemExit: after `--help` was printed.
    """
    options, rest = _parser().parse_known_args(list(arguments))
    _check_temporary_folder()
    values = defaults(environ)
    for name, option in OPTIONS.items():
        if value := environ.get(option["env"]):
            values[name] = _cast(option, option["env"], value)
        if (value := getattr(options, name)) is not None:
            value = value if isinstance(value, str) else shlex.join(value)
            values[name] = _cast(option, option["flag"], value)
    _refuse_unknown(rest)
    config = Config(
        **values,
        space_id=environ.get("SPACE_ID") or None,
        engine_arguments=tuple(rest),
        engine_environ=_engine_environ(environ),
    )
    if config.hf_login:
        _check_sign_in(config, environ)
    if config.model_name in [adapter.name for adapter in config.adapters]:
        raise ConfigError(f"A LoRA adapter cannot be called {config.model_name!r}, for so is the model called.")
    return config


def _check_sign_in(config: Config, environ: Mapping[str, str]) -> None:
    if config.auth:
        raise ConfigError("HF_LOGIN and GRADIO_AUTH are two logins: choose one.")
    missing = [name for name in ("SPACE_ID", *SIGN_IN) if not environ.get(name)]
    if environ.get("SYSTEM") != "spaces":  # without which Gradio only plays a sign-in, and lets everybody in
        missing.append("SYSTEM")
    if missing:
        sentence = f"HF_LOGIN needs a Space whose README.md says `hf_oauth: true`, which sets {missing[0]}."
        raise ConfigError(sentence)


def _check_temporary_folder() -> None:
    """Gradio, vLLM and multiprocessing need one, and say nothing that helps when there is none."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise ConfigError(
            "There is no temporary folder that can be written, as on a full disk: make room, or set TMPDIR to one."
        ) from None


def engine_flags() -> list[str]:
    """The long names of vLLM's flags that pass through, without importing vLLM.

    They are its engine's, `--config` (a YAML file of them), and SERVER_FLAGS. Those of our own (`--model`,
    `--revision`, `--hf-token`) are left out. A test compares this with vLLM's parser.

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
    """The text in which vLLM, which must not be imported here, defines its engine's flags."""
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
    for name, option in OPTIONS.items():
        text = f"{option['help']} [{option['env']}]"
        if option["cast"] is _switch:
            parser.add_argument(option["flag"], dest=name, action="store_const", const="1", help=text)
        elif option["cast"] is _adapters:  # as vLLM's own flag, which takes several
            parser.add_argument(option["flag"], dest=name, metavar="NAME=VALUE", nargs="+", help=text)
        else:
            parser.add_argument(option["flag"], dest=name, metavar="VALUE", help=text)
    return parser


def _cast(option: Mapping[str, Any], name: str, value: str) -> Any:
    try:
        return option["cast"](value)
    except ValueError as allowed:
        problem = "not" if option["secret"] else f"{value!r}; allowed is"
        raise ConfigError(f"{name} is {problem} {allowed}.") from None


def _refuse_unknown(arguments: Sequence[str]) -> None:
    """Refuse a flag that is not vLLM's, at once; what stands between the flags is left to vLLM's parser."""
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
            # Without its value, which may be a secret: --hf_token=...
            raise ConfigError(f"Unknown option {argument.partition('=')[0]}: {hint}")


def _engine_environ(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    own = {option["env"] for option in OPTIONS.values()}
    names = {flag.removeprefix("--").replace("-", "_").upper(): flag for flag in engine_flags()}
    return tuple((flag, environ[env]) for env, flag in names.items() if env not in own and environ.get(env))
