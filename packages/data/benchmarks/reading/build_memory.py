"""Peak memory of a build in this process, over what its imports and a first, small build left.

python -m reading.build_memory SMALL_TASK TASK DEPTH FOLDER prints {"extra_bytes": ...,
"seconds": ...}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from measuring.resident_memory import extra_peak

from tomolift.data import build_cache


def main(small_task: str, task: str, depth: str, folder: str) -> None:
    build_cache(small_task, Path(folder) / "small", depth=1, workers=1)  # what loads late loads now
    start = time.process_time()
    extra = extra_peak(
        lambda: build_cache(task, Path(folder) / "large", depth=int(depth), workers=1)
    )
    print(json.dumps({"extra_bytes": extra, "seconds": time.process_time() - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
