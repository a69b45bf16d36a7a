"""``python -m asmnet_kit`` is ``asmnet-kit``."""

from asmnet_kit.cli import main

main()
