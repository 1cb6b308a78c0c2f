"""Train the model on the files of corpus.py; writes the checkpoint and a log of losses and held-out scores.

    python models/make/train.py --folder models/streamspace-tiny --corpus /tmp/corpus --minutes 10

Documents are laid end to end without padding, the loss counts the model's own words. Matrices are trained by Muon
(momentum made orthogonal), embedding and norms by Adam; the learning rate rises, stays, and falls to zero. `--minutes`
fixes the number of steps from the speed of the first ones; `--steps` repeats a run exactly.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from chatml import END_OF_TEXT, IM_END, Document, encode
from evaluate import LOG_SEED, questions
from network import Layout, Network, Shape, packed_attention, save
from tokenizers import Tokenizer
from torch import Tensor, nn

GIVEN_WEIGHT = 0.1  # of tokens that are only given, against 1 for the model's own


@dataclass(frozen=True)
class Texts:
    """Documents end to end on the device."""

    ids: Tensor  # int16
    offsets: Tensor  # of each document in ids
    lengths: Tensor
    given: Tensor


@dataclass(frozen=True)
class Batch:
    tokens: Tensor
    targets: Tensor
    weights: Tensor
    layout: Layout


def texts(ids: np.ndarray, lengths: np.ndarray, given: np.ndarray, device: str) -> Texts:
    ends = torch.from_numpy(np.cumsum(lengths, dtype=np.int64)).to(device)
    sizes = torch.from_numpy(lengths.astype(np.int64)).to(device)
    fronts = torch.from_numpy(given.astype(np.int64)).to(device)
    return Texts(torch.from_numpy(ids.astype(np.int16)).to(device), ends - sizes, sizes, fronts)


def load(folder: Path, device: str) -> Texts:
    parts = [np.load(path) for path in sorted(folder.glob("part_*.npz"))]
    ids, lengths, given = (np.concatenate([part[name] for part in parts]) for name in ("ids", "lengths", "given"))
    return texts(ids, lengths, given, device)


def from_documents(tokenizer: Tokenizer, documents: list[Document], device: str) -> Texts:
    encoded = encode(tokenizer, documents)
    ids = np.concatenate([np.array(tokens, np.uint16) for tokens, _ in encoded])
    return texts(ids, np.array([len(t) for t, _ in encoded]), np.array([front for _, front in encoded]), device)


def lay(data: Texts, chosen: Tensor, size: int, longest: int) -> Batch:
    """Lay the chosen documents end to end and cut after `size` tokens."""
    ends = data.lengths[chosen].cumsum(0).clamp(max=size)
    starts = torch.cat((ends.new_zeros(1), ends))
    places = torch.arange(size, device=ends.device)
    row = torch.searchsorted(starts, places, right=True) - 1
    row = row.clamp(max=len(chosen) - 1)
    positions = places - starts[row]
    source = (data.offsets[chosen][row] + positions).clamp(max=len(data.ids) - 1)
    last = positions + 1 >= data.lengths[chosen][row]
    targets = data.ids[(source + 1).clamp(max=len(data.ids) - 1)].long()
    weights = torch.where(positions + 1 >= data.given[chosen][row], 1.0, GIVEN_WEIGHT).masked_fill(last, 0.0)
    return Batch(data.ids[source].long(), targets, weights, Layout(positions, starts.int(), longest))


def batches(data: Texts, size: int, seed: int) -> Iterator[Batch]:
    """Yield batches for ever: every epoch takes the documents in a new order."""
    device = data.ids.device
    generator = torch.Generator(device=device).manual_seed(seed)
    # More documents than fit on average, so that a batch is always full; what is cut off comes in another epoch.
    count = min(len(data.lengths), int(1.15 * size / float(data.lengths.double().mean())) + 8)
    longest = int(data.lengths.max())
    while True:
        order = torch.randperm(len(data.lengths), generator=generator, device=device)
        for first in range(0, len(order) - count + 1, count):
            yield lay(data, order[first : first + count], size, longest)


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values of a stack of matrices close to one, by five Newton-Schulz steps."""
    x = matrices.bfloat16()
    wide = x.size(-2) > x.size(-1)
    x = x.mT if wide else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if wide else x).float()


class Muon:
    """Momentum with orthogonal updates, for all matrices of the layers; equal shapes go together."""

    def __init__(
        self, parameters: list[nn.Parameter], rate: float, momentum: float = 0.95, decay: float = 0.01
    ) -> None:
        self.rate, self.momentum, self.decay = rate, momentum, decay
        shapes = sorted({tuple(p.shape) for p in parameters})
        self.groups = [[p for p in parameters if tuple(p.shape) == shape] for shape in shapes]
        self.means = [torch.zeros(len(group), *group[0].shape, device=group[0].device) for group in self.groups]

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Make one step with `share` of the full learning rate."""
        for group, mean in zip(self.groups, self.means, strict=True):
            gradient = torch.stack([p.grad for p in group if p.grad is not None])
            mean.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp(mean, self.momentum))
            scale = max(1.0, group[0].shape[0] / group[0].shape[1]) ** 0.5
            rate = self.rate * share
            torch._foreach_mul_(group, 1 - rate * self.decay)
            torch._foreach_add_(group, list(update.unbind(0)), alpha=-rate * scale)


def share_of_rate(step: int, steps: int) -> float:
    """Rise over the first steps, stay, and fall to zero over the second half."""
    return min(1.0, (step + 1) / 100, 2.0 * (steps - step) / steps)


def loss_of(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the weighted mean loss, and whether each token was predicted."""
    logits = network(batch.tokens, batch.layout)
    losses = F.cross_entropy(logits.float(), batch.targets, reduction="none")
    # Tokens after the last document attend to nothing and may be NaN: weight 0 must mean left out.
    losses = losses.where(batch.weights > 0, 0.0)
    return (losses * batch.weights).sum() / batch.weights.sum(), logits.argmax(-1) == batch.targets


