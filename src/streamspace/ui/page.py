"""The page as a whole: header with the engine's state, the tabs, the named endpoints, and how they are served."""

import logging
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.routing import Route

from streamspace.chat import ServedEngine
from streamspace.config import Config
from streamspace.frames import BESIDE_ENGINE_SHARE, PAGE_SHARE, Pacer
from streamspace.hardware import has_gpu
from streamspace.limits import Admission
from streamspace.translation import LANGUAGES, catalog
from streamspace.ui.assets import STYLES, add_pdf_reader, call, head, said
from streamspace.ui.gradio_.drawing import add_drawing
from streamspace.ui.gradio_.endpoints import add_endpoints
from streamspace.ui.gradio_.front import FrontPage
from streamspace.ui.gradio_.internals import first_props, has_mcp, login_of, open_tunnel, pace_queue, use_mounted_app
from streamspace.ui.gradio_.mcp import add_tools, guard_tools
from streamspace.ui.gradio_.routes import keep_routes
from streamspace.ui.gradio_.sign_in import account, add_sign_in
from streamspace.ui.gradio_.streams import RAW, StreamingBlocks, Streams
from streamspace.ui.language import translated
from streamspace.ui.parts.conversations import QUICK
from streamspace.ui.parts.engine_feed import EngineFeed
from streamspace.ui.parts.inputs import Inputs
from streamspace.ui.parts.settings import panel_names
from streamspace.ui.parts.status import StatusFeed, status_html
from streamspace.ui.parts.typed_tokens import TypedTokens
from streamspace.ui.tabs.chat import ChatTab
from streamspace.ui.tabs.compare import CompareTab
from streamspace.ui.tabs.completion import CompletionTab
from streamspace.ui.tabs.engine import EngineTab, page_html
from streamspace.ui.theme import theme
from streamspace.votes import Votes

log = logging.getLogger(__name__)

# For the events in Gradio's queue; Streams has limits of its own.
MOST_EVENTS = 512  # that run at once
QUEUE_POLL_S = 0.05  # how often Gradio looks for a waiting event


def build_demo(engine: ServedEngine, admission: Admission) -> StreamingBlocks:
    """The page for this engine, which may still be loading: the page shows its state."""
    config = engine.config
    pacer = Pacer(PAGE_SHARE if has_gpu(os.environ) else BESIDE_ENGINE_SHARE)
    demo = StreamingBlocks(title=f"{config.model_name} · {config.page.title}", analytics_enabled=False, fill_width=True)
    demo.admission = admission
    demo.votes = Votes.of(config)
    with demo:
        with gr.Row(elem_id="head"):
            gr.Markdown(_heading(config), elem_id="heading")
            gr.HTML(status_html(engine.status), elem_id="status")
            if config.hf_login:
                gr.Button("Sign out", link="logout", link_target="_self", size="sm", elem_id="sign-out")
        with gr.Tabs():
            with gr.Tab("Chat", elem_id="chat-tab"):
                chat = ChatTab(engine, pacer, demo, admission)
            with gr.Tab("Completion"):
                completion = CompletionTab(engine, pacer, demo, admission)
            with gr.Tab("Compare", elem_id="compare-tab") as tab:
                compare = CompareTab(engine, pacer, demo, admission, chat)
            tab.select(None, None, None, js=call("attachments.open"), **QUICK)
            with gr.Tab("Engine") as tab:
                EngineTab(engine, tab)
        demo.add_routes.append(EngineFeed(engine, admission.queue).install)
        demo.stream(*add_endpoints(engine, pacer, admission))
        demo.tools = add_tools(engine, pacer, admission)

        _enable_when_ready(demo, {"chat": chat, "completion": completion, "compare": compare})
        demo.load(None, None, None, js=call("status.follow"))
        demo.load(None, None, None, js=call("attachments.begin"))
    demo.labels = translated(demo)
    pace_queue(demo, MOST_EVENTS, QUEUE_POLL_S)
    return demo


