"""How the page looks: Gradio's default theme in quiet colours, and the few rules that it has no option for."""

import gradio as gr

THEME = gr.themes.Default(primary_hue="indigo", neutral_hue="slate", radius_size="md").set(
    # The theme's own colours have less contrast than WCAG asks for: white on buttons, and half for explanations.
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_cancel_background_fill="#dc2626",
    button_cancel_background_fill_hover="#b91c1c",
    block_info_text_color="*neutral_500",
    body_text_color_subdued="*neutral_500",
    input_placeholder_color="*neutral_500",
)

# Gradio cannot stop an event whose id the browser does not have yet, and loses a turn that is stopped before its first
# frame is on the page. Until then it shows its notes as translucent, and a click on what stops waits.
STOPPING = """<script>
window.stopped = () => {
  const numbers = document.querySelector('#note .numbers')?.outerHTML ?? '';
  return `<span class="cut">${say('Stopped by you.')}</span> ${numbers}`;
};
document.addEventListener('click', async (event) => {
  const button = event.target.closest('button.stop, #chat .top-panel button');
  const isPending = () => button?.closest('[role=tabpanel]').querySelector('.note .translucent');
  if (!isPending()) return;
  event.stopImmediatePropagation();
  while (isPending()) await new Promise((resolve) => setTimeout(resolve, 20));
  if (button.checkVisibility()) button.click();
}, true);
</script>"""
# While an answer is under way, Stop stands in Send's place. In the browser, so that it costs the server no event.
BUSY = """(...inputs) => {
  const compose = document.querySelector('#compose');
  compose.classList.remove('ended', 'unbegun', 'cleared');
  compose.classList.add('busy');
  return inputs;
}"""
# What Stop and Clear do before they end the answer; each gives its outputs.
STOP = """() => {
  const isBegun = Boolean(document.querySelector('#live [data-testid=bot]'));
  document.querySelector('#compose').classList.add('ended', ...(isBegun ? [] : ['unbegun']));
  return isBegun ? stopped() : '';
}"""
CLEAR = "() => { document.querySelector('#compose').classList.add('ended', 'cleared'); return [[], [], '']; }"
# The turn that was under way joins the settled conversation. Its first words may have come after the click on Stop.
SETTLE = """(settled, live) => {
  const compose = document.querySelector('#compose');
  compose.classList.remove('busy');
  if (compose.classList.contains('cleared')) return [[], [], undefined];
  const thought = (metadata) => metadata && { ...metadata, title: say('Thought'), status: 'done' };
  const turn = (live ?? []).map((part) => ({ ...part, metadata: thought(part.metadata) }));
  const isUntold = compose.classList.contains('unbegun') && turn.at(-1)?.role === 'assistant';
  return [[...(settled ?? []), ...turn], [], isUntold ? stopped() : undefined];
}"""
# Gradio takes an answer that the visitor ends for a failure, too; then nothing goes back into the box.
FAILED = """(...inputs) => {
  const compose = document.querySelector('#compose');
  compose.classList.remove('busy');
  return compose.classList.contains('ended') ? inputs.map(() => null) : inputs;
}"""

# The same in the Compare tab; afterwards the lines of answers that did not come to their end say so.
COMPARING = "(...inputs) => { document.querySelector('#compare').classList.add('busy'); return inputs; }"
COMPARED = """(together, ...lines) => {
  document.querySelector('#compare').classList.remove('busy');
  const parsed = (text) => {
    const template = document.createElement('template');
    template.innerHTML = text ?? '';
    return template;
  };
  const settled = lines.map((line) => {
    const part = parsed(line).content.querySelector('.live');
    if (!part) return line;
    const numbers = [...part.querySelectorAll('.numbers')].map((each) => each.outerHTML);
    return [`<span class="cut">${say('Stopped.')}</span>`, ...numbers].join(' ');
  });
  const sum = parsed(together);
  sum.content.querySelector('.live')?.remove();
  return [sum.innerHTML, ...settled];
}"""
# The question and one answer become a turn of the chat; an answer that was cut can be continued there.
USE = """(messages, note, question, answer, line) => {
  const message = (role, text) => ({role, metadata: null, content: [{type: 'text', text}], options: null});
  const turn = [message('user', question), message('assistant', answer)];
  return [[...(messages ?? []), ...turn], (line ?? '').includes('class="cut"') ? line : ''];
}"""
SHOW_CHAT = """() => {
  document.querySelector('#chat-tab-button').click();
  setTimeout(() => document.querySelector('#message textarea').focus(), 100);
}"""