def held_out(tokenizer: Tokenizer, device: str, share: float) -> dict[str, Texts]:
    """Make held-out documents by score; none of them is ever trained on."""
    asked = questions(LOG_SEED, share)
    names = dict.fromkeys(name for name, _ in asked)
    return {n: from_documents(tokenizer, [item.document for name, item in asked if name == n], device) for n in names}


@torch.no_grad()
def check(network: nn.Module, kept: dict[str, Texts], size: int, longest: int) -> dict[str, float]:
    """Return loss and share of right next tokens on the model's own words, for each held-out score."""
    found: dict[str, float] = {}
    for name, data in kept.items():
        with torch.autocast(data.ids.device.type, torch.bfloat16):
            batch = lay(data, torch.arange(len(data.lengths), device=data.ids.device), size, longest)
            inside = torch.arange(size, device=data.ids.device) < data.lengths.sum()
            batch = Batch(batch.tokens, batch.targets, (batch.weights == 1) * inside.float(), batch.layout)
            loss, right = loss_of(network, batch)
        found[f"{name} loss"] = round(loss.item(), 4)
        found[f"{name} right"] = round(float((right * batch.weights).sum() / batch.weights.sum()), 4)
    return found


def learn(network: Network, data: Texts, kept: dict[str, Texts], options: argparse.Namespace, log: Path) -> None:
    device = data.ids.device.type
    packed_attention()  # looked up before compiling
    run: nn.Module = torch.compile(network, dynamic=False) if device == "cuda" else network  # type: ignore[assignment]
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in network.named_parameters() if p.ndim == 1 or "embed" in name]
    muon = Muon(matrices, options.rate)
    adam = torch.optim.AdamW(others, lr=options.rate / 5, betas=(0.9, 0.95), weight_decay=0.0, fused=device == "cuda")
    stream = batches(data, options.batch_tokens, options.seed)
    step, steps, start, started = 0, options.steps or 10**9, time.perf_counter(), 0.0
    rows: list[dict[str, float]] = []
    while step < steps:
        share = share_of_rate(step, steps)
        with torch.autocast(device, torch.bfloat16):
            loss, _ = loss_of(run, next(stream))
        loss.backward()  # type: ignore[no-untyped-call]
        for group in adam.param_groups:
            group["lr"] = options.rate / 5 * share
        adam.step()
        muon.step(share)
        network.zero_grad(set_to_none=True)
        step += 1
        if step == 20:  # compiled and warm: now the speed can be measured
            started = (loss.item(), time.perf_counter())[1]
        if step == 60 and not options.steps:
            per_step = (loss.item(), time.perf_counter())[1] - started
            steps = int((options.minutes * 60 - (time.perf_counter() - start)) / (per_step / 40)) + step
            print(f"{options.batch_tokens * 40 / per_step:,.0f} tokens/s: {steps} steps", flush=True)
        if step % options.log_every == 0 or step == steps:
            found = check(network, kept, 65536 if device == "cuda" else 4096, 2048)
            row = {
                "step": step,
                "tokens": step * options.batch_tokens,
                "seconds": round(time.perf_counter() - start),
                "loss": round(loss.item(), 4),
                **found,
            }
            rows.append(row)
            print(
                {name: value for name, value in row.items() if not name.endswith("loss") or name == "loss"}, flush=True
            )
            write_log(rows, log)


def write_log(rows: list[dict[str, float]], log: Path) -> None:
    with log.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="has the tokenizer, gets the model")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, help="instead of --minutes")
    parser.add_argument("--batch-tokens", type=int, default=131_072)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=500)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    tokenizer = Tokenizer.from_file(str(options.folder / "tokenizer.json"))
    data = load(options.corpus, device)
    print(f"{len(data.ids):,} tokens, {len(data.lengths):,} documents, longest {int(data.lengths.max())}", flush=True)
    network = Network(Shape()).to(device)
    kept = held_out(tokenizer, device, 1.0 if device == "cuda" else 0.1)
    learn(network, data, kept, options, options.folder / "training.csv")
    end_of_turn, end_of_text = tokenizer.token_to_id(IM_END), tokenizer.token_to_id(END_OF_TEXT)
    assert end_of_turn is not None and end_of_text is not None, "not the tokenizer of train_tokenizer.py"
    save(network, options.folder, end_of_turn, end_of_text)


if __name__ == "__main__":
    main()
