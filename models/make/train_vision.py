"""Teach the text model to see: a new tower and projector, and the text model's weights trained on, all together.

    python models/make/corpus.py --folder models/streamspace-tiny --out /tmp/narrow --documents 400000 --seed 21
    python models/make/corpus.py --folder models/streamspace-tiny --out /tmp/wide --documents 400000 --seed 22 \\
        --wide-names
    python models/make/train_vision.py --text models/streamspace-tiny --corpus /tmp/narrow /tmp/wide \\
        --folder models/streamspace-tiny-vision --minutes 5

First the tower learns alone, from a tutor (`tutor.py`). Then everything learns together: a third of every batch is the
text corpus, so that nothing is unlearnt, the rest is chats about pictures. Processes draw pictures all the time, and
the network learns from those that are there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from chatml import END_OF_TEXT, IM_END, Document, Turn, document_parts
from common import EN, ZH
from eyes import IMAGE, TEXT, SeeingNetwork, Sight, save, write_tokenizer
from looking import Look, looks, two, without_picture
from network import Layout, packed_attention
from pictures import Scene, draw, pixels, scene
from tokenizers import Tokenizer
from torch import Tensor, nn
from train import GIVEN_WEIGHT, Batch, Muon, Texts, batches, share_of_rate, texts, write_log
from tutor import Tutor, lesson, lesson_size

CHINESE_SHARE = 0.45
TURNS = 5  # questions about one picture, at most
SHARD = 256  # chats in one file
ASKED, ANSWERED = 1, 2  # what a token is to the loss; 0: nothing


@dataclass(frozen=True)
class Chat:
    """A chat about one or two pictures: the turns, with IMAGE in the first."""

    turns: tuple[Turn, ...]
    scenes: tuple[Scene, ...]


def with_image(rng: Random, question: str, count: int = 1) -> str:
    """Put the pictures before the question, as most clients do, or behind it."""
    gap = rng.choice(("", "", "\n"))
    return question + gap + IMAGE * count if rng.random() < 0.12 else IMAGE * count + gap + question


def turns_of(rng: Random, found: list[Look], count: int) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for number, look in enumerate(found):
        question = look.question if number or not count else with_image(rng, look.question, count)
        turns += [Turn("user", question), Turn("assistant", look.answer)]
    return tuple(turns)


def one_chat(rng: Random, held_out: bool = False) -> Chat:
    language = ZH if rng.random() < CHINESE_SHARE else EN
    luck = rng.random()
    if luck < 0.05:
        return Chat(turns_of(rng, [without_picture(rng, language)], 0), ())
    if luck < 0.13:
        pair = pair_of(rng, held_out)
        asked = [two(rng, pair, language) for _ in range(2)]
        return Chat(turns_of(rng, asked, 2), pair)
    made = scene(rng, held_out)
    found = list(islice(looks(rng, made, language), rng.randint(1, TURNS)))
    return Chat(turns_of(rng, found, 1), (made,))


def pair_of(rng: Random, held_out: bool) -> tuple[Scene, Scene]:
    """Make two scenes, the same one time in three."""
    first = scene(rng, held_out)
    return first, first if rng.random() < 0.33 else scene(rng, held_out)


def encode_chat(tokenizer: Tokenizer, chat: Chat, tokens: int) -> tuple[list[int], list[int]]:
    """Return the token ids and, for each, what it is to the loss; every answer is learnt."""
    ids: list[int] = []
    roles: list[int] = []
    for number in range(2, len(chat.turns) + 1, 2):
        given, said = document_parts(Document(chat.turns[number - 2 : number]))
        for text, role in (
            (given.replace(IMAGE, IMAGE * tokens), ASKED),
            (said + "\n" * (number < len(chat.turns)), ANSWERED),
        ):
            part = tokenizer.encode(text, add_special_tokens=False).ids
            ids += part
            roles += [role] * len(part)
    image = tokenizer.token_to_id(IMAGE)
    return ids, [0 if token == image else role for token, role in zip(ids, roles, strict=True)]


def write_shard(job: tuple[Path, int, Path, int]) -> Path:
    """Write one file of chats, with their pictures."""
    folder, seed, tokenizer_file, tokens = job
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    rng = Random(seed)
    chats = [one_chat(rng) for _ in range(SHARD)]
    scenes = [scene for chat in chats for scene in chat.scenes]
    encoded = [encode_chat(tokenizer, chat, tokens) for chat in chats]
    part, path = folder / f"{seed}.part", folder / f"{seed}.npz"
    np.save(path.with_suffix(".npy"), np.stack([pixels(draw(rng, scene)) for scene in scenes]))
    with part.open("wb") as file:
        np.savez(
            file,
            ids=np.concatenate([np.array(ids, np.int16) for ids, _ in encoded]),
            roles=np.concatenate([np.array(roles, np.uint8) for _, roles in encoded]),
            lengths=np.array([len(ids) for ids, _ in encoded], np.int64),
            counts=np.array([len(chat.scenes) for chat in chats], np.int64),
            lessons=np.stack([lesson(scene, Sight()) for scene in scenes]),
        )
    part.rename(path)
    return path


class Gallery:
    """Chats about pictures on the device; files come in while the network learns."""

    def __init__(self, chats: int, sight: Sight, device: str) -> None:
        self.room, self.chats, self.tokens, self.shown = chats, 0, 0, 0
        self.ids = torch.zeros(chats * 420, dtype=torch.int16, device=device)
        self.roles = torch.zeros(chats * 420, dtype=torch.uint8, device=device)
        self.pictures = torch.zeros(int(chats * 1.1) + 64, sight.size, sight.size, 3, dtype=torch.uint8, device=device)
        self.lessons = torch.zeros(len(self.pictures), lesson_size(sight), dtype=torch.uint8, device=device)
        self.offsets, self.lengths, self.counts, self.firsts = (
            torch.zeros(chats, dtype=torch.int64, device=device) for _ in range(4)
        )

    def take(self, path: Path) -> bool:
        """Add the chats of a file and delete it; False when there is no room."""
        with np.load(path) as file:
            found = {name: file[name] for name in file.files}
        found["pictures"] = np.load(path.with_suffix(".npy"))
        arrays = {name: torch.from_numpy(array).to(self.ids.device) for name, array in found.items()}
        path.unlink()
        path.with_suffix(".npy").unlink()
        size, pictures = len(arrays["ids"]), len(arrays["pictures"])
        new = len(arrays["lengths"])
        if self.chats + new > self.room or self.tokens + size > len(self.ids):
            return False
        self.ids[self.tokens : self.tokens + size] = arrays["ids"]
        self.roles[self.tokens : self.tokens + size] = arrays["roles"]
        self.pictures[self.shown : self.shown + pictures] = arrays["pictures"]
        self.lessons[self.shown : self.shown + pictures] = arrays["lessons"]
        place = slice(self.chats, self.chats + new)
        self.lengths[place], self.counts[place] = arrays["lengths"], arrays["counts"]
        self.offsets[place] = self.tokens + arrays["lengths"].cumsum(0) - arrays["lengths"]
        self.firsts[place] = self.shown + arrays["counts"].cumsum(0) - arrays["counts"]
        self.tokens, self.shown = self.tokens + size, self.shown + pictures
        self.chats += new  # last: from here on they are drawn
        return True


def lay_chats(gallery: Gallery, size: int, generator: torch.Generator) -> tuple[Batch, Tensor]:
    """Lay drawn chats end to end, with their pictures in order; as `train.lay`, which knows one answer a document."""
    device = gallery.ids.device
    mean = gallery.tokens / gallery.chats
    number = int(1.15 * size / mean) + 8
    chosen = torch.randint(gallery.chats, (NUMBER.setdefault(size, number),), generator=generator, device=device)
    ends = gallery.lengths[chosen].cumsum(0).clamp(max=size)
    starts = torch.cat((ends.new_zeros(1), ends))
    places = torch.arange(size, device=device)
    row = (torch.searchsorted(starts, places, right=True) - 1).clamp(max=len(chosen) - 1)
    positions = places - starts[row]
    source = (gallery.offsets[chosen][row] + positions).clamp(max=len(gallery.ids) - 2)
    last = positions + 1 >= gallery.lengths[chosen][row]
    role = gallery.roles[source + 1]
    weights = torch.where(role == ANSWERED, 1.0, torch.where(role == ASKED, GIVEN_WEIGHT, 0.0)).masked_fill(last, 0.0)
    batch = Batch(
        gallery.ids[source].long(), gallery.ids[source + 1].long(), weights, Layout(positions, starts.int(), 2048)
    )
    return batch, picture_order(gallery, chosen)


NUMBER: dict[int, int] = {}  # chats in a batch of so many tokens: fixed, because the compiled network wants fixed sizes


def picture_order(gallery: Gallery, chosen: Tensor) -> Tensor:
    """Return the numbers of the pictures of the chosen chats, in order; the room for them is fixed."""
    counts, firsts = gallery.counts[chosen], gallery.firsts[chosen]
    room = int(len(chosen) * 1.1) + 8
    begin = counts.cumsum(0) - counts
    order = torch.zeros(room + 1, dtype=torch.int64, device=chosen.device)
    for extra in range(2):
        place = torch.where(counts > extra, begin + extra, room).clamp(max=room)
        order.scatter_(0, place, firsts + extra)
    return order[:room]


def joined(text: Batch, seen: Batch) -> Batch:
    """Put two rows behind each other."""
    layout = Layout(
        torch.cat((text.layout.positions, seen.layout.positions)),
        torch.cat((text.layout.starts, seen.layout.starts + len(text.tokens))),
        2048,
    )
    # Each half counts the same, whatever share of it are answers.
    weights = torch.cat((text.weights / text.weights.sum(), seen.weights / seen.weights.sum()))
    return Batch(torch.cat((text.tokens, seen.tokens)), torch.cat((text.targets, seen.targets)), weights, layout)


class Lesson(nn.Module):
    """The network with its tutor: one call gives the losses of both."""

    def __init__(self, network: SeeingNetwork, tutor: Tutor) -> None:
        super().__init__()
        self.network, self.tutor = network, tutor

    def forward(self, batch: Batch, pictures: Tensor, lessons: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of the words, the tutor's, and whether each token was predicted."""
        logits, features = self.network(batch.tokens, batch.layout, pictures)
        losses = F.cross_entropy(logits.float(), batch.targets, reduction="none").where(batch.weights > 0, 0.0)
        return (losses * batch.weights).sum(), self.tutor(features, lessons), logits.argmax(-1) == batch.targets


