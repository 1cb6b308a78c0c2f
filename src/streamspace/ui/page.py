"""The page as a whole: header with the engine's state, the tabs, the named endpoints, and how they are served."""

import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio import networking

from streamspace.chat import ServedEngine
from streamspace.config import Config
from streamspace.frames import BESIDE_ENGINE_SHARE, PAGE_SHARE, Pacer
from streamspace.hardware import has_gpu
from streamspace.limits import Admission
from streamspace.ui.gradio_.endpoints import add_endpoints
from streamspace.ui.gradio_.mcp import add_tools, guard_tools, keep_tools
from streamspace.ui.gradio_.routes import BodyLimit, close_doors
from streamspace.ui.gradio_.sign_in import account, add_sign_in
from streamspace.ui.gradio_.streams import RAW, StreamingBlocks, Streams
from streamspace.ui.language import SAY, translated
from streamspace.ui.parts.conversations import LIST_CSS
from streamspace.ui.parts.engine_feed import EngineFeed
from streamspace.ui.parts.inputs import Inputs
from streamspace.ui.parts.status import FOLLOW, StatusFeed, status_html
from streamspace.ui.style import CSS, STOPPING, THEME
from streamspace.ui.tabs.chat import ChatTab
from streamspace.ui.tabs.compare import CompareTab
from streamspace.ui.tabs.completion import CompletionTab
from streamspace.ui.tabs.engine import CSS as ENGINE_CSS
from streamspace.ui.tabs.engine import EngineTab
from streamspace.visitors import Keys

log = logging.getLogger(__name__)

# Of the events that still go through Gradio's queue; the streams have a limit of their own.
MOST_EVENTS = 512  # that run at once
MOST_QUEUED = 512
QUEUE_POLL_S = 0.05  # how often Gradio looks for one that waits


def build_demo(engine: ServedEngine, admission: Admission) -> StreamingBlocks:
    """The page on this engine; it may be built, and shown, long before the engine is ready."""
    config = engine.config
    pacer = Pacer(PAGE_SHARE if has_gpu(os.environ) else BESIDE_ENGINE_SHARE)
    demo = StreamingBlocks(title=f"{config.model_name} · StreamSpace", analytics_enabled=False)
    with demo:
        gr.Markdown(_heading(config), elem_id="heading")
        if config.hf_login:
            gr.Button("Sign out", link="logout", link_target="_self", size="sm", elem_id="sign-out")
        gr.HTML(status_html(engine.status), elem_id="status")
        with gr.Tabs():
            with gr.Tab("Chat", elem_id="chat-tab"):
                chat = ChatTab(engine, pacer, demo, admission)
            with gr.Tab("Completion"):
                completion = CompletionTab(engine, pacer, demo, admission)
            with gr.Tab("Compare"):
                compare = CompareTab(engine, pacer, demo, admission, chat)
            with gr.Tab("Engine") as tab:
                EngineTab(engine, tab)
        demo.add_routes.append(EngineFeed(engine, admission.queue).install)
        demo.stream(*add_endpoints(engine, pacer, admission))
        demo.tools = add_tools(engine, pacer, admission)

        tabs: dict[str, ChatTab | CompletionTab | CompareTab] = {
            "chat": chat,
            "completion": completion,
            "compare": compare,
        }
        controls = Inputs(**{name: tab.controls for name, tab in tabs.items()})

        def updates(values: Sequence[Any]) -> list[Any]:
            """Values of `controls` → updates for them."""
            groups = controls.split(values)
            return [update for name, tab in tabs.items() for update in tab.control_updates(groups[name])]

        async def engine_ready(*values: Any) -> AsyncGenerator[list[Any], None]:
            """Let the controls that wait for the engine work, now that it is ready."""
            yield updates(values)
            _begin_ready(demo, controls.components, updates)

        ready = gr.Button("The engine is ready", elem_id="settle")
        both = (controls.components, controls.components)
        ready.click(engine_ready, *both, **RAW, show_progress="hidden", api_visibility="private")
        demo.stream(engine_ready)
        demo.load(None, None, None, js=FOLLOW)
    demo.i18n_instance = translated(demo)
    demo.max_threads = MOST_EVENTS
    demo.queue(default_concurrency_limit=None, max_size=MOST_QUEUED, api_open=False)
    demo._queue.sleep_when_free = demo._queue.progress_update_sleep_when_free = QUEUE_POLL_S
    return demo


def _begin_ready(
    demo: StreamingBlocks, components: Sequence[Any], updates: Callable[[Sequence[Any]], list[Any]]
) -> None:
    """Write the ready state into the page's config, so that pages opened later start with controls that work."""
    props = {part["id"]: part["props"] for part in demo.config["components"]}
    own = [props[component._id] for component in components]
    for begun, update in zip(own, updates([begun.get("value") for begun in own]), strict=True):
        begun.update({name: value for name, value in update.items() if name != "__type__"})


def mount(app: FastAPI, demo: StreamingBlocks, engine: ServedEngine, auth: tuple[str, str] | None = None) -> FastAPI:
    """Serve the page at / of `app`, and nothing that a public page should not have; `auth` is who may log in."""
    for add_routes in (StatusFeed(engine).install, *demo.add_routes):
        add_routes(app)  # before the page, which takes every path that is left
    if engine.config.hf_login:
        add_sign_in(app, f"{engine.config.model_name} · StreamSpace")
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        demo,
        path="/",
        auth=auth,
        auth_dependency=account if engine.config.hf_login else None,
        theme=THEME,
        css=CSS + ENGINE_CSS,
        head=SAY + STOPPING,
        i18n=demo.i18n_instance,
        css_paths=[LIST_CSS],
        ssr_mode=False,
        pwa=False,
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=True,
        footer_links=["api"],
    )
    demo.app = mounted.routes[-1].app  # type: ignore[attr-defined]  # not the one of its building, which knows no login
    close_doors(demo)
    keep_tools(demo, demo.tools)
    streams = Streams(demo, lambda: engine.is_stopping)
    streams.install(mounted)
    guard_tools(demo, streams.is_known, Keys(engine.config.api_keys))
    mounted.add_middleware(BodyLimit)
    return mounted


def open_share_link(demo: gr.Blocks, host: str, port: int) -> str | None:
    """A temporary public address for the page by Gradio's own tunnel; None if it cannot be had. Blocks for seconds."""
    try:
        url = networking.setup_tunnel(host, port, demo.share_token, None, None)
    except Exception as error:  # whatever the network, the download of the tunnel's client or the client itself raises
        log.info("The tunnel failed: %s", error)
        return None
    return url.replace("http://", "https://", 1)


def _heading(config: Config) -> str:
    name = f"[{config.model_name}]({config.model_card})" if config.model_card else f"**{config.model_name}**"
    about = ", a tiny model that comes with this demo; set `MODEL_ID` for a real one" if config.is_bundled else ""
    return f"# StreamSpace\nChat with {name}{about}. Streamed by [vLLM](https://github.com/vllm-project/vllm)."
