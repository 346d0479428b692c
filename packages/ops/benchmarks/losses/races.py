"""The races of measuring, with what must agree: losses and confusion matrices."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import measuring.device_race
import measuring.fresh_process
import measuring.race

from losses.agreement import check_agreement

race = partial(measuring.race.race, agreement=check_agreement)
race_on_device = partial(measuring.device_race.race_on_device, agreement=check_agreement)
run_module = partial(measuring.fresh_process.run_module, Path(__file__).parent.parent)
