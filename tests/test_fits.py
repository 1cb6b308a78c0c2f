"""Whether a model fits, from the hub's own numbers or a folder's, before anything is fetched."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from streamspace import fits, hardware
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.download import weights_of
from streamspace.engine import Engine
from streamspace.errors import TooBig
from streamspace.fits import Machine, Weights, check
from tests.hub import Hub, folder_files, use
from tests.support import final_status

GB = 10**9
BF16 = Weights(16 * GB, {"BF16": 8 * GB})  # of 8 billion values


def refusal(weights: Weights, machine: Machine, *arguments: str, **environ: str) -> str:
    """The sentence, empty if it fits."""
    config = load_config(["--model", "org/big", *arguments], environ)
    try:
        check(config, weights, machine)
    except TooBig as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("weights", "dtype", "quantization", "gb"),
    [
        (BF16, "auto", "", 16),
        (BF16, "float32", "", 32),
        (BF16, "auto", "fp8", 8),
        (BF16, "auto", "bitsandbytes", 4),
        (Weights(32 * GB, {"F32": 8 * GB}), "", "", 16),  # vLLM makes two bytes of four
        (Weights(6 * GB, {"I32": GB, "F16": GB}), "", "awq_marlin", 6),
        (Weights(9 * GB, {"F8_E4M3": 7 * GB, "BF16": GB}), "", "", 9),
        (Weights(32 * GB, {}), "", "", 16),  # not told: perhaps of four bytes
    ],
)
def test_the_weights_have_the_size_that_they_take_in_memory(
    weights: Weights, dtype: str, quantization: str, gb: int
) -> None:
    assert weights.bytes_as(dtype, quantization) == gb * GB


@pytest.mark.parametrize(
    ("machine", "arguments", "environ", "words"),
    [
        (
            Machine(0, 15 * GB),
            [],
            {},
            "it needs at least 16.1 GB of the RAM, and 15.0 GB are free; a smaller or quantized",
        ),
        (Machine(1, 12 * GB), [], {}, "of the GPU, and 12.0 GB are free; --quantization fp8 or a smaller or quantized"),
        (Machine(1, 5 * GB), [], {}, "; --quantization bitsandbytes or a smaller"),
        (Machine(2, 12 * GB), [], {}, "; --tensor-parallel-size 2 or --quantization fp8 or a smaller"),
        (
            Machine(4, 5 * GB),
            ["-tp", "2"],
            {},
            "least 8.5 GB of each GPU, and 5.0 GB are free; --tensor-parallel-size 4",
        ),
        (Machine(1, 12 * GB), [], {"SPACE_ID": "o/n"}, "or a larger hardware in the Space's settings (Nvidia L4) or"),
        (
            Machine(1, 7 * GB),
            ["--quantization", "fp8"],
            {},
            "least 8.5 GB of the GPU, and 7.0 GB are free; a smaller or",
        ),
        (Machine(1, 20 * GB), ["--dtype", "float32"], {}, "least 32.5 GB of the GPU"),
        (Machine(1, 12 * GB), [], {"DTYPE": "float32"}, "least 32.5 GB of the GPU"),
    ],
)
def test_what_is_too_big_is_told_with_what_would_help(
    machine: Machine, arguments: list[str], environ: dict[str, str], words: str
) -> None:
    sentence = refusal(BF16, machine, *arguments, **environ)
    assert sentence.startswith("The model org/big does not fit: ") and words in sentence
    assert sentence.endswith("would help, and --try-anyway (TRY_ANYWAY=1) has it tried all the same.")


@pytest.mark.parametrize(
    ("machine", "arguments"),
    [
        (Machine(1, 24 * GB), []),
        (Machine(2, 9 * GB), ["--tensor-parallel-size", "2"]),
        (Machine(1, 9 * GB), ["-q", "fp8"]),
        (Machine(1, 9 * GB), ["--cpu-offload-gb", "8"]),
        (Machine(1, 9 * GB), ["--try-anyway"]),
        (Machine(1, 9 * GB), ["--config", "flags.yaml"]),
    ],
)
def test_what_may_fit_is_let_through(machine: Machine, arguments: list[str]) -> None:
    assert refusal(BF16, machine, *arguments) == ""


def test_a_folders_weights_are_those_of_its_headers(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(100))
    (tmp_path / "broken.safetensors").write_bytes(b"no header")
    assert weights_of(tmp_path, ["model.bin", "broken.safetensors", "config.json"]) == Weights(109, {})
    weights = weights_of(BUNDLED_MODEL, ["config.json", "model.safetensors"])
    assert weights.values == {"BF16": 4_526_272} and weights.bytes_as("auto", "") == 9_052_544 < weights.file_bytes


def test_the_memory_of_the_gpus_is_the_least_that_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def run(command: Any, **options: Any) -> Any:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "81000\n40000\n")

    monkeypatch.setattr(fits, "has_gpu", lambda environ: True)
    monkeypatch.setattr(subprocess, "run", run)
    assert fits.machine({"CUDA_VISIBLE_DEVICES": "1,3"}) == Machine(2, 40000 << 20)
    assert asked[0][-1] == "--id=1,3"
    monkeypatch.setattr(
        subprocess, "run", lambda command, **options: subprocess.CompletedProcess(command, 0, "[N/A]\n")
    )
    assert fits.machine({}) is None


def test_a_container_has_the_ram_that_its_group_leaves(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("200000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 50000000\n")
    assert hardware.free_ram_bytes(tmp_path) == 150_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert hardware.free_ram_bytes(tmp_path) == pytest.approx(hardware.free_ram_bytes(tmp_path / "none"), rel=0.2)


@pytest.mark.xdist_group("processes")
def test_what_is_too_big_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Hub({"org/huge": folder_files(BUNDLED_MODEL)}, num_values={"BF16": 10**13}) as hub:
        use(hub.url, monkeypatch, tmp_path)
        sentence = final_status(Engine(load_config(["--model", "org/huge"], {}))).detail
        assert sentence.startswith("The model org/huge does not fit: it needs at least 20000.1 GB of the RAM, and")
        assert hub.file_requests() == [] and "Traceback" not in caplog.text
