"""What running damp costs and what it leaves: `python -m benchmarks.operations`."""