def _enable_when_ready(demo: StreamingBlocks, tabs: Mapping[str, ChatTab | CompletionTab | CompareTab]) -> None:
    controls = Inputs(**{name: tab.controls for name, tab in tabs.items()})

    def updates(values: Sequence[Any]) -> list[Any]:
        """Values of `controls` → updates for them."""
        groups = controls.split(values)
        return [update for name, tab in tabs.items() for update in tab.control_updates(groups[name])]

    async def engine_ready(*values: Any) -> AsyncGenerator[list[Any], None]:
        """Enable the controls that wait for the engine, now that it is ready; disable them when it has failed."""
        yield updates(values)
        _enable_from_the_start(demo, controls.components, updates)

    ready = gr.Button("The engine is ready", elem_id="engine-ready")
    ready.click(engine_ready, controls.components, controls.components, **RAW)
    demo.stream(engine_ready)


def _enable_from_the_start(
    demo: StreamingBlocks, components: Sequence[Any], updates: Callable[[Sequence[Any]], list[Any]]
) -> None:
    """Write the state into the page's config, so that pages opened later start with it: enabled, once it is ready.

    Visitors of such a page may send a request before its own `engine_ready` event has ended.
    """
    props = first_props(demo, components)
    for first, update in zip(props, updates([first.get("value") for first in props]), strict=True):
        news = {name: value for name, value in update.items() if name != "__type__"}
        if first != {**first, **news}:
            first.update(news)
            demo.num_changes += 1


def mount(app: FastAPI, demo: StreamingBlocks, engine: ServedEngine, auth: tuple[str, str] | None = None) -> FastAPI:
    """Serve the page at / of `app`, with the routes of a page of text only; `auth` is a name and a password."""
    for add_routes in (StatusFeed(engine).install, add_drawing, add_pdf_reader, *demo.add_routes):
        add_routes(app)  # before the page is mounted, which takes every other path
    if engine.config.hf_login:
        add_sign_in(app, f"{engine.config.model_name} · {engine.config.page.title}")
    mounted: FastAPI = gr.mount_gradio_app(
        app, demo, path="/", auth=auth, auth_dependency=account if engine.config.hf_login else None,
        theme=theme(engine.config.page.accent), favicon_path=engine.config.page.favicon, css_paths=STYLES,
        i18n=demo.labels, footer_links=["api"], mcp_server=has_mcp(), head=head(_head_values(engine.config)),
        ssr_mode=False, pwa=False, show_error=False, run_history=False, enable_monitoring=False,
    )  # fmt: skip
    use_mounted_app(demo, mounted)  # mount_gradio_app made a second one, which has the login
    keep_routes(demo)
    is_known = login_of(demo)
    Streams(demo, is_known, lambda: engine.is_stopping, engine.config.answers_per_visitor).install(mounted)
    mounted.router.routes.insert(0, Route("/count", TypedTokens(engine, demo.admission, is_known), methods=["POST"]))
    guard_tools(demo, demo.tools, engine, is_known, demo.admission)
    mounted.add_middleware(FrontPage, demo=demo, has_login=bool(auth or engine.config.hf_login))
    return mounted


def open_share_link(host: str, port: int) -> str | None:
    """A temporary public URL for the page, by Gradio's tunnel; None if it fails. Blocks for seconds."""
    try:
        return open_tunnel(host, port, secrets.token_urlsafe(32), None, None).replace("http://", "https://", 1)
    except Exception as error:  # of any type: by the network, the download of the tunnel's client, or the client
        log.info("The tunnel failed: %s", error)
        return None


def _head_values(config: Config) -> dict[str, object]:
    """What the page's scripts know."""
    examples = [example for example in config.page.examples or () if example.system_prompt]
    engine_tab = page_html(config)
    return {
        "catalogs": {language: said(catalog(language), engine_tab) for language in LANGUAGES},
        "api": {
            "model": config.model_name, "isOpenAI": config.serves_openai, "needsKey": bool(config.api_keys),
            "parameters": [*(["adapter"] if config.adapters else []), *panel_names()],
        },
        "prompts": {example.text.strip(): example.system_prompt for example in examples},
    }  # fmt: skip


def _heading(config: Config) -> str:
    name = f"[{config.model_name}]({config.model_card})" if config.model_card else f"**{config.model_name}**"
    return f"# {config.page.title}\n{name}"
