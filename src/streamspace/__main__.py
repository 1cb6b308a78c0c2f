"""Two commands: python -m streamspace ["prompt" ...] [--help] streams to a terminal, and
python -m streamspace space MODEL_ID [--help] makes or updates a Hugging Face Space.
"""

import sys

from streamspace.process import exit_with_parent

if __name__ == "__mp_main__":
    exit_with_parent()
elif __name__ == "__main__":
    if sys.argv[1:2] == ["space"]:  # it needs neither vLLM nor Gradio
        from streamspace.space import main

        main(sys.argv[2:])
    else:
        from streamspace.terminal import main

        main(sys.argv[1:])
