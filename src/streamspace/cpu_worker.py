"""vLLM's worker on a CPU, which varies its number of threads and reads weights in bfloat16 where `hardware` says so.

Only the engine's process imports this module, for importing vLLM's worker on a CPU changes PyTorch.
"""

import ctypes
import os
import time
from typing import Any

import torch
from torch.nn.functional import linear
from vllm.v1.worker.cpu_worker import CPUWorker

from streamspace.hardware import BF16_COPY, give_free_memory_back
from streamspace.threads import VARY, Others, Threads, Waiting


class Worker(CPUWorker):
    """Steps as vLLM's own do."""

    _threads: Threads | None = None

    def load_model(self, **options: Any) -> None:
        """As vLLM's."""
        chosen = self.vllm_config.additional_config
        if isinstance(chosen, dict) and BF16_COPY in chosen:
            from streamspace.vllm_internals import change_linear_layers

            change_linear_layers(read_copy)
        super().load_model(**options)

    def compile_or_warm_up_model(self) -> Any:
        """As vLLM's. It comes before the first request; by now, the threads that compute have run more than any."""
        times = super().compile_or_warm_up_model()
        use = getattr(ctypes.CDLL(None), "omp_set_num_threads", None)  # of the OpenMP that is preloaded
        if use is not None and os.environ.get(VARY) == "vary" and self.parallel_config.world_size == 1:
            most = int(os.environ["OMP_NUM_THREADS"])
            self._threads = Threads(most, Waiting(most), Others(most), use)
        return times

    def reset_mm_cache(self) -> None:
        """As vLLM's. The pictures that were kept are free by now, and go back to the system."""
        super().reset_mm_cache()
        give_free_memory_back()

    def execute_model(self, scheduler_output: Any) -> Any:
        """As vLLM's."""
        if self._threads is None:
            return super().execute_model(scheduler_output)
        self._threads.begin(time.monotonic(), scheduler_output.total_num_scheduled_tokens)
        output = super().execute_model(scheduler_output)
        self._threads.end(time.monotonic())
        return output


def read_copy(layer: Any, weights: torch.Tensor) -> None:
    """Have a layer in float32 read its weights in bfloat16, half as many bytes, for a step of a single token.

    For four tokens float32 is quicker: a CPU without instructions for bfloat16 converts every number for each token.
    """
    if weights.ndim != 2 or weights.dtype != torch.float32 or weights.is_meta:
        return
    copy, of_many = weights.detach().to(torch.bfloat16), layer.cpu_linear

    def of_any(tokens: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if tokens.numel() > tokens.shape[-1]:
            return of_many(tokens, weights, bias)
        found = linear(tokens.to(torch.bfloat16), copy).to(torch.float32)
        return found if bias is None else found + bias

    layer.cpu_linear = of_any
