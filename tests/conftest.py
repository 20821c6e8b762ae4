"""One thread for the linear algebra, as `flows.settings` sets it: the models are too small for two,
and on a busy machine threads that wait for each other take many times as long."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
