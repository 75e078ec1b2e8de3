"""Whenever a fix is ended, each file is old or new, and the next run leaves nothing beside them. See kills.py."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from pathlib import Path

import kills
import pytest

from clipcheck import fixing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, and sends signals")


@pytest.fixture
def files(tmp_path):
    return kills.Files(tmp_path, 100)


@pytest.fixture
def quick(tmp_path):
    """The same in memory, where there is such a folder: on some disks a file takes long to be safe."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield kills.Files(Path(folder), 100)


@pytest.mark.slow
def test_200_kills_while_writing(quick):
    files = quick
    planned = kills.plan(files)
    whole = kills.spent(lambda: fixing.write(planned, lambda: planned.report))
    files.settle()
    moments = random.Random(200)
    torn = 0
    for _ in range(200):
        files.restore()
        kills.kill_writer(files, planned, moments.uniform(0, whole))
        torn += 0 < files.written() < len(files.old)
        written = fixing.write(planned, lambda: planned.report)
        left = {failure.filename for failure in written.refused}
        assert {os.path.basename(name) for name in left} <= files.old.keys()  # those that were new already
        files.settle()
    assert torn > 50, "most kills are to come while files are written"


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_command_line(files, signum):
    for moment in (0.0, 0.05, 0.2):
        files.restore()
        said = kills.kill_command(files, moment, signum)
        assert "Traceback" not in said
        files.written()
        if signum == signal.SIGINT:
            assert not files.strays(), "an interrupt takes its own files away"
    kills.subprocess.run(kills.COMMAND, cwd=files.folder, check=True, capture_output=True)
    files.settle()


def test_a_stray_file_goes_and_that_of_a_run_at_work_stays(files):
    import fcntl

    stray, held, others = (files.folder / f".clipcheck-{name}.tmp" for name in ("a", "b", "c"))
    stray.write_text("half a fi")
    held.write_text("at work")
    others.mkdir()  # no file of ours, whatever its name
    with held.open() as stream:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX)
        fixing.write(kills.plan(files), lambda: None)
    assert files.written() == 100
    assert files.strays() == {held.name, others.name}


def test_what_counts_as_torn(files):
    """The measure itself sees damage."""
    with pytest.raises(kills.TornError):
        files.settle()
    (files.folder / "train_3.py").write_text("import tor")
    with pytest.raises(kills.TornError):
        files.written()
