"""StreamSpace: one vLLM engine, one page, every visitor at the engine's speed. Run it: python app.py [--help]"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))  # a Space installs requirements.txt, not this package

from streamspace.process import collect_rarely, exit_with_parent, explained, log_to_terminal

if __name__ == "__mp_main__":
    exit_with_parent()  # one of vLLM's processes, which execute this file again; the page is none of their business
else:
    with explained():
        from streamspace.config import load_config
        from streamspace.environment import check

        log_to_terminal()
        collect_rarely()  # of what the imports make, next to nothing is garbage
        check(os.environ)
        config = load_config(sys.argv[1:] if __name__ == "__main__" else ())  # refuses before anything loads

        from streamspace.engine import Engine

        engine = Engine(config)
        if __name__ == "__main__":
            engine.begin_import()

        from streamspace.limits import Admission, Limits
        from streamspace.server import serve
        from streamspace.ui import build_demo

        admission = Admission(engine, Limits.of(config))
        demo = build_demo(engine, admission)

if __name__ == "__main__":
    with explained():
        serve(engine, demo, admission)
