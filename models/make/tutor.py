"""What the tower is taught before and beside the text: to say of each patch and of each picture what is drawn there.

A tower that learns from the words of answers alone needs very many pictures; one that is told where each thing is, and
which characters and bars follow each other, needs few. The tutor's own weights are thrown away after the training.
"""

from __future__ import annotations

import string

import numpy as np
import torch
import torch.nn.functional as F
from eyes import Sight
from pictures import COLOURS, SHAPES, Scene
from torch import Tensor, nn

CHARACTERS = string.digits + string.ascii_letters
KINDS = ("shapes", "number", "word", "bars", "empty")
PLACES = 6  # characters of a word, or bars, from left to right
# Numbers of classes: of a patch; of each place; of the whole picture. 0 is "nothing here" in the first two.
PATCH = (len(SHAPES) + 1, len(COLOURS) + 1, 2)
PLACE = (len(CHARACTERS) + 1, len(COLOURS) + 1, 4)
WHOLE = (len(KINDS), 6, len(COLOURS), len(COLOURS) + 1)


def lesson(scene: Scene, sight: Sight) -> np.ndarray:
    """Return all classes of a scene, in the order of PATCH for each patch, PLACE for each place, WHOLE."""
    side = sight.size // sight.patch
    colours = list(COLOURS)
    patches = np.zeros((side, side, 3), np.uint8)
    centres = (np.arange(side) + 0.5) / side
    for thing in scene.things if scene.kind == "shapes" else ():
        label = SHAPES.index(thing.shape) + 1, colours.index(thing.colour) + 1
        near = np.hypot(centres[None, :] - thing.x, centres[:, None] - thing.y) < thing.radius
        patches[near, :2] = label
        patches[int(thing.y * side), int(thing.x * side)] = (*label, 1)
    places = np.zeros((PLACES, 3), np.uint8)
    for number, character in enumerate(scene.text):
        places[number, 0] = CHARACTERS.index(character) + 1
    bars = scene.things if scene.kind == "bars" else ()
    heights = [bar.radius for bar in bars]
    for number, bar in enumerate(bars):
        rank = 3 if bar.radius == max(heights) else 1 if bar.radius == min(heights) else 2
        places[number, 1:] = colours.index(bar.colour) + 1, rank
    ink = colours.index(scene.ink) + 1 if scene.ink else 0
    whole = [KINDS.index(scene.kind), len(scene.things), colours.index(scene.background), ink]
    return np.concatenate((patches.ravel(), places.ravel(), np.array(whole, np.uint8)))


def lesson_size(sight: Sight) -> int:
    return sight.tokens * len(PATCH) + PLACES * len(PLACE) + len(WHOLE)


class Tutor(nn.Module):
    """Heads on the tower's features, and the loss of what they say."""

    def __init__(self, sight: Sight) -> None:
        super().__init__()
        width = sight.hidden
        self.norm = nn.LayerNorm(width)
        self.of_patch = nn.Linear(width, sum(PATCH))
        self.asks = nn.Parameter(torch.randn(PLACES + 1, width) * width**-0.5)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.of_place, self.of_whole = nn.Linear(width, sum(PLACE)), nn.Linear(width, sum(WHOLE))

    def forward(self, features: Tensor, lessons: Tensor) -> Tensor:
        x = self.norm(features)
        patches, rest = lessons.long().split((x.shape[1] * len(PATCH), lessons.shape[1] - x.shape[1] * len(PATCH)), 1)
        places, whole = rest.split((PLACES * len(PLACE), len(WHOLE)), 1)
        asks = self.asks.to(x.dtype).expand(len(x), -1, -1)
        heads = [t.unflatten(-1, (4, -1)).transpose(1, 2) for t in (asks, self.key(x), self.value(x))]
        seen = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        losses = (
            loss_of(self.of_patch(x), patches.unflatten(1, (-1, len(PATCH))), PATCH, 0.3),
            loss_of(self.of_place(seen[:, :-1]), places.unflatten(1, (-1, len(PLACE))), PLACE, 1.0),
            loss_of(self.of_whole(seen[:, -1:]), whole[:, None], WHOLE, 1.0),
        )
        return torch.stack(losses).sum()


def loss_of(logits: Tensor, classes: Tensor, sizes: tuple[int, ...], nothing: float) -> Tensor:
    """Return the sum of the mean losses of several answers; `nothing` is the weight of class 0."""
    total = logits.new_zeros((), dtype=torch.float32)
    for part, of in zip(logits.float().split(sizes, -1), classes.unbind(-1), strict=True):
        losses = F.cross_entropy(part.flatten(0, 1), of.flatten(), reduction="none")
        weights = torch.where(of.flatten() > 0, 1.0, nothing)
        total = total + (losses * weights).sum() / weights.sum()
    return total
