"""The process of ``--dashboard``: serves TensorBoard, tells its address, ends with its caller.

Usage: dashboard_page.py LOGS. Prints the address; ends when stdin does, so that no page outlives a
training that was killed.
"""

import sys


def main(logs: str) -> None:
    """Serve the logs on this machine alone, at a port that is free."""
    from tensorboard import program  # an extra

    page = program.TensorBoard()
    page.configure(
        argv=["tensorboard", "--logdir", logs, "--host", "127.0.0.1", "--port", "0",
              "--reload_interval", "5", "--load_fast", "false"]
    )  # fmt: skip
    print(page.launch(), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
