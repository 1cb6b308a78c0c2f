"""What vLLM's workers on a CPU import first: it asks Linux for AMX's tiles, and does nothing on a CPU without them.

vLLM's attention uses them without asking, and dies of an illegal instruction unless oneDNN happens to have asked, which
depends on the model's shape. Only the process itself can ask, and what it asked for ends with an exec (Linux,
Documentation/arch/x86/xstate.rst).
"""

import torch

torch.cpu._init_amx()


class Extension:
    """Adds nothing to the worker: to name it in `worker_extension_cls` has this module imported."""
