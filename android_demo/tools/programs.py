"""The programs that an Android build needs, and the Debian or Ubuntu packages that have them.

It imports nothing beside it: ``asmnet-kit doctor`` runs it from outside of this folder.
"""

import shutil

PROGRAMS = {
    "java": "openjdk-17-jdk-headless",
    "javac": "openjdk-17-jdk-headless",
    "keytool": "openjdk-17-jdk-headless",
    "mvn": "maven",
    "aapt": "aapt",
    "zipalign": "zipalign",
    "apksigner": "apksigner",
    "dexdump": "dexdump",
}


def missing_programs() -> list[str]:
    """The packages of programs that are not on the PATH."""
    return sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
