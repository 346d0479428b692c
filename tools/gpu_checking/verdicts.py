"""What the output of pytest, its benchmarks and compute-sanitizer amounts to."""

from __future__ import annotations

import json
import re
from typing import Any

Part = dict[str, Any]


def failed(why: str) -> Part:
    return {"status": "failed", "why": why}


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing was printed"])[-1]


def first_error(text: str) -> str:
    """CMake's or a compiler's first complaint, in one line."""
    found = re.search(r"CMake Error.*\n+((?:[ *]*  \S.*\n)+)", text) or re.search(
        r"^(.*\berror\b.*)$", text, re.M
    )
    words = found[1].partition("Call Stack")[0] if found else last_line(text)
    return " ".join(words.split())


def judge_tests(status: int, text: str) -> Part:
    """What pytest's closing line counts; anything but status 0 is a failure."""
    words = r"passed|failed|skipped|errors?|deselected|xfailed|xpassed|warnings?"
    closing = [line for line in text.splitlines() if re.search(r" in [\d.]+s\b", line)]
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for number, word in re.findall(rf"(\d+) ({words})\b", closing[-1] if closing else ""):
        counts[re.sub(r"^(error|warning)$", r"\1s", word)] = int(number)
    if status:
        return failed(f"pytest ended with {status}") | counts
    if not counts["passed"]:
        return failed("not one test passed") | counts
    return {"status": "ran"} | counts


def judge_sanitizer(status: int, text: str) -> Part:
    """compute-sanitizer's closing line, and the first three of its reports."""
    closing = re.findall(r"^=+ (?:ERROR|RACECHECK) SUMMARY: (\d+) (?:error|hazard)", text, re.M)
    if not closing:
        return failed(f"compute-sanitizer ended with {status} and without a summary")
    heads = re.findall(r"^========= (?! )(.+)\n=========  +(.+)", text, re.M)
    part = judge_tests(status, text)
    part |= {"reports": sum(map(int, closing)), "first": [" ".join(head) for head in heads[:3]]}
    return part | failed(f"{part['reports']} reports") if part["reports"] else part


def read_benchmarks(text: str) -> list[Part]:
    """Name, median and what each benchmark said about itself, of pytest-benchmark's JSON."""
    return [
        {"name": case["name"], "median_us": 1e6 * case["stats"]["median"], **case["extra_info"]}
        for case in json.loads(text)["benchmarks"]
    ]
