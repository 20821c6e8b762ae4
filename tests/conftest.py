"""What all tests share: the processor and the memory are used as the commands use them."""

from __future__ import annotations

import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for name in THREADS:  # before torch is imported: two threads are slower than one on small nets
    os.environ.setdefault(name, "1")
os.environ.pop("COLUMNS", None)  # xdist sets it; what is piped has no width

from flows.state.settings import keep_freed_memory  # noqa: E402 - the variables come first

keep_freed_memory()
