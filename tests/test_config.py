"""The operator's choices: defaults, environment, command line, refusals."""

import dataclasses
import re
import tempfile

import pytest

from streamspace import config as module
from streamspace.config import BUNDLED_MODEL, GPU_MODEL, OPTIONS, Adapter, Config, engine_flags, load_config
from streamspace.errors import ConfigError


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_gpu", lambda environ: False)


def test_without_a_word_the_bundled_model_is_served_to_this_machine_alone() -> None:
    config = load_config((), {})
    assert (config.model, config.host, config.port, config.share) == (str(BUNDLED_MODEL), "127.0.0.1", 7860, False)
    assert config.is_bundled and config.model_name == "streamspace-tiny" and config.model_card is None


def test_with_a_gpu_the_default_is_a_model_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_gpu", lambda environ: True)
    config = load_config((), {})
    assert config.model == config.model_name == GPU_MODEL
    assert config.model_card == f"https://huggingface.co/{GPU_MODEL}"


def test_on_a_space_every_address_is_listened_on() -> None:
    config = load_config((), {"SPACE_ID": "owner/name"})
    assert (config.host, config.space_id) == ("0.0.0.0", "owner/name")


@pytest.mark.parametrize(
    ("env", "flag", "value", "field", "expected"),
    [
        ("MODEL_ID", "--model", "org/model", "model", "org/model"),
        ("MODEL_REVISION", "--revision", "v2", "revision", "v2"),
        ("HF_TOKEN", "--hf-token", "hf_x", "hf_token", "hf_x"),
        ("SYSTEM_PROMPT", "--system-prompt", "Be brief.", "system_prompt", "Be brief."),
        ("MAX_TOKENS", "--max-tokens", "64", "max_tokens", 64),
        ("GRADIO_SERVER_NAME", "--host", "0.0.0.0", "host", "0.0.0.0"),
        ("GRADIO_SERVER_PORT", "--port", "8000", "port", 8000),
        ("GRADIO_AUTH", "--auth", " ada :a:b ", "auth", ("ada", "a:b ")),
        ("LORA_MODULES", "--lora-modules", "sql=org/sql-lora", "adapters", (Adapter("sql", "org/sql-lora"),)),
    ],
)
def test_every_option_has_a_variable_and_a_flag(env: str, flag: str, value: str, field: str, expected: object) -> None:
    assert getattr(load_config((), {env: value}), field) == expected
    assert getattr(load_config((flag, value), {}), field) == expected
    assert OPTIONS[field]["env"] == env and OPTIONS[field]["flag"] == flag


def test_several_adapters_are_named_as_vllm_has_it_or_in_one_variable() -> None:
    both = (Adapter("sql", "org/sql-lora"), Adapter("legal", "/my loras/legal=2"))
    assert load_config(["--lora-modules", "sql=org/sql-lora", "legal=/my loras/legal=2"], {}).adapters == both
    assert load_config([], {"LORA_MODULES": "sql=org/sql-lora 'legal=/my loras/legal=2'"}).adapters == both


@pytest.mark.parametrize("value", ["sql", "=org/x", "sql=", "a=x a=y", "a='x"])
def test_adapters_that_are_not_named_rightly_are_refused(value: str) -> None:
    sentence = "; allowed is name=hub id or folder, several with spaces between, each name once."
    with pytest.raises(ConfigError, match=re.escape(f"LORA_MODULES is {value!r}{sentence}")):
        load_config([], {"LORA_MODULES": value})


def test_an_adapter_is_not_called_as_the_model_is() -> None:
    with pytest.raises(ConfigError, match="A LoRA adapter cannot be called 'streamspace-tiny'"):
        load_config(["--lora-modules", "streamspace-tiny=org/x"], {})


def test_share_is_a_switch() -> None:
    assert load_config(["--share"], {}).share
    assert load_config([], {"GRADIO_SHARE": "true"}).share
    assert not load_config([], {"GRADIO_SHARE": "0"}).share


