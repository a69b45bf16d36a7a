"""Runs a Python file in a process of its own, whose imports no stray file can disturb.

``python FILE`` looks for modules beside FILE first, and ``python -m MODULE`` in the current folder:
a ``statistics.py`` there takes the place of the standard library's. ``python -P`` looks in neither,
but only from Python 3.11 on; this works with 3.10 and with another Python than the kit's, too.
"""

import sys
from pathlib import Path

# With -c the first place of sys.path is the current folder, written as nothing.
RUN = (
    "import sys\n"
    "if sys.path[:1] == ['']: del sys.path[0]\n"
    "del sys.argv[0]\n"
    "import runpy\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def script_command(script: Path, *arguments: str, python: str | None = None) -> list[str]:
    """The command that runs a Python file with arguments.

    Args:
        script: the file. It imports by full names, and nothing that lies beside it by a short one.
        python: the interpreter; this one's by default.
    """
    return [python or sys.executable, "-c", RUN, str(script), *arguments]
