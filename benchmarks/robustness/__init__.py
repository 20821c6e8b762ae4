"""How much abuse the record and its readers stand: crafted files, mutations, kills and races.

    python -m benchmarks.robustness [--quick] [--only NAME ...]

Everything is drawn from seeds, so that a finding can be made again. The tests run the same drivers
for seconds (tests/*/test_fuzzing.py, tests/flows/orchestration/test_kills.py); this runs them for
an hour and writes benchmarks/results/robustness.json and .md.
"""
