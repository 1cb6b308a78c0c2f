"""All that knows Gradio's insides."""
