#!/usr/bin/env /usr/bin/python3
"""Train a sequence model with PyTorch for some steps and print tokens per second: the opponent of bench/train_sequences.c.

usage: torch_sequences.py lstm|transformer BATCH SECONDS [foreach]

Threads, BLAS kernel and allocator come from the environment, set before the process starts (see run.py). Tokens lie in memory as the
integers that nn.Embedding takes, in the order that suits the model (steps first for nn.LSTM); denormals are flushed; the figure is the
best of as many rounds of about a quarter of a second as fit into SECONDS.
"""
import os
import sys
import time

import torch
from torch import nn

WORDS, STEPS, HELD = 96, 128, 64


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.out = nn.Embedding(WORDS, 64), nn.LSTM(64, 256), nn.Linear(256, WORDS)

    def forward(self, x):
        return self.out(self.lstm(self.embedding(x))[0])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.places = nn.Embedding(WORDS, 128), nn.Parameter(torch.zeros(STEPS, 128))
        layer = nn.TransformerEncoderLayer(128, 4, 512, 0.0, "gelu", batch_first=True)
        self.encoder, self.out = nn.TransformerEncoder(layer, 2), nn.Linear(128, WORDS)

    def forward(self, x):
        return self.out(self.encoder(self.embedding(x) + self.places))


def main():
    name, batch, seconds, flags = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    lstm = name == "lstm"
    model = Lstm() if lstm else Transformer()
    shape = (STEPS, batch) if lstm else (batch, STEPS)
    x = [torch.randint(0, WORDS, shape) for _ in range(HELD // batch)]
    y = [torch.randint(0, WORDS, (batch * STEPS,)) for _ in range(HELD // batch)]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, foreach="foreach" in flags)
    at = 0

    def step():
        nonlocal at
        at = (at + 1) % len(x)
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(x[at]).view(-1, WORDS), y[at]).backward()
        optimizer.step()

    def rate(steps):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return steps * batch * STEPS / (time.perf_counter() - start)

    rate(2)
    steps = max(1, int(0.25 * rate(2) / batch / STEPS))
    best, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = max(best, rate(steps))
    print(f"{best:.1f}")


main()
