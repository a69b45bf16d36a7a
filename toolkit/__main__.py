"""The ``asmnet-kit`` command and ``python -m asmnet_kit``."""

import sys


def run() -> None:
    """Start the command line; Ctrl-C counts from here on, while it is imported, too."""
    try:
        from asmnet_kit.cli import main

        main()
    except KeyboardInterrupt:
        sys.stderr.write("Error: interrupted\n")
        raise SystemExit(130) from None  # Interrupted.exit_code, which is not imported yet


if __name__ == "__main__":
    run()
