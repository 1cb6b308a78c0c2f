"""vLLM's workers on a CPU import this first: it asks Linux for AMX's tiles, and does nothing on a CPU without them.

A process that uses the tiles without permission dies of an illegal instruction. vLLM's attention does not ask for it;
oneDNN does, but for some shapes of a model only. A permission holds for the process that asked, until an exec (Linux,
Documentation/arch/x86/xstate.rst).
"""

import torch

from streamspace.patching import require

require(torch.cpu, "_init_amx", "to have Linux allow vLLM the tiles of AMX")()


class Extension:
    """Adds nothing to the worker: to name it in `worker_extension_cls` has this module imported."""