class FirstLesson(Lesson):
    """The tower with its tutor alone."""

    def forward(self, pictures: Tensor, lessons: Tensor) -> Tensor:  # type: ignore[override]
        loss: Tensor = self.tutor(self.network.look(pictures), lessons)
        return loss


def corpus(folders: list[Path], device: str) -> Texts:
    parts = [np.load(path) for folder in folders for path in sorted(folder.glob("part_*.npz"))]
    ids, lengths, given = (np.concatenate([part[name] for part in parts]) for name in ("ids", "lengths", "given"))
    return texts(ids, lengths, given, device)


@dataclass(frozen=True)
class Optimisers:
    """Muon for the matrices of the layers, slower for those that can do something already; Adam for the rest."""

    muons: tuple[Muon, ...]
    adams: tuple[torch.optim.AdamW, ...]
    rates: tuple[float, ...]

    def step(self, share: float) -> None:
        for adam, rate in zip(self.adams, self.rates, strict=True):
            for group in adam.param_groups:
                group["lr"] = rate * share
            adam.step()
        for muon in self.muons:
            muon.step(share)


def optimisers(groups: list[tuple[float, nn.Module]]) -> Optimisers:
    """Give each module its rate."""
    muons, adams = [], []
    for rate, module in groups:
        named = list(module.named_parameters())
        matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name and "asks" not in name]
        rest = [p for _, p in named if all(p is not matrix for matrix in matrices)]
        muons.append(Muon(matrices, rate))
        adams.append(torch.optim.AdamW(rest, lr=rate / 10, betas=(0.9, 0.95), weight_decay=0.0, fused=rest[0].is_cuda))
    return Optimisers(tuple(muons), tuple(adams), tuple(rate / 10 for rate, _ in groups))


