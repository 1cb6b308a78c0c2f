"""A fault in the engine's own process: it breaks of a request with DEADLY_TOP_K.

`--worker-extension-cls tests.fault.Extension` makes vLLM's worker import this module. Each break adds a line to the
file that the variable named BREAKS holds.
"""

import os
from pathlib import Path
from typing import Any

from vllm.v1.worker.cpu_model_runner import CPUModelRunner

from streamspace import amx

DEADLY_TOP_K = 66
BREAKS = "STREAMSPACE_TEST_BREAKS"
execute_model = CPUModelRunner.execute_model


def break_of_it(self: Any, scheduler_output: Any, *args: Any, **options: Any) -> Any:
    if any(request.sampling_params.top_k == DEADLY_TOP_K for request in scheduler_output.scheduled_new_reqs):
        with Path(os.environ[BREAKS]).open("a", encoding="utf-8") as file:
            file.write("broken\n")
        raise RuntimeError("cannot reshape tensor of 0 elements")
    return execute_model(self, scheduler_output, *args, **options)


CPUModelRunner.execute_model = break_of_it  # type: ignore[method-assign]


class Extension(amx.Extension):
    """Adds nothing to the worker."""
