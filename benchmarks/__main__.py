"""`make bench`: every benchmark, one after the other."""

from __future__ import annotations

from benchmarks import demo, surgery

if __name__ == "__main__":
    surgery.main()
    demo.main()
