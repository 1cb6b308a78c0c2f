"""A Hugging Face hub on this machine that also has accounts, Spaces, datasets and buckets, and keeps the hub's rules.

The routes, their bodies and status codes are those that huggingface_hub 2.4.0 uses; the rules are those of the hub's
documentation: who may write where, what a name and a variable may be, which files are large, who has to pay. A build is
a row of stages, one for each question; `on_build` may lay the files out and start them.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.hub import Handler, Hub

NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,94}[A-Za-z0-9]|[A-Za-z0-9]")
COLOURS = "red yellow green blue indigo purple pink gray".split()
PRICES = {"cpu-basic": 0.0, "cpu-upgrade": 0.03, "t4-small": 0.4, "l4x1": 0.8, "a10g-large": 1.5, "l4x4": 3.8}
GPUS = {"t4-small": ("T4", 1, 16), "l4x1": ("L4", 1, 24), "a10g-large": ("A10G", 1, 24), "l4x4": ("L4", 4, 96)}
RAM_GB = {"cpu-basic": 16, "cpu-upgrade": 32, "t4-small": 15, "l4x1": 30, "a10g-large": 46, "l4x4": 186}
BUILT = ("BUILDING", "BUILDING", "APP_STARTING", "RUNNING")


@dataclass
class Account:
    """Whose token it is, and what it may do."""

    name: str = "me"
    role: str = "write"  # of the token: read, write or fineGrained
    writes_to: tuple[str, ...] = ()  # of a fine-grained token
    orgs: Mapping[str, str] = field(default_factory=dict)  # name → role in it
    can_pay: bool = True
    is_pro: bool = True
    most_spaces: int = 100

    def whoami(self) -> dict[str, Any]:
        scoped = [{"entity": {"type": "user", "name": name}, "permissions": ["repo.write"]} for name in self.writes_to]
        token = {"displayName": "laptop", "role": self.role, "fineGrained": {"global": [], "scoped": scoped}}
        orgs = [{"type": "org", "name": name, "roleInOrg": role} for name, role in self.orgs.items()]
        return {"type": "user", "name": self.name, "orgs": orgs, "auth": {"type": "access_token", "accessToken": token}}

    def may_write(self, owner: str) -> bool:
        if self.role == "read" or (self.role == "fineGrained" and owner not in self.writes_to):
            return False
        return owner == self.name or self.orgs.get(owner, "read") != "read"


@dataclass
class Repo:
    """A Space or a dataset."""

    kind: str
    private: bool = False
    sdk: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=lambda: ["0" * 40])
    hardware: str = "cpu-basic"
    sleep_s: int | None = None
    variables: dict[str, str] = field(default_factory=dict)
    descriptions: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    stages: list[str] = field(default_factory=lambda: ["NO_APP_FILE"])  # the first is now; the last one stays
    logs: dict[str, list[str]] = field(default_factory=dict)  # build and run
    host: str = ""


@dataclass
class SpaceHub(Hub):
    """As `Hub`; `accounts` are by their tokens, `repos` by kind and id, such as ("space", "me/chat").

    `changes` are the requests that changed something, in order, as "METHOD /path".
    """

    accounts: dict[str, Account] = field(default_factory=lambda: {"hf_me": Account()})
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    buckets: dict[str, bool] = field(default_factory=dict)  # id → whether it is private
    gated: set[str] = field(default_factory=set)  # models
    out_of_stock: set[str] = field(default_factory=set)  # hardware
    large: dict[str, bytes] = field(default_factory=dict)  # uploaded apart from commits, by their hash
    changes: list[str] = field(default_factory=list)
    lost_answers: list[str] = field(default_factory=list)  # paths whose next change is made, and its answer cut off
    stages: tuple[str, ...] = BUILT  # of a build
    logs: dict[str, list[str]] = field(default_factory=dict)
    on_build: Callable[[str, Repo], str] = lambda name, repo: ""  # lays it out, starts it, returns its address

    def handler(self) -> type[Handler]:
        return _Handler

    def space(self, name: str) -> Repo:
        return self.repos["space", name]


class _Handler(Handler):
    hub: SpaceHub

    def do_POST(self) -> None:
        self._change()

    do_PUT = do_DELETE = do_POST

    def _change(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub = self.server.hub
        assert isinstance(hub, SpaceHub)
        self.hub = hub
        path = urlsplit(self.path).path
        if not path.startswith("/lfs/"):
            hub.changes.append(f"{self.command} {path}")
        self.fault = hub.take_fault(self.command, path)
        if self.fault and self.fault.then == "early rst":
            return self.break_off("rst")
        if self.fault and self.fault.status:
            return self.refuse(self.fault.status, self.fault.body.decode())
        with hub.lock:
            hub.requests.append(f"{self.command} {path}")
            self.write(path, body)

    @property
    def account(self) -> Account | None:
        return self.hub.accounts.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def refuse(self, status: int, words: str, code: str = "") -> None:
        headers = {"X-Error-Message": words} | ({"X-Error-Code": code} if code else {})
        self.answer(status, json.dumps({"error": words}).encode(), {"Content-Type": "application/json", **headers})

    def tell(self, value: object) -> None:
        lost = next((part for part in self.hub.lost_answers if self.command != "GET" and part in self.path), None)
        if lost:
            self.hub.lost_answers.remove(lost)
            return self.break_off("rst")
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    # What changes something

    def write(self, path: str, body: bytes) -> None:
        if match := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            self.hub.large[match[1]] = body
            return self.answer(200, b"", {})
        account = self.account
        if account is None:
            return self.refuse(401, "Invalid credentials in Authorization header")
        if path == "/api/validate-yaml":
            return self.validate(json.loads(body))
        if path == "/api/repos/create":
            return self.create(account, json.loads(body))
        if path == "/api/repos/delete":
            return self.delete(account, json.loads(body))
        if match := re.fullmatch(r"/api/buckets/([^/]+)/([^/]+)", path):
            return self.bucket(account, f"{match[1]}/{match[2]}")
        if match := re.fullmatch(r"/(space|dataset)s/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self.batch(json.loads(body))
        match = re.fullmatch(r"/api/(space|dataset)s/([^/]+/[^/]+)/(.+)", path)
        repo = self.hub.repos.get((match[1], match[2])) if match else None
        if match is None or repo is None:
            return self.refuse(404, "Repository not found", "RepoNotFound")
        if not account.may_write(match[2].partition("/")[0]):
            return self.refuse(403, "You don't have the rights to write to this repository")
        {
            "preupload/main": lambda: self.preupload(repo, json.loads(body)),
            "commit/main": lambda: self.commit(match[2], repo, body),
            "variables": lambda: self.set_variable(repo, json.loads(body)),
            "secrets": lambda: self.set_secret(repo, json.loads(body)),
            "hardware": lambda: self.set_hardware(account, repo, json.loads(body)),
            "sleeptime": lambda: self.set_sleep(repo, json.loads(body)["seconds"]),
            "volumes": lambda: self.set_volumes(repo, json.loads(body)["volumes"]),
            "restart": lambda: self.build(match[2], repo),
        }.get(match[3], lambda: self.refuse(404, "No such route"))()

    def validate(self, asked: Mapping[str, str]) -> None:
        fields = yaml.safe_load(asked["content"].split("---\n")[1])
        errors = []
        if asked["repoType"] == "space":
            if len(fields.get("short_description", "")) > 60:
                errors.append("short_description must be at most 60 characters")
            errors += [f"{key} must be a colour" for key in ("colorFrom", "colorTo") if fields.get(key) not in COLOURS]
        told = [{"message": words} for words in errors]
        body = json.dumps({"errors": told, "warnings": []}).encode()
        self.answer(400 if told else 200, body, {"Content-Type": "application/json"})

    def why_no_space(self, account: Account, hardware: str) -> tuple[int, str] | None:
        if hardware not in PRICES:
            return 400, f"Unknown flavor {hardware}"
        if PRICES[hardware] and not account.can_pay:
            return 402, "A payment method is required to use this hardware"
        if not (account.can_pay or account.is_pro):
            return 402, "Gradio Spaces need a PRO, Team or Enterprise plan"
        return (503, "This hardware is out of stock") if hardware in self.hub.out_of_stock else None

    def create(self, account: Account, asked: dict[str, Any]) -> None:
        owner, kind = asked.get("organization") or account.name, asked.get("type", "model")
        name = f"{owner}/{asked['name']}"
        if not NAME.fullmatch(asked["name"]) or asked["name"].endswith(".git"):
            return self.refuse(400, "Invalid repo name")
        if not account.may_write(owner):
            return self.refuse(403, f"You don't have the rights to create a {kind} under the namespace {owner}")
        if (kind, name) in self.hub.repos:
            body = {"error": f"You already created this {kind} repo", "url": self.address(kind, name)}
            return self.answer(409, json.dumps(body).encode(), {"Content-Type": "application/json"})
        hardware = asked.get("hardware", "cpu-basic")
        if kind == "space":
            if len([one for one, _ in self.hub.repos if one == "space"]) >= account.most_spaces:
                return self.refuse(429, "You have reached the most Spaces that your plan allows")
            if refused := self.why_no_space(account, hardware):
                return self.refuse(*refused)
        repo = Repo(kind, asked.get("visibility") == "private", asked.get("sdk"), hardware=hardware)
        repo.sleep_s = asked.get("sleepTimeSeconds")
        for entry in asked.get("variables") or ():
            repo.variables[entry["key"]] = entry["value"]
            repo.descriptions[entry["key"]] = entry.get("description", "")
        repo.secrets = {entry["key"]: entry["value"] for entry in asked.get("secrets") or ()}
        repo.volumes = asked.get("volumes") or []
        repo.files = {".gitattributes": b""}
        self.hub.repos[kind, name] = repo
        self.tell({"url": self.address(kind, name), "name": name, "id": "1"})

    def address(self, kind: str, name: str) -> str:
        return f"{self.hub.url}/{'' if kind == 'model' else f'{kind}s/'}{name}"

    def delete(self, account: Account, asked: dict[str, Any]) -> None:
        owner = asked.get("organization") or account.name
        if not account.may_write(owner):
            return self.refuse(403, "You don't have the rights to delete this repository")
        gone = self.hub.repos.pop((asked.get("type", "model"), f"{owner}/{asked['name']}"), None)
        return self.tell({}) if gone else self.refuse(404, "Repository not found", "RepoNotFound")

    def bucket(self, account: Account, name: str) -> None:
        if not account.may_write(name.partition("/")[0]):
            return self.refuse(403, "You don't have the rights to create a bucket there")
        if self.command == "DELETE":
            self.hub.buckets.pop(name)
            return self.tell({})
        if name in self.hub.buckets:
            return self.refuse(409, "This bucket is there already")
        self.hub.buckets[name] = True
        self.tell({"url": f"{self.hub.url}/buckets/{name}"})

    def batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**each, "authenticated": True, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
            for each in asked["objects"]
        ]
        self.answer(
            200, json.dumps({"transfer": "basic", "objects": objects}).encode(), {"Content-Type": "application/json"}
        )

    def preupload(self, repo: Repo, asked: dict[str, Any]) -> None:
        def mode(file: Mapping[str, Any]) -> str:
            is_binary = b"\0" in base64.b64decode(file["sample"])
            return "lfs" if is_binary or file["size"] > 10_000_000 else "regular"

        self.tell(
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": mode(file),
                        "shouldIgnore": False,
                        "oid": _oid(repo, file["path"]),
                    }
                    for file in asked["files"]
                ]
            }
        )

    def commit(self, name: str, repo: Repo, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines() if line]
        head = lines[0]["value"]
        if head.get("parentCommit") not in (None, repo.commits[-1]):
            return self.refuse(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
                if b"\0" in files[value["path"]]:
                    return self.refuse(400, f"{value['path']} is binary: it belongs into the large file storage")
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.large:
                    return self.refuse(400, f"{value['path']} was not uploaded")
                files[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"])
        repo.files = files
        repo.commits.append(hashlib.sha1(f"{len(repo.commits)}".encode()).hexdigest())
        if repo.kind == "space":
            self._build(name, repo)
        url = f"{self.hub.url}/{repo.kind}s/{name}/commit/{repo.commits[-1]}"
        self.tell({"success": True, "commitUrl": url, "commitOid": repo.commits[-1]})

    def _build(self, name: str, repo: Repo) -> None:
        repo.stages, repo.logs = [*self.hub.stages], {key: [*lines] for key, lines in self.hub.logs.items()}
        repo.host = self.hub.on_build(name, repo) or repo.host

    def build(self, name: str, repo: Repo) -> None:
        self._build(name, repo)
        self.tell(self.runtime(repo))

    def set_variable(self, repo: Repo, asked: dict[str, str]) -> None:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", asked["key"]):
            return self.refuse(400, "Invalid key")
        repo.variables[asked["key"]] = asked["value"]
        self.tell({name: {"value": value} for name, value in repo.variables.items()})

    def set_secret(self, repo: Repo, asked: dict[str, str]) -> None:
        repo.secrets[asked["key"]] = asked["value"]
        self.tell({})

    def set_hardware(self, account: Account, repo: Repo, asked: dict[str, Any]) -> None:
        if refused := self.why_no_space(account, asked["flavor"]):
            return self.refuse(*refused)
        repo.hardware, repo.sleep_s = asked["flavor"], asked.get("sleepTimeSeconds", repo.sleep_s)
        self.tell(self.runtime(repo))

    def set_sleep(self, repo: Repo, seconds: int) -> None:
        repo.sleep_s = seconds
        self.tell(self.runtime(repo))

    def set_volumes(self, repo: Repo, volumes: list[dict[str, Any]]) -> None:
        repo.volumes = volumes
        self.tell({})

    # What is only asked

    def runtime(self, repo: Repo) -> dict[str, Any]:
        told = {"stage": repo.stages[0], "hardware": {"current": repo.hardware, "requested": repo.hardware}}
        running = {"sha": repo.commits[-1]} if repo.stages[0] == "RUNNING" else {}
        return {**told, **running, "gcTimeout": repo.sleep_s, "volumes": repo.volumes}

    def route(self, path: str) -> None:
        if self.headers.get("Authorization") and self.account is None:
            return self.refuse(401, "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            return self.tell(self.account.whoami()) if self.account else self.refuse(401, "Invalid credentials")
        if path == "/api/spaces/hardware":
            return self.tell([_offer(name) for name in PRICES])
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/auth-check", path):
            is_gated = match[1] in self.hub.gated
            return self.refuse(403, "Ask for access first", "GatedRepo") if is_gated else self.tell({})
        if match := re.fullmatch(r"/api/buckets/([^/]+/[^/]+)", path):
            is_there = match[1] in self.hub.buckets
            told = {
                "id": match[1],
                "private": True,
                "createdAt": "2026-01-01T00:00:00.000Z",
                "size": 0,
                "totalFiles": 0,
            }
            return self.tell(told) if is_there else self.refuse(404, "Bucket not found", "RepoNotFound")
        if match := re.fullmatch(r"/api/(space|dataset)s/([^/]+/[^/]+)(?:/(.+))?", path):
            return self.read(match[1], match[2], match[3] or "")
        return super().route(path)

    def read(self, kind: str, name: str, what: str) -> None:
        repo, account = self.hub.repos.get((kind, name)), self.account
        if repo is None or (repo.private and not (account and account.may_write(name.partition("/")[0]))):
            return self.refuse(404, "Repository not found", "RepoNotFound")
        if what == "runtime":
            told = self.runtime(repo)
            if len(repo.stages) > 1:
                repo.stages.pop(0)
            return self.tell(told)
        if what in ("auth-check/write", "variables", "secrets"):
            if account is None or not account.may_write(name.partition("/")[0]):
                return self.refuse(403, "You don't have the rights to write to this repository")
            values = {name: {"value": value} for name, value in repo.variables.items()}
            return self.tell({"variables": values, "secrets": {key: {} for key in repo.secrets}}.get(what, {}))
        if match := re.fullmatch("logs/(build|run)", what):
            events = "".join(
                f"data: {json.dumps({'data': line, 'timestamp': '2026-01-01T00:00:00.000Z'})}\n\n"
                for line in repo.logs.get(match[1], ())
            )
            return self.answer(200, events.encode(), {"Content-Type": "text/event-stream"})
        info = {"id": name, "sha": repo.commits[-1], "private": repo.private, "sdk": repo.sdk, "host": repo.host}
        files = [{"rfilename": path} for path in repo.files]
        self.tell({**info, "siblings": files, "tags": [], "subdomain": name.replace("/", "-")})


def _oid(repo: Repo, path: str) -> str | None:
    """Git's own hash of a file, by which the client sees that it has not changed."""
    content = repo.files.get(path)
    if content is None:
        return None
    if b"\0" in content:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _offer(name: str) -> dict[str, Any]:
    cost = PRICES[name] / 60
    told: dict[str, Any] = {"name": name, "prettyName": name.upper(), "cpu": "8 vCPU", "ram": f"{RAM_GB[name]} GB"}
    told |= {"ephemeralStorage": "50 GB", "accelerator": None, "unitLabel": "minute"}
    told |= {"unitCostUSD": cost, "unitCostMicroUSD": int(cost * 1e6)}
    if name in GPUS:
        model, number, memory = GPUS[name]
        gpu = {"type": "gpu", "model": model, "quantity": str(number), "vram": f"{memory} GB", "manufacturer": "Nvidia"}
        told["accelerator"] = gpu
    return told