def compiled(module: nn.Module, device: str) -> nn.Module:
    return torch.compile(module, dynamic=False) if device == "cuda" else module  # type: ignore[return-value]


class Clock:
    """Finds out how many steps fit into the time, from the speed of the first ones."""

    def __init__(self, minutes: float, steps: int | None) -> None:
        self.minutes, self.steps = minutes, steps or 10**9
        self.start = self.warm = time.perf_counter()

    def tick(self, step: int, loss: Tensor) -> None:
        """Count a step; the loss is waited for where the time is taken."""
        if step == 20:
            self.warm = (loss.item(), time.perf_counter())[1]
        if step == 60 and self.steps == 10**9:
            now = (loss.item(), time.perf_counter())[1]
            self.steps = int((self.minutes * 60 - (now - self.start)) * 40 / (now - self.warm)) + step
            print(f"{(now - self.warm) / 40 * 1000:.0f} ms a step: {self.steps} steps", flush=True)

    @property
    def seconds(self) -> int:
        return round(time.perf_counter() - self.start)


def learn_to_look(network: SeeingNetwork, tutor: Tutor, gallery: Gallery, options: argparse.Namespace) -> None:
    """Train the tower alone with its tutor."""
    device = gallery.ids.device.type
    run = compiled(FirstLesson(network, tutor), device)
    optimiser = optimisers([(options.rate, network.tower), (options.rate, tutor)])
    clock, step = Clock(options.look_minutes, options.look_steps), 0
    while step < clock.steps:
        chosen = torch.randint(gallery.shown, (options.look_batch,), device=gallery.ids.device)
        with torch.autocast(device, torch.bfloat16):
            loss = run(gallery.pictures[chosen], gallery.lessons[chosen])
        loss.backward()
        optimiser.step(max(0.2, share_of_rate(step, clock.steps)) if step > 100 else (step + 1) / 100)
        network.zero_grad(set_to_none=True)
        tutor.zero_grad(set_to_none=True)
        step += 1
        clock.tick(step, loss)
        if step % options.log_every == 0 or step == clock.steps:
            print(
                f"looking: step {step}, {clock.seconds} s, loss {loss.item():.3f}, {gallery.shown} pictures", flush=True
            )


