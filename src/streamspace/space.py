"""Make or update a Space with one command: python -m streamspace space MODEL_ID [--help], or make space MODEL_ID=…

First everything that can be refused is asked without changing anything; then the price is shown; then the Space is made
with one call and filled with one commit. What fails after that is undone, or the sentence says what is there.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from streamspace import space_files, space_plan
from streamspace.config import GPU_MODEL
from streamspace.errors import SpaceError
from streamspace.fits import Weights
from streamspace.process import explained
from streamspace.space_hub import ASLEEP, Existing, Source, SpaceHub, connect
from streamspace.space_plan import Hardware, Wish
from streamspace.types import size


@dataclass(frozen=True)
class Plan:
    """All that will be done, before anything is."""

    wish: Wish
    space_id: str
    there: Existing | None
    source: Source
    hardware: Hardware
    variables: dict[str, str]
    files: dict[str, bytes]

    @property
    def sleep_s(self) -> int | None:
        """The sleep time to set; None leaves it."""
        return space_plan.sleep_of(self.wish, self.hardware, is_new=self.there is None)

    @property
    def is_private(self) -> bool:
        """Whether only its owners can open the Space."""
        return self.there.is_private if self.there else bool(self.wish.is_private)

    @property
    def changed(self) -> dict[str, str]:
        """The variables that the Space does not have so already."""
        there = self.there.variables if self.there else {}
        return {name: value for name, value in self.variables.items() if there.get(name) != value}

    def lines(self) -> list[str]:
        """The plan in words."""
        state = "an update" if self.there else "new"
        visible = "private" if self.is_private else "public"
        weights = f", {size(num, 0)} of weights" if (num := self.source.weights.file_bytes) else ""
        sleep = space_plan.sleep_sentence(self.sleep_s, self.hardware)
        num_bytes = sum(map(len, self.files.values()))
        lines = [
            f"Space      {self.space_id} ({state}, {visible})",
            f"Model      {self.source.model}{weights}",
            f"Hardware   {self.hardware.name} ({self.hardware.title}), {self.hardware.price}; {sleep}",
            f"Variables  {', '.join(f'{n}={v}' for n, v in self.changed.items()) or 'as they are'}",
            f"Secrets    {', '.join(self.wish.secrets) or ('as they are' if self.there else 'none')}",
            f"Files      {len(self.files)} of {size(num_bytes, 1)}, in one commit",
        ]
        if self.wish.storage:
            lines.append(f"Storage    {self.wish.storage}, mounted at /data (what it stores counts for your account)")
        if self.source.weights.file_bytes and not self.hardware.num_gpus:
            lines.append(space_plan.on_cpu_sentence(self.source.weights))
        if unknown := space_plan.unknown(self.wish.variables):
            lines.append(f"Neither StreamSpace nor vLLM reads {', '.join(unknown)}; set all the same.")
        return lines


def plan(wish: Wish, hub: SpaceHub, root: Path = space_files.ROOT) -> Plan:
    """Look at everything, and change nothing. Raises SpaceError, ModelError or ConfigError."""
    there, space_id = None, ""
    if wish.name:
        space_id = hub.space_id(wish.name)
        there = hub.look(space_id)
    old = dict(there.variables) if there else {}
    model = wish.model or old.get("MODEL_ID") or GPU_MODEL
    if not wish.name:
        space_id = hub.space_id(space_plan.default_name(model))
        there = hub.look(space_id)
        old = dict(there.variables) if there else {}
    if there is None and wish.only_updates:
        raise SpaceError("There is no Space {name} to be updated: make it first, without --update.", name=space_id)
    if there is None:
        hub.check_may_create(space_id)
    given = dict(wish.variables)
    if model != old.get("MODEL_ID"):
        old.pop("MODEL_REVISION", None)  # of the other model
    source = _source(wish, hub, model, old)
    given["MODEL_ID"] = source.model
    asked = wish.hardware or (there.runtime.requested_hardware or there.runtime.hardware if there else None)
    hardware = space_plan.choose(hub.offers(), asked, {**old, **given}, space_id, source.weights)
    variables = space_plan.form(given, old, hardware)
    space_plan.config_on(variables, space_id)
    _check_secret(wish, there, source)
    files = space_files.contents(root, source.model, hardware.name, on_cpu=not hardware.num_gpus)
    return Plan(wish, space_id, there, source, hardware, variables, files)


def _source(wish: Wish, hub: SpaceHub, model: str, old: Mapping[str, str]) -> Source:
    """The model, looked at unless the Space has it already: a token for the Space alone may not read the model."""
    revision = wish.variables.get("MODEL_REVISION") or old.get("MODEL_REVISION")
    if model == old.get("MODEL_ID") and revision == old.get("MODEL_REVISION") and not wish.hardware:
        return Source(model, Weights(0, {}), needs_token=False)
    return hub.source(model, revision)


def _check_secret(wish: Wish, there: Existing | None, source: Source) -> None:
    if source.needs_token and "HF_TOKEN" not in (*wish.secrets, *(there.secrets if there else ())):
        template = (
            "The Space needs a token that may read the model {model}: set the variable SPACE_HF_TOKEN to one that can "
            "only read, and add --secret HF_TOKEN."
        )
        raise SpaceError(template, model=source.model)


def carry_out(plan: Plan, hub: SpaceHub) -> str:
    """Make or update the Space; returns the commit's id.

    Raises SpaceError: nothing is left of a new Space, or the sentence says what is. The same holds for Ctrl-C.
    """
    return _update(plan, hub, plan.there) if plan.there else _create(plan, hub)


def _create(plan: Plan, hub: SpaceHub) -> str:
    wish, undo = plan.wish, list[tuple[str, Callable[[], None]]]()
    try:
        if (bucket := wish.storage) and hub.make_storage(bucket):
            undo.append((f"the storage bucket {bucket}", partial(hub.drop_storage, bucket)))
        hub.create(
            plan.space_id,
            plan.hardware.name,
            plan.sleep_s,
            plan.variables,
            wish.secrets,
            wish.storage,
            is_private=plan.is_private,
        )
        undo.append((f"the empty Space {plan.space_id}", partial(hub.delete, plan.space_id)))
        return hub.commit(plan.space_id, plan.files, None, plan.source.model)
    except (SpaceError, KeyboardInterrupt) as error:
        left = [what for what, take_back in reversed(undo) if not _done(take_back)]
        if left:
            told = "You have interrupted it." if isinstance(error, KeyboardInterrupt) else str(error)
            raise SpaceError("{told} On the hub is left {left}.", told=told, left=" and ".join(left)) from error
        raise


def _done(take_back: Callable[[], None]) -> bool:
    try:
        take_back()
        return True
    except SpaceError:
        return False


def _update(plan: Plan, hub: SpaceHub, there: Existing) -> str:
    """What can be refused comes first; the files, which start the build, come last."""
    space_id, wish, done = plan.space_id, plan.wish, list[str]()
    steps: list[tuple[str, Callable[[], None]]] = []
    if plan.hardware.name != (there.runtime.requested_hardware or there.runtime.hardware):
        steps.append(("hardware", partial(hub.set_hardware, space_id, plan.hardware.name, plan.sleep_s)))
    elif plan.sleep_s is not None and plan.sleep_s != there.runtime.sleep_time:
        steps.append(("sleep time", partial(hub.set_sleep, space_id, plan.sleep_s)))
    if bucket := wish.storage:
        steps.append(("storage", partial(_mount, hub, space_id, there, bucket)))
    for name, value in plan.changed.items():
        steps.append((name, partial(hub.set_variable, space_id, name, value)))
    for name, value in wish.secrets.items():
        steps.append((name, partial(hub.set_secret, space_id, name, value)))
    try:
        for what, step in steps:
            step()
            done.append(what)
        return hub.commit(space_id, plan.files, there, plan.source.model)
    except (SpaceError, KeyboardInterrupt) as error:
        told = "You have interrupted it." if isinstance(error, KeyboardInterrupt) else str(error)
        template = "{told} The Space keeps its files; {done}. The same command finishes the update."
        changed = f"changed so far: {', '.join(done)}" if done else "nothing was changed"
        raise SpaceError(template, told=told, done=changed) from error


def _mount(hub: SpaceHub, space_id: str, there: Existing, bucket: str) -> None:
    hub.make_storage(bucket)
    hub.mount(space_id, there.runtime, bucket)


def agreed(plan: Plan, ask: Callable[[str], str]) -> bool:
    """Whether to go on; raises SpaceError where nobody can be asked."""
    if plan.wish.agrees:
        return True
    try:
        return ask("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise SpaceError("Nobody is there to agree to the price: add --yes (YES=1 for make space).") from None


def run(
    wish: Wish,
    hub: SpaceHub,
    tell: Callable[[str], None] = print,
    ask: Callable[[str], str] = input,
    root: Path = space_files.ROOT,
) -> None:
    """The whole command. Raises SpaceError, ModelError or ConfigError."""
    made = plan(wish, hub, root)
    for line in made.lines():
        tell(line)
    if wish.is_rehearsal:
        tell("Nothing was changed (--dry-run).")
        return
    if not agreed(made, ask):
        tell("Nothing was changed.")
        return
    commit = carry_out(made, hub)
    tell(f"The files are there: {hub.api.endpoint}/spaces/{made.space_id}")
    try:
        if made.there and made.there.runtime.stage in ASLEEP:
            hub.wake(made.space_id)
        address = hub.follow(made.space_id, commit, tell, wish.wait_s)
    except KeyboardInterrupt:
        tell("The Space goes on by itself.")
        raise
    tell(f"Ready: {address} (to stop paying: {hub.api.endpoint}/spaces/{made.space_id}/settings)")


def main(arguments: Sequence[str]) -> None:
    """Run the command line; refusals and Ctrl-C end it with one sentence."""
    with explained():
        run(space_plan.parse(arguments, os.environ), connect(), _tell)


def _tell(line: str) -> None:
    print(line, file=sys.stdout, flush=True)
