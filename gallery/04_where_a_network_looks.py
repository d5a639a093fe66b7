"""Where a network looks and listens
=================================

A network that hears and sees gives an answer: which pixels, and which moments of the sound, does it
come from? Attention roll-out follows the attention of all layers back from the class tokens to the
patches, through the few bottleneck tokens by which the senses meet. Here the right place is known:
in each little film four discs wander over noise, one of them with a white core, and one tone glides
somewhere in the sound. The class is the colour of that disc and the direction of the tone together.
A small MBT learns it, and the roll-out must lie on the disc and on the tone::

    python gallery/04_where_a_network_looks.py

It writes one figure and takes about a minute.
"""

# %%
# Where the figure goes
# ---------------------

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from brainreel.layers.clip import Clip
from brainreel.models.mbt import MBTConfig
from brainreel.report.rollout_figure import figure_rollout
from brainreel.shapes import DataSpec

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("gallery/out"), help="folder of the figure")
parser.add_argument("--steps", type=int, default=800, help="training steps")
arguments = parser.parse_args()

# %%
# Films with a known answer
# -------------------------
# Four frames of noise with discs, each red or blue, of which only the one with a white core counts;
# a spectrogram of noise with a tone that rises or falls. Where they stand is drawn anew, and tells
# nothing of the class. The masks say where that disc and the tone are.

FRAMES, SIZE, STEPS, BANDS, PATCH = 4, 40, 64, 32, 8


def draw_films(n, rng):
    colour, glide = rng.integers(2, size=n), rng.integers(2, size=n)
    frames = rng.uniform(0.25, 0.75, (n, FRAMES, 3, SIZE, SIZE)).astype(np.float32)
    sound = rng.normal(-6, 1, (n, 1, STEPS, BANDS)).astype(np.float32)
    seen, heard = np.zeros((n, FRAMES, SIZE, SIZE), bool), np.zeros((n, STEPS, BANDS), bool)
    down, right = np.mgrid[:SIZE, :SIZE]
    for i in range(n):
        for disc in range(4):  # three that tell nothing, then the one that counts
            red = colour[i] if disc == 3 else rng.integers(2)
            start, step = rng.uniform(8, SIZE - 8, 2), rng.uniform(-3, 3, 2)
            for f in range(FRAMES):
                y, x = np.clip(start + f * step, 6, SIZE - 6)
                away = (down - y) ** 2 + (right - x) ** 2
                frames[i, f, :, away < 25] = (0.85, 0.3, 0.2) if red else (0.2, 0.3, 0.85)
                if disc == 3:
                    frames[i, f, :, away < 6] = 1
                    seen[i, f] = away < 25
        first, low = rng.integers(0, STEPS - 16), rng.integers(2, BANDS - 16)
        for k in range(16):
            band = low + (k if glide[i] else 15 - k) * 3 // 4
            heard[i, first + k, band : band + 2] = True
        sound[i, 0][heard[i]] += 8
    clip = Clip(frames=torch.from_numpy(frames), sound=torch.from_numpy(sound))
    return clip, torch.from_numpy(2 * colour + glide), seen, heard


# %%
# A network that must use both
# ----------------------------
# Each sense has a class token, and the loss asks each of them for the whole answer: the class
# token of the sound can know the colour only through the four bottleneck tokens.

torch.manual_seed(0)
spec = DataSpec(
    frame_shape=(3, SIZE, SIZE),
    clip_frames=FRAMES,
    sound_shape=(1, STEPS, BANDS),
    classes={"pair": 4},
)
config = MBTConfig(
    width=48, depth=4, heads=4, fusion_layer=2, patch=PATCH, sound_patch=PATCH, sound_mean=-6
)
network = config.build(spec).train()
optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=arguments.steps)
rng = np.random.default_rng(0)
for _ in range(arguments.steps):
    clip, label, _, _ = draw_films(32, rng)
    loss = sum(functional.cross_entropy(x, label) for x in network.logits_of(clip).values())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()

# %%
# Is it right, and for the right reason?
# --------------------------------------
# On new films: how often the answer is right, and how much of the roll-out lies on patches that
# the disc or the tone touches, beside the share that these patches have of all.


def touched(mask, counts):
    blocks = torch.from_numpy(mask).float().reshape(-1, 1, *mask.shape[-2:])
    return functional.max_pool2d(blocks, PATCH).reshape(-1, *counts).bool()


network.eval()
clip, label, seen, heard = draw_films(64, np.random.default_rng(1))
with torch.no_grad():
    right = (network(clip).argmax(dim=1) == label).float().mean()
print(f"right on {right:.0%} of new films (chance: 25%)")
rolled = network.rollout(clip)
for sense, mask, what in (("pictures", seen, "disc"), ("sound", heard, "tone")):
    there = touched(mask, rolled[sense].shape[1:])
    share = (rolled[sense] * there).sum() / rolled[sense].sum()
    print(f"{share:.0%} of the roll-out lies on the {there.float().mean():.0%} with the {what}")

# %%
# The picture
# -----------

arguments.out.mkdir(parents=True, exist_ok=True)
print(figure_rollout(network, clip, arguments.out / "04_where_a_network_looks.png"))
