"""Is everything here that `make android-test` would otherwise download? (0: yes, 3: no)

    python3 android_demo/tools/ready.py

A CI machine asks first: the tools are about 640 MB from Maven Central and up to 300 MB of Debian
packages, which needs root. Where they are missing it says which, and the app's tests are skipped.
"""

import sys

from programs import missing_programs

import toolchain
from toolchain import BuildError

MISSING = 3  # exit code: nothing failed, something is not there


def main() -> int:
    programs = missing_programs()
    if programs:
        return _skip(f"programs of these Debian packages are missing: {', '.join(programs)}")
    for profile in toolchain.profiles():
        try:
            toolchain.files(profile, offline=True)
        except BuildError:
            return _skip(f"the files of {profile!r} (pom.xml) are not all in ~/.m2")
    return 0


def _skip(reason: str) -> int:
    print(f"The phone app's tests are skipped: {reason}. make android-test gets it all.")
    return MISSING


if __name__ == "__main__":
    sys.exit(main())
