"""What photographs cost at their real size: memory, decoding, statistics, versions, trainings.

    python -m benchmarks.size            (ARGS=--quick of `make bench-size`: minutes)

Every part runs in a process of its own, whose peak memory is that of the system's own count. The
photographs are painted noise in JPEG files of mixed sizes, made here and deleted after. Ratios are
medians over rounds in which both sides take turns; where other work is on the machine, read the
ratios and not the seconds. Each part keeps the load that it was measured under.

    common.py       counts, painted photographs, peak memory, ratios in turns
    events.py       memory of everything that an event does with its data
    finetuned.py    a whole event on a fine-tuned ResNet-18, through the commands
    passes.py       statistics and edit over a plain forward pass; large networks in bounded memory
    pictures.py     decoding, streaming, data versions, and a folder as large as time allows
    rows.py         what statistics of fewer rows leave
    trainings.py    recipes beside the same script in plain PyTorch; references of fewer epochs
"""
