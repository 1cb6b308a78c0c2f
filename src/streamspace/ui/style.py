"""How the page looks: Gradio's default theme in quiet colours, and the few rules that it has no option for."""

import gradio as gr

THEME = gr.themes.Default(primary_hue="indigo", neutral_hue="slate", radius_size="md")

# While an answer is under way, Stop stands in Send's place. In the browser, so that it costs the server no event.
BUSY = "(...inputs) => { document.querySelector('#compose').classList.add('busy'); return inputs; }"
IDLE = "(...inputs) => { document.querySelector('#compose').classList.remove('busy'); return inputs; }"

CSS = """
.gradio-container { width: 100%; max-width: 1000px !important; margin: 0 auto !important; }
#heading h1 { margin-bottom: 0; }
#status, #status .html-container, .note, .note .html-container { padding: 0; }
#status .state { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem; min-height: 1.75rem; }
#status .state p { margin: 0; color: var(--body-text-color-subdued); }
#status .state p::before { content: "● "; color: var(--color-accent); }
#status .ready p::before { color: #16a34a; }
#status .failed p::before { color: #dc2626; }
#status .failed p { color: var(--body-text-color); }
#status progress { flex: 1 1 12rem; height: 0.5rem; accent-color: var(--color-accent); }
.note { min-height: 1.25rem; margin: -0.5rem 0; font-size: var(--text-sm); color: var(--body-text-color-subdued); }
[data-testid="status-tracker"] { display: none; } /* a refusal is a message; its red tag would cover the chat */
#compose { align-items: flex-end; flex-wrap: nowrap; }
#stop, #compose.busy #send { display: none; }
#compose.busy #stop { display: flex; }
"""
