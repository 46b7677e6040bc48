"""Python in a process of its own: for another CPU tier, a fresh heap, or a signal."""
import os
import pathlib
import subprocess
import sys

BINDINGS = pathlib.Path(__file__).resolve().parents[2] / "bindings" / "python"


def run_python(code, *arguments, **environment):
    """What it printed; fails with its traceback."""
    paths = os.pathsep.join([str(BINDINGS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], env={**os.environ, "PYTHONPATH": paths, **environment},
                          text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
