"""A Space as it is to be: what was asked for, the hardware, the variables, and the sentences about them. Pure.

The hub's own list of hardware, with prices, comes from `streamspace.space_hub`.
"""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from streamspace import fits
from streamspace.config import OPTIONS, Config, cast_option, defaults
from streamspace.errors import ConfigError, TooBig
from streamspace.flag_values import check_value, pinned_flags
from streamspace.types import size

NEVER_S = -1  # the hub's sleep time of a Space that never sleeps
SLEEP_S = 3600  # of new Spaces on hardware that costs
WAIT_S = 5400.0
UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
GPU_SHARE = 0.97  # of the memory on the label, which the driver leaves free
CPU_SHARE = 0.8  # of the RAM: Python, PyTorch and the page take the rest
CPU_BYTES_PER_S = 10e9  # which two cores of a server read from memory; every token reads all weights
OLD_GPUS = ("T4",)  # without bfloat16 and FlashAttention: taken if asked for, never chosen
# What a Space starts with: each is shown, and can be changed, in the dialog that duplicates the Space.
FORM = {
    "MAX_MODEL_LEN": "auto",
    "MAX_TOKENS": "2048",
    "SYSTEM_PROMPT": "You are a helpful assistant.",
    "ANSWERS_PER_VISITOR": "1",
    "REQUESTS_PER_MINUTE": "30",
}
CPU_FORM = FORM | {"MAX_TOKENS": "512", "MAX_PROMPT_TOKENS": "2048", "MAX_NUM_SEQS": "8", "QUEUE_LENGTH": "32"}
# vLLM's flags in the form, in our words; the others are explained by OPTIONS.
EXPLAINED = {
    "MAX_MODEL_LEN": "tokens that the context holds; auto is the most that fit into the memory",
    "MAX_NUM_SEQS": "answers that are worked on at once",
    "TENSOR_PARALLEL_SIZE": "GPUs that share the model",
}


@dataclass(frozen=True)
class Wish:
    """What the command line asks for; None leaves the choice to the plan, or to the Space that is there."""

    model: str | None = None
    name: str | None = None
    hardware: str | None = None
    sleep_s: int | None = None
    is_private: bool | None = None
    storage: str | None = None  # a bucket's id, to be mounted at /data
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    agrees: bool = False  # to the price, without being asked
    is_rehearsal: bool = False
    only_updates: bool = False
    wait_s: float = WAIT_S


@dataclass(frozen=True)
class Hardware:
    """One of the hub's machines for Spaces."""

    name: str
    title: str
    dollars_per_hour: float
    ram_bytes: int
    disk_bytes: int  # 0: the hub does not say
    gpu: str = ""  # what its GPUs are; empty without one
    num_gpus: int = 0
    gpu_bytes: int = 0  # of each

    @property
    def machine(self) -> fits.Machine:
        """The memory that is free for a model."""
        free = self.gpu_bytes * GPU_SHARE if self.num_gpus else self.ram_bytes * CPU_SHARE
        return fits.Machine(self.num_gpus, int(free))

    @property
    def price(self) -> str:
        """What it costs, in words."""
        return f"${self.dollars_per_hour:.2f} an hour" if self.dollars_per_hour else "free of charge"


