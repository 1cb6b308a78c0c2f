"""The worker on a CPU: how many threads its steps have, and what its layers read. In processes of their own, for
importing it changes PyTorch."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from streamspace.hardware import VARIED, has_gpu, intel_openmp
from streamspace.threads import VARY

pytestmark = pytest.mark.skipif(has_gpu(os.environ), reason="vLLM for a GPU has no worker for a CPU")

# vLLM's worker, but for its steps, which take 20 ms; each prints how many threads it has. Its threads wait as they are
# told: `sys.argv[1]` of each step.
STEPS = """
import ctypes, json, sys, time
from types import SimpleNamespace
from streamspace import cpu_worker

STEP_S, share = 0.02, float(sys.argv[1])
openmp, waited_s, found = ctypes.CDLL(None), 0.0, []

def step(worker, scheduler_output):
    global waited_s
    number = openmp.omp_get_max_threads()
    found.append(number)
    time.sleep(STEP_S)
    waited_s += share * STEP_S if number > 1 else 0.0
    return scheduler_output

cpu_worker.CPUWorker.execute_model = step
cpu_worker.CPUWorker.compile_or_warm_up_model = lambda worker: "times"
cpu_worker.Waiting = lambda number: lambda: waited_s
cpu_worker.Others = lambda number: lambda: 2.0
worker = object.__new__(cpu_worker.Worker)
worker.parallel_config = SimpleNamespace(world_size=int(sys.argv[2]))
output = SimpleNamespace(total_num_scheduled_tokens=1)
assert worker.compile_or_warm_up_model() == "times"
for _ in range(40):
    assert worker.execute_model(output) is output
print(json.dumps(found))
"""
LAYERS = """
import json, torch
from vllm.model_executor.layers import utils
from vllm.platforms import current_platform
from streamspace import cpu_worker, vllm_internals

current_platform.import_kernels()
torch.manual_seed(0)
torch.set_grad_enabled(False)
vllm_internals.change_linear_layers(cpu_worker.read_copy)
found = []
for bias in (False, True):
    layer = torch.nn.Linear(64, 32, bias=bias)
    layer.weight.copy_(layer.weight.bfloat16())
    exact = torch.nn.Linear(64, 32, bias=bias)
    exact.load_state_dict(layer.state_dict())
    utils.dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    for shape in ((1, 64), (1, 1, 64), (2, 64), (150, 64)):
        tokens = torch.randn(shape)
        ours, right = layer.cpu_linear(tokens, layer.weight, layer.bias), exact(tokens)
        assert ours.shape == right.shape and ours.dtype == torch.float32
        found.append((tokens.numel() // 64, (ours - right).abs().max().item()))
half = torch.nn.Linear(64, 32, bias=False).bfloat16()
utils.dispatch_cpu_unquantized_gemm(half, remove_weight=False)
print(json.dumps([found, half.cpu_linear.__module__]))
"""


def output_of(program: str, *arguments: str, **environ: str) -> Any:
    command = [sys.executable, "-c", program, *arguments]
    environ = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", **environ}
    run = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def threads_of(share: str, num_workers: str = "1", vary: str = "vary") -> list[int]:
    if (openmp := intel_openmp()) is None:
        pytest.skip("Intel's OpenMP is not installed")
    threads: list[int] = output_of(STEPS, share, num_workers, **{**VARIED, "LD_PRELOAD": openmp, VARY: vary})
    return threads


def test_steps_have_two_threads_as_long_as_these_need_not_wait() -> None:
    assert threads_of("0.1") == [2] * 40


def test_steps_have_one_thread_while_other_work_needs_a_cpu() -> None:
    threads = threads_of("1.2")
    assert threads[:9] == [2] * 9 and threads[-20:] == [1] * 20


@pytest.mark.parametrize(("num_workers", "vary"), [("2", "vary"), ("1", "")])
def test_other_workers_keep_their_threads(num_workers: str, vary: str) -> None:
    assert threads_of("1.2", num_workers, vary) == [2] * 40


def test_a_single_token_is_computed_with_the_copy_and_others_in_float32() -> None:
    found, half = output_of(LAYERS)
    for num_tokens, difference in found:
        assert (1e-4 < difference < 2e-2) if num_tokens == 1 else difference < 1e-5
    assert [num_tokens for num_tokens, _ in found] == [1, 1, 2, 150] * 2
    assert half != "streamspace.cpu_worker"
