#!/usr/bin/env /usr/bin/python3
"""Train a model with PyTorch for some steps and print samples per second: the opponent of `make bench`.

usage: torch_train.py MODEL BATCH SECONDS [foreach] [channels_last]      (MODEL: mlp or cnn)

Threads, BLAS kernel and allocator come from the environment, set before the process starts (see run.py): importing numpy or torch first
would fix them. The rest is as in train_native.c: 4,096 images in memory as bytes, taken in order and normalised a batch at a time, no
DataLoader, denormals flushed; the figure is the best of as many rounds of about a quarter of a second as fit into SECONDS.
"""
import os
import sys
import time

import torch
from torch import nn


def mlp():
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def cnn():
    return nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Linear(128, 10))


def main():
    name, batch, seconds, flags = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    rows = 4096
    images = torch.randint(0, 256, (rows, 784), dtype=torch.uint8)
    labels = torch.randint(0, 10, (rows,))
    model = mlp() if name == "mlp" else cnn()
    last = "channels_last" in flags
    if last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001, foreach="foreach" in flags)
    loss_of = nn.CrossEntropyLoss()
    at, total, correct = 0, torch.zeros(()), torch.zeros((), dtype=torch.long)

    def step():
        nonlocal at, total, correct
        here = slice(at, at + batch)
        at = at + batch if at + 2 * batch <= rows else 0
        x = images[here].to(torch.float32).mul_(1 / 255)
        if name == "cnn":
            x = x.view(-1, 1, 28, 28)
            if last:
                x = x.contiguous(memory_format=torch.channels_last)
        y = labels[here]
        optimizer.zero_grad(set_to_none=True)
        logits = model(x)
        loss = loss_of(logits, y)
        loss.backward()
        optimizer.step()
        total = total + loss.detach()
        correct = correct + (logits.detach().argmax(1) == y).sum()

    def rate(steps):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return steps * batch / (time.perf_counter() - start)

    rate(3)
    steps = max(1, int(0.25 * rate(5) / batch))
    best, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = max(best, rate(steps))
    print(f"{best:.1f}")


main()