def seconds(value: str) -> int:
    """A length of time such as 3600, 30m or 1h in seconds; "never" is -1. Raises ValueError with what is allowed."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", value)
    if value != "never" and not found:
        raise ValueError("a number of seconds, or one with m, h or d behind it, or never")
    return int(found[1]) * UNITS_S[found[2]] if found else NEVER_S


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[0].upper()}{message[1:]}; `python -m streamspace space --help` lists the options.")


def parse(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Wish:
    """Read the command line; `environ` has the values of the secrets. Raises ConfigError."""
    parser = _Parser("python -m streamspace space", allow_abbrev=False, description="Make or update a Space.")
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL_ID", help="hub id of the model [of the Space, if it is there already]")
    add("--name", help="the Space: a name, or owner/name [chat- and the model's name]")
    add("--hardware", help="hardware of the Space, such as l4x1 or cpu-basic [the cheapest GPU that the model fits]")
    add("--sleep", help="how long it may idle before it sleeps, such as 30m or never [1h]")
    add("--private", action="store_true", default=None, help="only you and your organisation can open it")
    add("--storage", metavar="BUCKET", help="a storage bucket for what makes starts quick; made if it is not there")
    add("--variable", action="append", default=[], metavar="NAME=VALUE", help="an option of the app; may come again")
    add("--secret", action="append", default=[], metavar="NAME", help="a secret, whose value is the variable "
        "SPACE_NAME of the environment, or NAME; may come again")  # fmt: skip
    add("--yes", action="store_true", help="agree to the price, and ask nothing")
    add("--dry-run", action="store_true", help="say what would be done, and change nothing")
    add("--update", action="store_true", help="only update a Space that is there")
    add("--wait", default=f"{WAIT_S:.0f}", help="how long to follow the start [90m]")
    given = parser.parse_args(list(arguments))
    return Wish(
        model=given.model or None,
        name=given.name or None,
        hardware=given.hardware or None,
        sleep_s=_time("--sleep", given.sleep) if given.sleep else None,
        is_private=given.private,
        storage=given.storage or None,
        variables=dict(_pair(each) for each in given.variable),
        secrets={name: _secret(name, environ) for name in given.secret},
        agrees=given.yes,
        is_rehearsal=given.dry_run,
        only_updates=given.update,
        wait_s=_time("--wait", given.wait),
    )


def _time(flag: str, value: str) -> int:
    try:
        return seconds(value)
    except ValueError as allowed:
        raise ConfigError(f"{flag} is {value!r}; allowed is {allowed}.") from None


def _pair(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError(f"--variable is {given!r}; allowed is NAME=VALUE.")
    if any(option["secret"] and option["env"] == name for option in OPTIONS.values()):
        raise ConfigError(f"{name} is a secret, and variables can be read by anybody: use --secret {name}.")
    return name, value


def _secret(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(f"SPACE_{name}") or environ.get(name)
    if not value:
        raise ConfigError(f"The secret {name} has no value: set the variable SPACE_{name} of the environment to it.")
    return value


def config_on(variables: Mapping[str, str], space_id: str) -> Config:
    """The Config that a Space with these variables will have; raises ConfigError for a value that is not allowed."""
    values = defaults({"SPACE_ID": space_id, "CUDA_VISIBLE_DEVICES": ""})
    own: dict[str, tuple[str, Mapping[str, Any]]] = {o["env"]: (name, o) for name, o in OPTIONS.items()}
    flags = {name: f"--{name.lower().replace('_', '-')}" for name in variables if name not in own}
    known = pinned_flags()
    for name, value in variables.items():
        if name in own:
            option, how = own[name]
            values[option] = cast_option(how, name, value) if value else values[option]
        elif value:
            check_value(name, known.get(flags[name]), value)
    given = tuple((flag, variables[name]) for name, flag in flags.items() if flag in known and variables[name])
    return Config(**values, space_id=space_id, engine_environ=given)


def unknown(variables: Mapping[str, str]) -> list[str]:
    """The variables that neither this project nor vLLM reads as an option."""
    own = {option["env"] for option in OPTIONS.values()}
    flags = {flag.removeprefix("--").replace("-", "_").upper() for flag in pinned_flags()}
    return sorted(name for name in variables if name not in own | flags and not name.startswith(("VLLM_", "HF_")))


def explain(variable: str) -> str:
    """What a variable does, for the hub's form."""
    own = {option["env"]: option["help"] for option in OPTIONS.values()}
    return EXPLAINED.get(variable) or own.get(variable, "")


def sharing(variables: Mapping[str, str], hardware: Hardware) -> dict[str, str]:
    """The variable that has all GPUs share the model, unless the operator shares it out in another way."""
    ways = ("TENSOR_PARALLEL_SIZE", "PIPELINE_PARALLEL_SIZE", "DATA_PARALLEL_SIZE")
    if hardware.num_gpus < 2 or any(variables.get(way) for way in ways):
        return {}
    return {"TENSOR_PARALLEL_SIZE": str(hardware.num_gpus)}


