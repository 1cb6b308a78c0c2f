"""Gradio's names that it does not document, each behind a function of ours."""

from gradio.context import LocalContext

from streamspace.visitors import VISITOR, Visitor, client_of


def visitor() -> Visitor:
    """The visitor of the event that is handled now, also of one that Gradio's own queue runs."""
    if visitor := VISITOR.get():
        return visitor
    request = LocalContext.request.get(None)
    if isinstance(request, list):
        request = request[0]
    return client_of(request.request.scope) if request and request.request else Visitor("", "")
