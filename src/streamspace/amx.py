"""Asks Linux for AMX's tiles; does nothing on a CPU without them. vLLM's workers on a CPU import this first.

A process that uses the tiles without permission dies of an illegal instruction. vLLM's attention does not ask; oneDNN
does, but only for some shapes of a model. The permission holds for the process that asked, until an exec (Linux,
Documentation/arch/x86/xstate.rst).
"""

import torch

from streamspace.patching import require

require(torch.cpu, "_init_amx", "to have Linux allow vLLM the tiles of AMX")()


class Extension:
    """Adds nothing to the worker: naming it in `worker_extension_cls` makes vLLM import this module."""
