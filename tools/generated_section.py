"""A document of several generated parts: each stands between two comments with its name."""

from __future__ import annotations


def replace_section(text: str, name: str, content: str) -> str:
    """The document with new content between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.

    Raises:
        ValueError: the document does not hold each of the two comments once, in this order.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end) or text.count(begin) > 1 or text.count(end) > 1:
        raise ValueError(f"the document needs one line {begin!r} and behind it one {end!r}")
    return f"{before}{begin}\n\n{content.strip()}\n\n{end}{after}"
