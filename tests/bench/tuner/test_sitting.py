from __future__ import annotations

import pytest

from stablehand_bench.errors import BenchError
from stablehand_bench.tuner import sitting


def test_a_failed_measurement_ends_the_process_with_its_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended, sitting.ending(tmp_path / "file"):
        raise BenchError("wrk is missing")

    assert ended.value.code == 1
    assert capsys.readouterr().err == "bench: wrk is missing\n"


def test_an_interrupted_run_says_how_to_go_on(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended, sitting.ending(tmp_path / "file"):
        raise KeyboardInterrupt

    assert ended.value.code == 130
    assert f"what was measured is in {tmp_path / 'file'}, and --resume goes on" in capsys.readouterr().err
