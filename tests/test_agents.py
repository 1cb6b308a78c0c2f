"""What the hub's agents.md promises of a Gradio Space: an agent reads /gradio_api/info, calls, fetches the result."""

import json
import urllib.request
from typing import Any

from tests.fake import deltas
from tests.wire import Site


def fetched(url: str, body: Any = None) -> str:
    """The answer to a GET, or to a POST of JSON."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
        return str(answer.read().decode())


def test_an_agents_three_calls_work_as_the_hub_tells_it(site: Site) -> None:
    site.engine.script = deltas("Hel|lo.")
    api = f"{site.url}/gradio_api"
    endpoints = json.loads(fetched(f"{api}/info"))["named_endpoints"]
    assert {"/chat", "/complete"} <= endpoints.keys()
    for name in ("/chat", "/complete"):
        parameters = endpoints[name]["parameters"]
        assert all(each["parameter_name"] and each["type"] and "parameter_has_default" in each for each in parameters)
        needed = [each["parameter_name"] for each in parameters if not each["parameter_has_default"]]
        assert len(needed) == 1, "an agent that sends the one thing that it must is answered"
        by_name = json.loads(fetched(f"{api}/call/v2{name}", {needed[0]: "Say hello"}))["event_id"]
        assert '"Hello."' in fetched(f"{api}/call{name}/{by_name}").rpartition("event: complete")[2]
    schema = json.loads(fetched(f"{api}/openapi.json"))
    assert {"/gradio_api/call/v2/chat", "/gradio_api/call/v2/complete"} <= schema["paths"].keys()