def learn(
    network: SeeingNetwork, tutor: Tutor, data: Texts, gallery: Gallery, options: argparse.Namespace
) -> list[dict[str, float]]:
    """Train everything together."""
    device = data.ids.device.type
    packed_attention()
    run = compiled(Lesson(network, tutor), device)
    groups: list[tuple[float, nn.Module]] = [(options.text_rate, network.text)]
    groups += [
        (options.rate * share, module) for share, module in ((0.5, network.tower), (1, network.projector), (0.5, tutor))
    ]
    optimiser = optimisers(groups)
    border = options.batch_tokens // 3 // 64 * 64
    text_stream = batches(data, border, options.seed)
    generator = torch.Generator(device=device).manual_seed(options.seed)
    clock, step = Clock(options.minutes, options.steps), 0
    rows: list[dict[str, float]] = []
    while step < clock.steps:
        seen, chosen = lay_chats(gallery, options.batch_tokens - border, generator)
        batch = joined(next(text_stream), seen)
        with torch.autocast(device, torch.bfloat16):
            loss, taught, right = run(batch, gallery.pictures[chosen], gallery.lessons[chosen])
        (loss + options.tutor * taught).backward()
        optimiser.step(share_of_rate(step, clock.steps))
        network.zero_grad(set_to_none=True)
        tutor.zero_grad(set_to_none=True)
        step += 1
        clock.tick(step, loss)
        if step % options.log_every == 0 or step == clock.steps:
            losses = {"loss": round(loss.item(), 4), "tutor": round(taught.item(), 3)}
            now = {"step": step, "seconds": clock.seconds, **losses}
            rows.append({**now, **shares(batch, right, border), "chats": gallery.chats})
            print(rows[-1], flush=True)
    return rows


