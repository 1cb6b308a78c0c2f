"""The page and the named endpoints. The only package that imports Gradio."""

import importlib.util
import os
import sys
import tempfile

# Gradio reads these when it is imported. Analytics: nothing of the visitors leaves the machine. The second one stops a
# statistic over all past events after every event, which costs 4 ms at first and 24 ms after 10,000 events.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")
# Its own choice is one folder for all users of the machine, which belongs to whoever came first.
os.environ.setdefault("GRADIO_TEMP_DIR", os.path.join(tempfile.gettempdir(), f"gradio-{os.getuid()}"))
if importlib.util.find_spec("matplotlib") is None:
    sys.modules.setdefault("matplotlib", None)  # type: ignore[arg-type]  # Gradio tries to import it for every frame

from streamspace.ui.gradio_.streams import StreamingBlocks
from streamspace.ui.page import build_demo, mount, open_share_link

__all__ = ["StreamingBlocks", "build_demo", "mount", "open_share_link"]
