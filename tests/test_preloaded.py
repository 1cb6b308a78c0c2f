"""The process from which the engine's is forked imports what that needs, and never uses the GPU."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from streamspace import hardware

ROOT = Path(__file__).parents[1]
PROGRAM = """
import os, sys
from streamspace import hardware
hardware.has_gpu = lambda environ: {has_gpu}
hardware.uses_gpu = lambda: {uses_gpu} and "vllm.v1.worker.gpu_worker" in sys.modules
import streamspace.preloaded
print(*sorted(name for name in sys.modules if name.startswith("vllm.v1.") and name.count(".") == 3))
"""


def imported(folder: Path, has_gpu: bool, uses_gpu: bool) -> list[str]:
    """What a process imports that has a vLLM of four modules, the last of which fails."""
    texts = dict.fromkeys(("engine.core", "executor.uniproc_executor", "worker.gpu_worker"), "")
    for name, text in {**texts, "worker.gpu.model_runner": "1 / 0"}.items():
        path = folder / "vllm" / "v1" / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(folder).parents[:-1]:
            (folder / parent / "__init__.py").touch()
        path.write_text(text)
    command = [sys.executable, "-c", PROGRAM.format(has_gpu=has_gpu, uses_gpu=uses_gpu)]
    environ = {"PYTHONPATH": f"{folder}:{ROOT / 'src'}"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert ("vllm.v1.worker.gpu_worker uses the GPU" in done.stderr) == (has_gpu and uses_gpu)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("has_gpu", "uses_gpu", "names"),
    [
        (False, False, ["engine.core"]),
        (True, False, ["engine.core", "executor.uniproc_executor", "worker.gpu", "worker.gpu_worker"]),
        (True, True, ["engine.core", "executor.uniproc_executor"]),  # it began again
    ],
)
def test_the_worker_is_imported_beside_the_core_unless_that_uses_the_gpu(
    has_gpu: bool, uses_gpu: bool, names: list[str], tmp_path: Path
) -> None:
    assert imported(tmp_path, has_gpu, uses_gpu) == [f"vllm.v1.{name}" for name in names]


@pytest.mark.parametrize(("code", "uses_gpu"), [(3, False), (0, True), (100, True)])
def test_a_process_that_uses_the_gpu_is_known_by_the_driver(code: int, uses_gpu: bool) -> None:
    def load(name: str) -> SimpleNamespace:
        assert name == "libcuda.so.1"
        return SimpleNamespace(cuDeviceGetCount=lambda count: code)

    assert hardware.uses_gpu(load) == uses_gpu


def test_no_process_uses_a_gpu_where_there_is_no_driver() -> None:
    def load(name: str) -> None:
        raise OSError

    assert not hardware.uses_gpu(load)
