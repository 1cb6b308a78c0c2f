"""StreamSpace: put a language model in front of people, on Hugging Face Spaces or at home, at vLLM's own speed."""

__version__ = "0.1.dev0"