CSS = """
.gradio-container { width: 100%; max-width: 1000px !important; margin: 0 auto !important; }
#heading h1 { margin-bottom: 0; }
#sign-out { align-self: flex-end; width: auto; flex-grow: 0; }
#status, #status .html-container, .note, .note .html-container { padding: 0; }
#status .state { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem; min-height: 1.75rem; }
#status .state p { margin: 0; color: var(--body-text-color-subdued); }
#status .state p::before { content: "● "; color: var(--color-accent); }
#status .ready p::before { color: #16a34a; }
#status .failed p::before { color: #dc2626; }
#status .failed p { color: var(--body-text-color); }
#status progress { flex: 1 1 12rem; height: 0.5rem; accent-color: var(--color-accent); }
.note .numbers { color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.note meter { width: 4rem; height: 0.75rem; vertical-align: middle; }
.note { min-height: 1.25rem; margin: -0.5rem 0; font-size: var(--text-sm); color: var(--body-text-color-subdued); }
[data-testid="status-tracker"] { display: none; } /* a refusal is a message; its red tag would cover the chat */
/* Two Chatbots that look like one. The end of a reversed column is where it begins, and there it stays while it grows,
   unless the reader scrolls away. */
#conversation { flex-direction: column-reverse; flex-wrap: nowrap; height: 60vh; overflow-y: auto;
  border: var(--block-border-width) solid var(--border-color-primary); border-radius: var(--block-radius);
  background: var(--background-fill-primary); }
#conversation > .column { flex: 1 0 auto; gap: 0; }
#conversation .block { flex: 0 0 auto; border: none !important; background: none; overflow: visible !important; }
#conversation .bubble-wrap { background: none; }
#chat .placeholder { padding: 0 var(--spacing-xl); }
#conversation:not(:has(.message)) #chat { flex: 1 0 auto; }
#conversation:has(#live .message) #chat:not(:has(.message)), #live:not(:has(.message)) { display: none; }
#conversation:has(#live .message) #chat .message-buttons, #live .icon-button-wrapper.top-panel { visibility: hidden; }
#below { align-items: center; flex-wrap: nowrap; }
#settle, #keep, #keep-live, #open, #more { display: none; }
#below:has(.cut):not(:has(~ #compose.busy)) #more { display: flex; flex: none; }
#compose { align-items: flex-end; flex-wrap: nowrap; }
@media (max-width: 640px) {
  #conversation { height: max(14rem, calc(100dvh - 29rem)); } /* so that the message box is on the screen */
  #note { min-height: 2.5rem; } /* two lines, from the beginning */
  #note meter { display: none; } /* its words say the same */
}
#constrain .code textarea { font-family: var(--font-mono); font-size: var(--text-sm); }
#constrain:not(:has([value="json"]:checked)) #constraint-json,
#constrain:not(:has([value="regex"]:checked)) #constraint-regex,
#constrain:not(:has([value="choice"]:checked)) #constraint-choice { display: none; }
/* The view keeps its height. How sure the model was is told by the colour and by the kind of the line. */
.view, .view .html-container { padding: 0; }
.view:not(:has(.tokens)) { display: none; }
.tokens { height: 20rem; display: flex; flex-direction: column; gap: 0.5rem; font-size: var(--text-sm); }
.tokens [role="listbox"] { flex: 1; overflow-y: auto; line-height: 2; white-space: pre-wrap; overflow-wrap: anywhere; }
.tokens [role="option"] { padding: 0.1rem 0; border-bottom: 2px solid transparent; cursor: pointer; }
.tokens .p50 { background: #3b82f61f; border-bottom: 2px dotted #3b82f6; }
.tokens .p20 { background: #f59e0b2e; border-bottom: 2px dashed #d97706; }
.tokens .p0 { background: #ef44442e; border-bottom: 3px double #ef4444; }
.tokens [role="option"]:is(:focus, [aria-selected="true"]) { outline: 2px solid var(--color-accent); }
.tokens .likely { flex: none; height: 11rem; overflow-y: auto; }
.tokens table, .tokens td, .tokens th { border: none; }
.tokens td, .tokens th { padding: 0.05rem 1.5rem 0.05rem 0; text-align: left; font-weight: inherit; }
.tokens tr { border: none; border-bottom: 1px solid var(--border-color-primary); }
.tokens td:nth-child(2) { text-align: right; font-variant-numeric: tabular-nums; }
.tokens tr.taken { font-weight: bold; }
.tokens code { white-space: pre-wrap; }
#stop, #compose.busy #send { display: none; }
#compose.busy #stop { display: flex; }
/* Compare: columns beside each other, swiped through on a phone. Text grows at the bottom, so that nothing moves. */
#columns { flex-wrap: nowrap; align-items: stretch; overflow-x: auto; scroll-snap-type: x proximity; }
#columns > .column { flex: 1 0 13rem; min-width: min(13rem, 85vw) !important; scroll-snap-align: start; gap: 0.75rem;
  padding: 0.75rem; border: var(--block-border-width) solid var(--border-color-primary);
  border-radius: var(--block-radius); }
#columns h2 { margin: 0; font-size: var(--text-lg); }
#columns .own .form { display: grid; grid-template-columns: 1fr 1fr; }
#columns .own .adapter { grid-column: 1 / -1; }
#columns .line { min-height: 3.75rem; margin: 0; }
#columns .answer { min-height: 22rem; overflow-wrap: anywhere; }
#together, #together .html-container { padding: 0; }
#together { min-height: 3rem; }
#compare.busy #compare-run, #compare:not(.busy) #compare-stop { display: none; }
#compare.busy .use, #columns > .column:not(:has(.answer .md > *)) .use { visibility: hidden; }
#compare:has(#compare-number [value="2"]:checked) #column-3,
#compare:not(:has(#compare-number [value="4"]:checked)) #column-4,
#compare:has(#compare-kind [value="settings"]:checked) #compare-sampled,
#compare:has(#compare-kind [value="samples"]:checked) #columns .own { display: none; }
@media (max-width: 640px) { #columns > .column { flex-basis: 75vw; } #compare-measures { flex-basis: 100%; } }
"""
