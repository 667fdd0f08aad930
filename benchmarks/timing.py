"""Times of several ways to do the same work, measured in turns in one process, against what the machine could do."""

from __future__ import annotations

import argparse
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import linear

from common.products import fast_products

PRODUCT_SIZE = 1024  # of the square matrices whose product shows the machine's rate: 12 MB in all
TANH_SIZE = 1 << 14  # 64 KB: the rate of the arithmetic, not of the memory
COPIED = 1 << 26  # bytes, more than caches hold: the rate of the memory


class Floor(NamedTuple):
    """What a piece of work cannot do without."""

    products: float  # floating-point operations in matrix products
    tanh: float  # tanh of so many numbers
    memory: float = 0.0  # bytes that go to the memory or come from it, being too many for any cache

    def seconds(self, clock: Callable[[], float] = perf_counter) -> dict[str, float]:
        """How long this machine takes for that alone, with the threads that are set."""
        matrix, vector = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE), torch.rand(TANH_SIZE) + 1
        with torch.no_grad(), fast_products():
            product = _fastest(lambda: linear(matrix, matrix), clock) / (2 * PRODUCT_SIZE**3)
        # A tanh costs a division. One thread's, since so few numbers are not divided among several; each thread does
        # its share of the work.
        tanh = _fastest(vector.reciprocal, clock) / TANH_SIZE / torch.get_num_threads()
        arithmetic = self.products * product + self.tanh * tanh
        if not self.memory:
            return {"arithmetic alone": arithmetic}
        source, target = torch.ones(COPIED // 8), torch.ones(COPIED // 8)  # half is read, half is written
        moved = _fastest(lambda: target.copy_(source), clock) / COPIED
        return {"arithmetic alone": arithmetic, "and its memory": arithmetic + self.memory * moved}


def arguments(description: str, **sizes: int) -> argparse.ArgumentParser:
    """The options that all benchmarks have, and one for each size."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()], help="in turn")
    parser.add_argument("--cpu", action="store_true", help="time of the processor, not of the clock: for busy machines")
    parser.add_argument("--repeats", type=int, default=7, help="turns of which the median is taken")
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size, help=" ")
    return parser


def in_turns(
    ways: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """The median seconds of each way. One turn runs each once, so that a busy machine slows all alike; the first turn
    is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            seconds[name].append(_seconds(way, clock))
    return {name: median(measured[1:]) for name, measured in seconds.items()}


def print_table(
    title: str,
    unit: str,
    units: int,
    options: argparse.Namespace,
    floor: Floor | None,
    ways: Mapping[str, Callable[[], object]],
) -> None:
    """Time `ways`, each doing `units` units, with each number of threads of `options`, and print what comes out.

    floor: None where most of the time is no arithmetic of PyTorch's.
    The last column is the ratio of the first way's time to each.
    """
    repeats, clock = options.repeats, process_time if options.cpu else perf_counter
    tools = f"torch {torch.__version__}, float32" if floor else f"NumPy {np.__version__}"
    print(f"{title}\n{_processor()}, {tools}, medians of {repeats} turns\n")
    print(f"{'threads':>7}  {'':<22}{'ms':>10}{unit + '/s':>14}{'ratio':>8}")
    for count in dict.fromkeys(options.threads):
        torch.set_num_threads(count)
        times = in_turns(ways, repeats, clock)
        first = next(iter(times.values()))
        if floor:
            times |= floor.seconds(clock)
        for name, seconds in times.items():
            print(f"{count:>7}  {name:<22}{1000 * seconds:>10.1f} {units / seconds:>13.1f} {first / seconds:>7.2f}")


def _seconds(work: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    begin = clock()
    work()
    return clock() - begin


def _fastest(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """The seconds of the fastest run of many: nothing that disturbs makes it faster."""
    return min(_seconds(work, clock) for _ in range(20))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere what Python knows
    found = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.M) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
