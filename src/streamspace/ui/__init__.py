"""The page and the named endpoints. The only package that imports Gradio."""

import importlib.util
import os
import sys

# Gradio reads these when it is imported. Analytics: nothing of the visitors leaves the machine. The second one stops a
# statistic over all past events after every event, which costs 4 ms at first and 24 ms after 10,000 events.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")
if importlib.util.find_spec("matplotlib") is None:
    sys.modules.setdefault("matplotlib", None)  # type: ignore[arg-type]  # Gradio tries to import it for every frame

from streamspace.ui.page import build_demo, mount, open_share_link
from streamspace.ui.streams import StreamingBlocks

__all__ = ["StreamingBlocks", "build_demo", "mount", "open_share_link"]