def test_the_command_line_wins_over_the_environment() -> None:
    assert load_config(["--port", "8001"], {"GRADIO_SERVER_PORT": "8000"}).port == 8001


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (["--port", "high"], {}, "--port is 'high'; allowed is a whole number from 1 to 65535."),
        ([], {"GRADIO_SERVER_PORT": "0"}, "GRADIO_SERVER_PORT is '0'; allowed is a whole number from 1 to 65535."),
        ([], {"MAX_TOKENS": "many"}, "MAX_TOKENS is 'many'; allowed is a whole number from 1 to 1000000."),
        ([], {"MAX_TOKENS": "1.5"}, "MAX_TOKENS is '1.5'; allowed is a whole number from 1 to 1000000."),
        ([], {"GRADIO_SHARE": "maybe"}, "GRADIO_SHARE is 'maybe'; allowed is 1, true, yes or on; 0, false, no or off."),
        (["--max-model-length", "9"], {}, "Unknown option --max-model-length: did you mean --max-model-len?"),
        (["--modle=x"], {}, "Unknown option --modle: did you mean --model?"),
        (["--qqqq"], {}, "Unknown option --qqqq: `python app.py --help` lists the options."),
        (["hello"], {}, "Unexpected argument 'hello'; `python app.py --help` lists the options."),
        (["--port"], {}, "Argument --port: expected one argument; `python app.py --help` lists the options."),
    ],
)
def test_a_refusal_names_what_was_given_and_what_is_allowed(
    arguments: list[str], environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(arguments, environ)
    assert str(refused.value) == sentence


def test_vllms_flags_pass_through_as_they_were_given() -> None:
    arguments = ["--tensor-parallel-size", "2", "--max_model_len=4096", "--no-enable-prefix-caching", "-tp", "2"]
    assert load_config(["--port", "8000", *arguments], {}).engine_arguments == tuple(arguments)


def test_vllms_flags_are_variables_too() -> None:
    environ = {
        "MAX_MODEL_LEN": "4096",
        "ENFORCE_EAGER": "1",
        "CONFIG": "engine.yaml",
        "HF_TOKEN": "x",
        "UNRELATED": "1",
    }
    flags = dict(load_config((), environ).engine_environ)
    assert flags == {"--max-model-len": "4096", "--enforce-eager": "1", "--config": "engine.yaml"}


def test_without_one_of_vllms_flags_there_is_nothing_for_vllm_to_check() -> None:
    config = load_config(["--port", "8000"], {"MODEL_ID": "org/model"})
    assert not config.engine_arguments and not config.engine_environ


def test_our_own_flags_are_not_among_vllms() -> None:
    assert not {"--model", "--revision", "--hf-token", "--help"} & set(engine_flags())


@pytest.mark.parametrize("environ", [{"TRUST_REMOTE_CODE": "1"}, {}])
def test_code_of_the_model_is_trusted_only_when_told(environ: dict[str, str]) -> None:
    assert load_config((), environ).trusts_remote_code == bool(environ)
    assert load_config(["--trust-remote-code"], {}).trusts_remote_code


def test_the_tokenizer_is_the_models_own_unless_the_operator_says_otherwise() -> None:
    assert load_config([], {}).has_own_tokenizer
    elsewhere = (["--tokenizer", "a/b"], ["--tokenizer=a/b"], ["--skip-tokenizer-init"], ["--trust-remote-code"])
    assert not any(load_config(arguments, {}).has_own_tokenizer for arguments in elsewhere)
    assert not load_config([], {"TOKENIZER": "a/b"}).has_own_tokenizer


def test_a_folder_is_shown_by_its_last_part_only() -> None:
    config = load_config(["--model", "/home/someone/models/mine"], {})
    assert config.model_name == "mine" and config.model_card is None


def test_no_secret_is_in_a_printed_config() -> None:
    config = load_config(["--hf-token", "hf_secret", "--auth", "zoe:secret"], {})
    assert "secret" not in repr(config) and "zoe" not in repr(config)


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--hf_token=hf_secret"], {}),
        (["--hf-tokn=hf_secret"], {}),
        (["--auth=secret"], {}),
        ([], {"GRADIO_AUTH": "secret"}),
    ],
)
def test_no_secret_is_in_a_refusal(arguments: list[str], environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(arguments, environ)
    assert "hf_secret" not in str(refused.value) and "'secret'" not in str(refused.value)


@pytest.mark.parametrize("value", ["ada", "ada:", ":secret", " :secret"])
def test_a_login_without_its_two_parts_is_refused(value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config([], {"GRADIO_AUTH": value})
    assert str(refused.value) == (
        "GRADIO_AUTH is not a name and a password with a colon between them, such as ada:long-secret."
    )


def test_a_config_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config((), {}).port = 1  # type: ignore[misc]
    assert dataclasses.is_dataclass(Config)


def test_help_lists_our_options_and_vllms(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        load_config(["--help"], {})
    printed = capsys.readouterr().out
    assert left.value.code == 0
    assert all(option["flag"] in printed and option["env"] in printed for option in OPTIONS.values())
    assert "--tensor-parallel-size" in printed


def test_without_a_temporary_folder_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null/none"])
    with pytest.raises(ConfigError) as refused:
        load_config((), {})
    assert str(refused.value) == (
        "There is no temporary folder that can be written, as on a full disk: make room, or set TMPDIR to one."
    )
