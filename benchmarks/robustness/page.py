"""What a report's page holds, and the Markdown page of all figures of this benchmark."""

from __future__ import annotations

import re
from typing import Any

Facts = dict[str, Any]


def described(report: bytes) -> Facts:
    """Size, scripts, addresses of a report."""
    text = report.decode()
    return {
        "bytes": len(report),
        "scripts": len(re.findall(r"<script|javascript:|\son[a-z]+=", text, re.IGNORECASE)),
        "outside_addresses": len(re.findall(r"https?://", text)),
    }


def markdown(results: Facts) -> str:
    """The figures as a page: one table a part, with the command behind it."""
    writers = {
        "models": _watched,
        "data": _watched,
        "papers": _watched,
        "brought": _watched,
        "bits": _bits,
        "ledger": _ledger,
        "verify": _verify,
    }
    parts = [
        "# Robustness\n\nWhat foreign files, kills and races did to damp: counts of "
        "`make bench-robustness`, made from robustness.json. Timings are of the machine named "
        "there, with the load that it had."
    ]
    for name, figures in results.items():
        write = writers.get(name, _plain)
        footer = f"`{figures['command']}`, seed {figures['seed']}, {figures['seconds']:g} s"
        load = figures["machine"]["load_at_start"]
        parts.append(
            f"## {TITLES[name]}\n\n{write(figures)}\n\n{footer}, load {load} on "
            f"{figures['machine']['cores']} cores"
        )
    return "\n\n".join(parts) + "\n"


TITLES = {
    "models": "Model files",
    "data": "Image folders and pictures",
    "papers": "Requests, policies, statements and other documents",
    "brought": "Claims, recipes, settings, configurations of networks, plans of replays",
    "bits": "Turned bits of envelopes",
    "ledger": "A ledger of fifty entries, attacked at every index",
    "verify": "Time of `damp verify`",
    "report": "A real event's report",
    "replays": "One request, handed in again and again",
    "kills": "SIGKILL at random moments of real events, each resumed",
    "races": "Eight processes on one model",
    "contention": "Fifty processes at once on one file: keys, requests of one id and of many",
}


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _watched(figures: Facts) -> str:
    head = ("files", "read", "taken", "refused", "tracebacks", "hangs", "executed", "left behind")
    counts = ("tracebacks", "hangs_over_10_s", "executed", "left_behind")
    rows = [
        (
            name.replace("_", " "),
            part["files"],
            part["taken"],
            sum(part["refused"].values()),
            *(len(part[count]) for count in counts),
        )
        for name, part in figures.items()
        if isinstance(part, dict) and "refused" in part
    ]
    return _table(head, rows)


def _bits(figures: Facts) -> str:
    head = ("envelope", "flips", "refused", "without effect", "another content believed")
    keys = ("flips", "refused", "without_effect", "believed_another_content")
    names = {"small": "small, all bits", "real": "of a real event, one bit each"}
    rows = [(names[n], *(figures[n][key] for key in keys)) for n in names if n in figures]
    return (
        f"{_table(head, rows)}\n\nThe real envelope has {figures['real_bytes']} bytes: each of the "
        f"{figures['real']['around_the_payload']} around the payload was changed, and "
        f"{figures['real']['inside_it']} that were drawn inside it, which all are under the "
        "signature."
    )


def _ledger(figures: Facts) -> str:
    rows = [
        (kind, count, sum(unseen.startswith(kind) for unseen in figures["unseen"]))
        for kind, count in figures["attacks"].items()
    ]
    return _table(("attack", "tried", "unseen"), rows)


def _verify(figures: Facts) -> str:
    rows = [
        (name.replace("_", " "), part["wall_s_median"], part["wall_s_least"], part["cpu_s_median"])
        for name, part in figures.items()
        if isinstance(part, dict) and "wall_s_median" in part
    ]
    return _table(("process", "wall, median (s)", "wall, least (s)", "CPU, median (s)"), rows)


def _plain(figures: Facts) -> str:
    hidden = ("command", "machine", "seed", "seconds")
    rows = []
    for name, value in figures.items():
        if name in hidden:
            continue
        if isinstance(value, dict):
            shown = ", ".join(f"{k}: {v}" for k, v in value.items())
        elif isinstance(value, list):
            shown = "; ".join(map(str, value)) or "none"
        else:
            shown = str(value)
        rows.append((name.replace("_", " "), shown))
    return _table(("count", "value"), rows)
