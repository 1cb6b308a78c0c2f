"""vLLM's flags are checked without vLLM, and never more strictly than by vLLM."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streamspace import flag_values
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import Engine
from streamspace.errors import ConfigError
from streamspace.flag_values import SNAPSHOT, known_flags
from tests.hub import Hub, folder_files, use
from tests.support import ROOT, final_status

VALUES = (
    *(
        "",
        "0",
        "7",
        "-1",
        "+3",
        "1.5",
        "-2.5e-3",
        "1_000",
        " 8",
        "8k",
        "8K",
        "1.5k",
        "8Ki",
        "k",
        "nan",
        "inf",
        "x",
        "auto",
    ),
    *("None", "none", "true", "{}", "[]", '{"a": 1}', "{broken", "null", '"x"', "all", "float32", "int4", "cpu", "7,8"),
)


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (
            ["--max-model-len", "long"],
            {},
            "--max-model-len is 'long'; allowed is a whole number, also with k, M or G behind",
        ),
        (["--max_num_seqs=many"], {}, "--max-num-seqs is 'many'; allowed is a whole number (an engine flag of vLLM)."),
        (["-tp", "two"], {}, "-tp is 'two'; allowed is a whole number (an engine flag of vLLM)."),
        (["--gpu-memory-utilization", "most"], {}, "--gpu-memory-utilization is 'most'; allowed is a number"),
        (["--override-generation-config", "{top"], {}, "--override-generation-config is '{top'; allowed is JSON"),
        (["--max-num-seqs"], {}, "--max-num-seqs has no value (an engine flag of vLLM)."),
        ([], {"DTYPE": "banana"}, "DTYPE is 'banana'; allowed is auto, bfloat16, float, float16, float32, half (an"),
        ([], {"ENFORCE_EAGER": "perhaps"}, "ENFORCE_EAGER is 'perhaps'; allowed is 1, true, yes or on; 0, false,"),
        ([], {"CUDAGRAPH_CAPTURE_SIZES": "1 2 three"}, "CUDAGRAPH_CAPTURE_SIZES is 'three'; allowed is a whole number"),
        ([], {"SERVED_MODEL_NAME": "'a b"}, "SERVED_MODEL_NAME has a quote that is never closed."),
    ],
)
def test_a_wrong_value_is_refused_at_once(arguments: list[str], environ: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(arguments, environ)
    assert str(refused.value).startswith(sentence)


def test_what_vllm_takes_in_another_way_is_left_to_it() -> None:
    odd = ["--hf-overrides.x", "1", "-O3", "--max-model-len", "-1", "--seed", "-1", "--served-model-name", "a", "b"]
    assert load_config([*odd, "--no-enable-prefix-caching"], {}).engine_arguments == (
        *odd,
        "--no-enable-prefix-caching",
    )


def test_another_version_of_vllm_checks_its_flags_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flag_values, "vllm_version", lambda: "9.9.9")
    known_flags.cache_clear()
    try:
        assert known_flags() == {} and load_config(["--max-num-seqs", "many"], {}).engine_arguments
    finally:
        known_flags.cache_clear()


def test_the_check_imports_nothing_slow() -> None:
    program = """if True:
        import sys
        from streamspace.config import BUNDLED_MODEL, load_config
        load_config(["--max-model-len", "8k", "--dtype", "auto", "-tp", "2"], {})
        sys.exit(bool({"vllm", "torch", "gradio", "transformers"} & set(sys.modules)))
    """
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    assert subprocess.run([sys.executable, "-c", program], env=environ, check=False).returncode == 0


@pytest.mark.xdist_group("engine")
def test_the_snapshot_is_that_of_the_installed_vllm() -> None:
    from tests.flag_snapshot import as_text, snapshot

    assert json.loads(SNAPSHOT.read_text("utf-8"))["flags"] == json.loads(as_text(snapshot()))["flags"]


@pytest.mark.xdist_group("engine")
def test_no_value_is_refused_that_vllm_takes() -> None:
    from streamspace import flags
    from tests.flag_snapshot import takes

    actions: Any = flags._flag_parser()._actions
    num_refused = 0
    for action in actions:
        flag = known_flags().get(action.option_strings[-1])
        if flag is None or flag.kind == "switch":
            continue
        for value in VALUES:
            try:
                flag.check("x", value)
            except ConfigError:
                num_refused += 1
                assert not takes(action, value), (action.option_strings, value)
    assert num_refused > 1000


@pytest.mark.xdist_group("processes")
def test_what_only_vllm_knows_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Hub({"org/tiny": folder_files(BUNDLED_MODEL)}) as hub:
        use(hub.url, monkeypatch, tmp_path)
        sentence = final_status(Engine(load_config(["--model", "org/tiny", "--enable-auto-tool-choice"], {}))).detail
        assert sentence == "vLLM's engine flags: --enable-auto-tool-choice requires --tool-call-parser."
        assert hub.requests == [] and "Traceback" not in caplog.text
