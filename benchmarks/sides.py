"""The sides of the streaming benchmark on one AsyncLLM, in one process, on one event loop; driven over stdin.

- raw: a loop over `AsyncLLM.generate`, without any server
- page: this project's page
- gradio_paced: the page's frames at the page's pace, but through Gradio's own queue; the difference between both is
  what `streamspace.ui.gradio_.streams` saves
- per_token: a page as nearly every Gradio demo has it, one yield a token into one Chatbot
- openai: vLLM's own OpenAI server

Each gets conversations and puts them through the model's chat template. Answers have exactly the length that is asked
for: `ignore_eos`.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import uvicorn

from benchmarks.visitors import Seen
from streamspace.chat import stream_chat
from streamspace.config import load_config
from streamspace.engine import Engine
from streamspace.process import exit_with_parent, explained, log_to_terminal
from streamspace.sampling import Settings
from streamspace.summary import Summary
from streamspace.types import Message, Reply

History = list[dict[str, str]]
MOST_EVENTS = 1024


def ignore_eos() -> None:
    """Let answers end at max_tokens alone."""
    from streamspace import llm

    sampling_params = llm.sampling_params

    def without_end(settings: Settings) -> Any:
        params = sampling_params(settings)
        params.ignore_eos = True
        return params

    llm.sampling_params = without_end


def messages_of(history: History) -> list[Message]:
    """A conversation as the OpenAI API has it → ours."""
    return [Message(turn["role"], turn["content"]) for turn in history]  # type: ignore[arg-type]


async def run_raw(engine: Engine, visits: Sequence[dict[str, Any]]) -> list[Seen]:
    """Every visit as one loop over AsyncLLM.generate; only the first and the last text are timed."""
    from streamspace import llm

    ours = engine._vllm
    assert ours is not None
    begin_s = time.monotonic() + 0.1

    async def visit(number: int, at_s: float, history: History, num_tokens: int) -> Seen:
        seen, text = Seen(), ""
        await asyncio.sleep(begin_s + at_s - time.monotonic())
        seen.asked_s = time.monotonic()
        prompt = await ours.render_chat(messages_of(history))
        params = llm.sampling_params(Settings(max_tokens=num_tokens, top_p=1.0, seed=None))
        tokens: Any = {"type": "token", "prompt_token_ids": list(prompt.token_ids)}
        async with aclosing(ours.async_llm.generate(tokens, params, f"raw-{number}-{seen.asked_s}")) as outputs:
            async for output in outputs:
                text += output.outputs[0].text
                if text and not seen.frames_s:
                    seen.frames_s.append(time.monotonic())
        seen.frames_s.append(time.monotonic())
        seen.num_chars = len(text)
        return seen

    return await asyncio.gather(*(visit(number, **one) for number, one in enumerate(visits)))


def per_token_page(engine: Engine) -> Any:
    """One yield a token, one Chatbot, Gradio's defaults but for the number of visitors at once."""
    import gradio as gr

    async def respond(text: str, history: History, num_tokens: float) -> AsyncGenerator[Any, None]:
        history = [*history, {"role": "user", "content": text}]
        plain = [{"role": turn["role"], "content": _plain(turn["content"])} for turn in history]
        prompt = await engine.render_chat(messages_of(plain))
        answer = ""
        async for delta in engine.generate(
            prompt, Settings(max_tokens=int(num_tokens), top_p=1.0, seed=None), asyncio.Event()
        ):
            answer += delta.text
            yield "", [*history, {"role": "assistant", "content": answer}]

    with gr.Blocks() as demo:
        chatbot, box, num_tokens = (
            gr.Chatbot(elem_id="chat"),
            gr.Textbox(elem_id="message"),
            gr.Number(label="max_tokens"),
        )
        box.submit(respond, [box, chatbot, num_tokens], [box, chatbot])
    demo.max_threads = MOST_EVENTS
    demo.queue(default_concurrency_limit=None)
    return demo


