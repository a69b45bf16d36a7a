"""Write down the SHA-256 of every file that the build takes from Maven (maven.sha256).

    python3 android_demo/tools/pin.py

After a version in gradle/libs.versions.toml changed: look at the difference, then commit it. Builds
refuse a file whose digest is another one.
"""

import sys
from pathlib import Path

import toolchain


def main() -> int:
    files: dict[str, Path] = {}
    for profile in toolchain.profiles():
        for path in toolchain.resolve(profile):
            known = files.setdefault(path.name, path)
            if toolchain.sha256(known) != toolchain.sha256(path):
                raise toolchain.BuildError(f"two files are called {path.name}: {known} and {path}")
    lines = [f"{toolchain.sha256(path)}  {name}\n" for name, path in sorted(files.items())]
    toolchain.DIGESTS.write_text("".join(lines), encoding="utf-8")
    print(f"{len(lines)} files in {toolchain.DIGESTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
