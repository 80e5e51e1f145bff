"""Rows of `gpu.py`: how a piece of work is timed, and how its row is written as soon as it is known."""

import csv
import gc
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

COLUMNS = ("section", "work", "ms", "TFLOP/s", "GiB", "note")
Case = tuple[str, Callable[["Table", str], None]]


class Table:
    """A CSV file that grows by a row at a time.

    Args:
        path: The file; what it held is replaced.
        device: Device of the work.
        seconds: No case starts later than this after the table was opened.
    """

    def __init__(self, path: Path, device: torch.device, seconds: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.device, self.seconds, self.start = device, seconds, perf_counter()
        self.on_cuda = device.type == "cuda"
        self.file = path.open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
        self._write(COLUMNS)

    def row(self, section: str, work: str, ms: float | None = None, flops: float | None = None, note: str = "") -> None:
        """Write a row; the peak of memory is that since the last `measure_ms`."""
        rate = f"{flops / ms / 1e9:.3g}" if ms and flops else ""
        gib = f"{torch.cuda.max_memory_allocated() / 2**30:.2f}" if self.on_cuda else ""
        self._write((section, work, "" if ms is None else f"{ms:.3f}", rate, gib, note))

    def _write(self, cells: Iterable[str]) -> None:
        cells = list(cells)
        self.writer.writerow(cells)
        self.file.flush()
        print(f"[{perf_counter() - self.start:4.0f} s] " + " | ".join(cells), flush=True)

    def run(self, section: str, cases: Iterable[Case]) -> None:
        """Run cases one after the other; a failure and a lack of time are rows too."""
        for work, case in cases:
            if perf_counter() - self.start > self.seconds:
                self.row(section, work, note="no time left")
                continue
            try:
                case(self, work)
            # A kernel that refuses a call, a missing package or too little memory must not cost the other rows.
            except Exception as error:  # noqa: BLE001
                self.row(section, work, note=f"{type(error).__name__}: {str(error).splitlines()[0][:160]}")
            gc.collect()
            if self.on_cuda:
                torch.cuda.empty_cache()

    def measure_ms(self, work: Callable[[], object], repeats: int = 3) -> float:
        """Return the median of the milliseconds of `work`, after one untimed call."""
        work()
        if not self.on_cuda:
            begin = perf_counter()
            work()
            return 1e3 * (perf_counter() - begin)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        took = []
        for _ in range(repeats):
            begin_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin_event.record()
            work()
            end_event.record()
            torch.cuda.synchronize()
            took.append(begin_event.elapsed_time(end_event))
        return median(took)

    def kernels(self, work: Callable[[], object]) -> str:
        """Return the two longest kernels of `work` with their milliseconds; nothing on a CPU."""
        if not self.on_cuda:
            return ""
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            work()
            torch.cuda.synchronize()
        longest = sorted(profiled.key_averages(), key=lambda kernel: -kernel.device_time_total)[:2]
        return " + ".join(f"{kernel.key[:60]} {kernel.device_time_total / 1e3:.1f} ms" for kernel in longest)