def paced_page(engine: Engine) -> Any:
    """A chat with this project's frames and pace, which Gradio sends: its fastest way, as far as we know it.

    The live turn is a Chatbot of its own, so that a frame costs the same after many turns. Messages are in the form
    that Gradio does not convert. Nothing is pre- or postprocessed, and `streamspace.ui` has set Gradio's variables.
    """
    import gradio as gr

    from streamspace.frames import BESIDE_ENGINE_SHARE, PAGE_SHARE, Pacer
    from streamspace.hardware import has_gpu
    from streamspace.limits import Admission, Limits
    from streamspace.ui.parts.history import chatbot_message
    from streamspace.ui.parts.history import messages_of as messages_of_page

    pacer = Pacer(PAGE_SHARE if has_gpu(os.environ) else BESIDE_ENGINE_SHARE)
    admission = Admission(engine, Limits.of(engine.config))

    async def respond(text: str, history: list[dict[str, Any]], num_tokens: float) -> AsyncGenerator[Any, None]:
        settings = Settings(max_tokens=int(num_tokens), top_p=1.0, seed=None)
        messages = (*messages_of_page(history), Message("user", text))
        question = chatbot_message("user", text)
        summary = Summary(settings, engine.max_seconds, engine.max_model_len)
        answer = stream_chat(engine, messages, settings, pacer)
        async with aclosing(admission.answer(answer, lambda place: Reply(place=place))) as replies:
            async for reply in replies:
                answered = [chatbot_message("assistant", reply.text)] if reply.text else []
                yield [question, *answered], summary.html(reply)

    with gr.Blocks() as demo:
        settled, live, note = gr.Chatbot(elem_id="chat"), gr.Chatbot(elem_id="live"), gr.HTML(elem_id="note")
        box, num_tokens = gr.Textbox(elem_id="message"), gr.Number(label="max_tokens")
        box.submit(respond, [box, settled, num_tokens], [live, note], preprocess=False, postprocess=False)
    demo.max_threads = MOST_EVENTS
    demo.queue(default_concurrency_limit=None)
    return demo


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


async def serve(arguments: Sequence[str]) -> None:
    """Serve all sides until stdin closes. Every line of it is a command, every line printed its answer."""
    import gradio as gr
    from fastapi import FastAPI

    from benchmarks.scripted import site

    engine = Engine(load_config(arguments))
    servers: dict[str, tuple[uvicorn.Server, asyncio.Task[None]]] = {}
    ports: dict[str, int] = {}

    async def start(name: str, app: Any) -> None:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
        task = asyncio.create_task(server._serve())
        while not server.started and not task.done():
            await asyncio.sleep(0.02)
        servers[name], ports[name] = (server, task), server.servers[0].sockets[0].getsockname()[1]

    await start("page", site(engine))
    try:
        while engine.status.stage in ("downloading", "loading"):
            await asyncio.sleep(0.1)
        if engine.status.stage != "ready":
            raise SystemExit(engine.status.detail)
        ignore_eos()
        for name, page in (("per_token", per_token_page), ("gradio_paced", paced_page)):
            await start(name, gr.mount_gradio_app(FastAPI(), page(engine), path="/"))
        await start("openai", engine.openai)
        _say({"urls": {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}, "versions": _versions()})
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            if "raw" in command:
                _say([asdict(seen) for seen in await run_raw(engine, command["raw"])])
            else:
                _say({"cpu_s": time.process_time()})
    finally:
        for server, _ in servers.values():
            server.should_exit = True
        await asyncio.gather(*(task for _, task in servers.values()))  # the page's lifespan stops the engine


def _versions() -> dict[str, str]:
    import gradio
    import torch
    import vllm

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores"
    python = sys.version.split()[0]
    return {
        "device": device,
        "python": python,
        "vllm": vllm.__version__,
        "torch": torch.__version__,
        "gradio": gradio.__version__,
    }


def _say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__mp_main__":
    exit_with_parent()
elif __name__ == "__main__":
    with explained():
        log_to_terminal()
        import uvloop

        # The loop that uvicorn chooses for the app itself.
        uvloop.run(serve(sys.argv[1:]))