def check_fit(variables: Mapping[str, str], space_id: str, weights: fits.Weights, hardware: Hardware) -> None:
    """Raises TooBig if the model does not fit into the memory or onto the disk of this hardware."""
    config = config_on({**variables, **sharing(variables, hardware)}, space_id)
    fits.check(config, weights, hardware.machine)
    if 0 < hardware.disk_bytes < weights.file_bytes:
        template = "The model {model} does not fit: its files have {needed}, and the disk of {name} has {free}."
        sizes = {"needed": size(weights.file_bytes, 0), "free": size(hardware.disk_bytes, 0)}
        raise TooBig(template, model=config.model_name, name=hardware.name, **sizes)


def choose(
    offers: Sequence[Hardware], asked: str | None, variables: Mapping[str, str], space_id: str, weights: fits.Weights
) -> Hardware:
    """The hardware that was asked for, or the cheapest GPU that the model fits.

    Raises:
        ConfigError: the hub has no such hardware.
        TooBig: the model does not fit.
    """
    named = {hardware.name: hardware for hardware in offers}
    if asked:
        if asked.startswith("zero"):
            raise ConfigError(f"{asked} lends a GPU for seconds at a time, and vLLM cannot work so: choose another.")
        if asked not in named:
            known = ", ".join(name for name in named if not name.startswith("zero"))
            raise ConfigError(f"The hardware is {asked!r}; the hub has {known}.")
        check_fit(variables, space_id, weights, named[asked])
        return named[asked]
    refusal: TooBig | None = None
    for hardware in sorted(offers, key=lambda each: each.dollars_per_hour):
        if hardware.num_gpus and hardware.gpu not in OLD_GPUS and not hardware.name.startswith("zero"):
            try:
                check_fit(variables, space_id, weights, hardware)
                return hardware
            except TooBig as error:
                refusal = error  # of the largest in the end
    raise refusal or ConfigError("The hub offers no GPU for Spaces now: name a hardware, such as --hardware cpu-basic.")


def form(given: Mapping[str, str], there: Mapping[str, str], hardware: Hardware) -> dict[str, str]:
    """The variables that the Space gets: those given, those that it has, and what is left of the form."""
    wanted = {**(FORM if hardware.num_gpus else CPU_FORM), **there, **given}
    return wanted | sharing(wanted, hardware)


def on_cpu_sentence(weights: fits.Weights) -> str:
    """What a Space without a GPU can serve."""
    weight_bytes = weights.bytes_as("", "")
    rate = min(max(0.1, CPU_BYTES_PER_S / max(weight_bytes, 1)), 100)
    told = f"{rate:.0f}" if rate >= 1 else f"{rate:.1f}"
    return (
        f"Without a GPU the weights ({size(weight_bytes, 0)}) are read from memory for every token: expect up to about "
        f"{told} tokens per second for one visitor, less for several, and some seconds before the first token of a "
        "long prompt."
    )


def sleep_of(wish: Wish, hardware: Hardware, *, is_new: bool) -> int | None:
    """The sleep time to set, in seconds; None leaves it as it is. Free hardware has one of its own."""
    if not hardware.dollars_per_hour:
        return None
    return SLEEP_S if is_new and wish.sleep_s is None else wish.sleep_s


def sleep_sentence(sleep_s: int | None, hardware: Hardware) -> str:
    """When the Space sleeps, and what that means for the bill."""
    if not hardware.dollars_per_hour:
        return "it sleeps after 48 hours without a visitor (the hub's rule)"
    if sleep_s == NEVER_S:
        return "it never sleeps, so every hour is paid"
    if sleep_s is None:
        return "its sleep time stays as it is"
    return f"it sleeps after {sleep_s / 60:g} minutes without a visitor, and is not paid while it sleeps"


def default_name(model: str) -> str:
    """A Space's name for a model, of characters that the hub takes."""
    name = re.sub(r"[^A-Za-z0-9._-]|(?<=-)-+|(?<=\.)\.+", "", model.rstrip("/").rpartition("/")[2])
    return f"chat-{name}"[:60].rstrip("-.")
