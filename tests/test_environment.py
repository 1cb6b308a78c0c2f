"""Variables that other packages fail of, and machines that lack something: the app starts, or says why not."""

import logging
import os
import pwd
import tempfile
from pathlib import Path

import pytest

from streamspace.environment import check
from streamspace.errors import ConfigError

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower() in PROXIES or name.startswith("VLLM_"):
            monkeypatch.delenv(name)


def checked(monkeypatch: pytest.MonkeyPatch, **environ: str) -> dict[str, str]:
    """What is left of these variables."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    check(os.environ)
    return {name: os.environ[name] for name in environ if name in os.environ}


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"ALL_PROXY": "socks://127.0.0.1:7890/"}, {}),
        ({"all_proxy": "socks5h://zoe:secret@127.0.0.1:1080"}, {}),
        ({"https_proxy": "ftp://x"}, {}),
        ({"HTTPS_PROXY": "foo:bar:baz", "HTTP_PROXY": "http://127.0.0.1:9"}, {"HTTP_PROXY": "http://127.0.0.1:9"}),
        ({"NO_PROXY": "localhost, 127.0.0.0/8,::1/128"}, {"NO_PROXY": "localhost,127.0.0.0/8"}),
        ({"no_proxy": "fe80::/10"}, {"no_proxy": ""}),
    ],
)
def test_a_proxy_that_cannot_be_used_is_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, given: dict[str, str], left: dict[str, str]
) -> None:
    assert checked(monkeypatch, **given) == left
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and record.getMessage().startswith(next(iter(given)))
    assert "secret" not in record.getMessage()


def test_what_can_be_used_stays_without_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"HTTPS_PROXY": "http://ada:x@10.0.0.1:3128", "no_proxy": "::1,localhost,.example.com", "VLLM_PORT": "5000"}
    assert checked(monkeypatch, **given) == given and not caplog.records


def test_the_address_of_a_kubernetes_service_is_no_port(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert checked(monkeypatch, VLLM_PORT="tcp://10.0.0.5:8000") == {}
    assert "VLLM_PORT is left out" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VLLM_PORT", "abc"),
        ("VLLM_CPU_KVCACHE_SPACE", "many"),
        ("VLLM_WORKER_MULTIPROC_METHOD", "thread"),
        ("VLLM_ENGINE_READY_TIMEOUT_S", "1 h"),
    ],
)
def test_a_value_that_vllm_does_not_take_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        checked(monkeypatch, **{name: value})
    assert str(refused.value).startswith(f"{name} is {value!r}, which vLLM cannot use: ")


@pytest.mark.parametrize("name", ["GRADIO_NUM_PORTS", "HF_HUB_DOWNLOAD_TIMEOUT", "WEB_CONCURRENCY"])
@pytest.mark.parametrize("value", ["abc", "", "1.5"])
def test_a_number_that_is_none_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        checked(monkeypatch, **{name: value})
    assert str(refused.value) == f"{name} is {value!r}; allowed is a whole number."


def test_without_a_path_to_programs_there_is_the_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    checked(monkeypatch)
    assert os.environ["PATH"] == os.defpath


def test_a_user_whom_the_system_does_not_know_gets_a_home_and_a_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unknown(number: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("HOME", "USER"):
        monkeypatch.delenv(name, raising=False)
    checked(monkeypatch)
    home = Path(os.environ["HOME"])
    assert home.parent == tmp_path and home.stat().st_mode & 0o777 == 0o700
    assert os.environ["USER"] == str(os.getuid())
    assert checked(monkeypatch, HOME="/given", USER="ada") == {"HOME": "/given", "USER": "ada"}
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/nowhere")
    checked(monkeypatch)
    assert "HOME" not in os.environ


def test_a_user_whom_the_system_knows_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    checked(monkeypatch)
    assert "HOME" not in os.environ