def shares(batch: Batch, right: Tensor, border: int) -> dict[str, float]:
    """Return the shares of right next words, in the answers of the text half and of the pictures' half."""
    found = {}
    for name, part in (("text right", slice(0, border)), ("pictures right", slice(border, None))):
        weights = batch.weights[part]
        learnt = (weights > weights.max() * 0.5).float()
        found[name] = round(float((right[part] * learnt).sum() / learnt.sum()), 4)
    return found


def shards(options: argparse.Namespace, out: Path, sight: Sight) -> Iterator[tuple[Path, int, Path, int]]:
    for number in range(10**9):
        yield out, options.seed * 1_000_000 + number, options.folder / "tokenizer.json", sight.tokens


def fill_gallery(gallery: Gallery, paths: Iterator[Path], stop: threading.Event) -> None:
    try:
        for path in paths:
            if stop.is_set() or not gallery.take(path):
                return
    except ValueError:  # the pool is gone, because the training is over
        if not stop.is_set():
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="the text model to begin with")
    parser.add_argument("--corpus", type=Path, nargs="+", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="gets the model")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument(
        "--begin-with", type=Path, help="a seeing model to train on, instead of the text model's weights"
    )
    parser.add_argument("--look-minutes", type=float, default=1.5, help="of the tower alone")
    parser.add_argument("--look-steps", type=int, help="instead of --look-minutes")
    parser.add_argument("--look-batch", type=int, default=4096, help="pictures a step")
    parser.add_argument("--batch-tokens", type=int, default=131_072)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--text-rate", type=float, default=0.01)
    parser.add_argument("--tutor", type=float, default=0.1, help="weight of the tutor's loss beside the words'")
    parser.add_argument("--chats", type=int, default=1_500_000, help="at most")
    parser.add_argument("--first", type=int, default=40_000, help="chats to wait for")
    parser.add_argument("--processes", type=int, default=max(1, (os.cpu_count() or 1) - 3))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=250)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    sys.setswitchinterval(0.0005)  # the thread that takes files in must not hold up the steps
    torch.set_float32_matmul_precision("high")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    write_tokenizer(options.text, options.folder)
    tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    ids = [tokenizer.token_to_id(token) for token in (IMAGE, IM_END, END_OF_TEXT)]
    sight = Sight()
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=shared) as out, context.Pool(options.processes, os.nice, (10,)) as pool:
        gallery, stop = Gallery(options.chats, sight, device), threading.Event()
        made = throttled(pool, shards(options, Path(out), sight), 4 * options.processes)
        filler = threading.Thread(target=fill_gallery, args=(gallery, made, stop), daemon=True)
        filler.start()
        data = corpus(options.corpus, device)
        network = SeeingNetwork(TEXT, sight, ids[0])
        if options.begin_with:
            network.take_all(options.begin_with)
        else:
            network.take_text(options.text)
        start = time.perf_counter()
        while gallery.chats < min(options.first, options.chats - SHARD):
            time.sleep(0.2)
        print(
            f"{gallery.chats} chats after {time.perf_counter() - start:.0f} s; {len(data.ids):,} tokens of text",
            flush=True,
        )
        network.to(device)
        tutor = Tutor(sight).to(device)
        if options.look_steps != 0:
            learn_to_look(network, tutor, gallery, options)
        rows = learn(network, tutor, data, gallery, options)
        stop.set()
        pool.terminate()
        filler.join(timeout=10)
    save(network, options.folder, ids[1], ids[2])
    write_log(rows, options.folder / "training.csv")


def throttled(
    pool: multiprocessing.pool.Pool, jobs: Iterator[tuple[Path, int, Path, int]], ahead: int
) -> Iterator[Path]:
    """Have a pool draw files, at most so many ahead of their taker: a pool alone would run through all jobs at once."""
    waiting = [pool.apply_async(write_shard, (job,)) for job in islice(jobs, ahead)]
    while waiting:
        path = waiting.pop(0).get()
        waiting.append(pool.apply_async(write_shard, (next(jobs),)))
        yield path


if __name__ == "__main__":
    main()
