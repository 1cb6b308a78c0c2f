"""What the process imports from which the engine's is forked; `forkserver` has that process import this module.

vLLM's core leaves a sixth of what an engine needs to the engine's process: the worker, the layers of models, and what
they import. Here it is imported once, beside the app's own import, and a restarted engine has it, too.

A process that uses the GPU must not be forked. Should a module below use it when it is imported, this process begins
again and imports only those before it, as it does with their number in STREAMSPACE_PRELOADS. The log names the module.
"""

import logging
import os
import sys
from contextlib import suppress
from importlib import import_module

from streamspace import hardware
from streamspace.process import collect_rarely

PRELOADS = "STREAMSPACE_PRELOADS"
CORE = ("vllm.v1.engine.core",)
# Where a version of vLLM has one of them under another name, its engine's process imports that one by itself.
FOR_GPU = (
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.gpu_worker",
    "vllm.v1.worker.gpu.model_runner",
    "vllm.v1.attention.backends.flash_attn",
    "vllm.model_executor.models.qwen3",  # for the layers that most models of text are made of
)


def begin() -> None:
    """Import all of it; what fails here fails again, and is told, in the engine's process."""
    most = int(os.environ.get(PRELOADS, len(FOR_GPU))) if hardware.has_gpu(os.environ) else 0
    collect_rarely()  # of what an import makes, next to nothing is garbage
    for name in CORE:
        _import(name)
    for number, name in enumerate(FOR_GPU[:most]):
        _import(name)
        if hardware.uses_gpu():
            logging.warning("%s uses the GPU when it is imported, so that starts take some seconds longer.", name)
            os.execve(sys.executable, sys.orig_argv, {**os.environ, PRELOADS: str(number)})
    collect_rarely()  # the engine's process leaves all of it alone


def _import(name: str) -> None:
    with suppress(Exception):
        import_module(name)


begin()
