"""The programs and libraries an Android build needs, from Maven Central and Debian alone."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from programs import missing_programs
from versions import VERSIONS

DEMO = Path(__file__).resolve().parents[1]
ROOT = DEMO.parent
BUILD = ROOT / "build" / "android"
POM = DEMO / "tools" / "pom.xml"
DIGESTS = DEMO / "tools" / "maven.sha256"
DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

# These programs end before the optimising compiler and parallel collectors pay for themselves.
SHORT_RUN = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")


class BuildError(Exception):
    """A step failed; the message is all a reader needs."""


def ensure_programs() -> None:
    """Install the Debian packages of missing programs, or say which they are.

    Raises:
        BuildError: programs are missing and this user cannot install them.
    """
    missing = missing_programs()
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BuildError(
            f"these packages are missing; install them with:\n  sudo {' '.join(command)}"
        )
    say(f"installing {', '.join(missing)}")
    run(["apt-get", "update", "-q"])
    run(command)


def profiles() -> list[str]:
    """Every profile of pom.xml."""
    return re.findall(r"<profile>.*?<id>([^<]+)</id>", POM.read_text(encoding="utf-8"), re.DOTALL)


def files(profile: str, *, offline: bool = False) -> list[Path]:
    """The files of one profile of pom.xml; Maven downloads what ~/.m2 does not have yet.

    Raises:
        BuildError: Maven failed, or a file is not the one that maven.sha256 names; with
            ``offline``, also where something would be downloaded.
    """
    found = resolve(profile, offline=offline)
    pinned = digests()
    for path in found:
        check_digest(path, pinned)
    return found


def resolve(profile: str, *, offline: bool = False) -> list[Path]:
    """The files of a profile, whatever is in them."""
    fingerprint = hashlib.sha256(profile_text(profile).encode()).hexdigest()[:12]
    listing = BUILD / "classpaths" / f"{profile}-{fingerprint}.txt"
    if listing.exists():
        found = [Path(line) for line in listing.read_text().split(os.pathsep)]
        if all(path.exists() for path in found):
            return found
    say(f"asking Maven for '{profile}'")
    listing.parent.mkdir(parents=True, exist_ok=True)
    goal = f"{DEPENDENCY_PLUGIN}:build-classpath"
    options = ["-o"] if offline else []
    run(
        ["mvn", "-q", "-B", *options, "-f", POM, "-P", profile, goal,
         *(f"-D{name}={version}" for name, version in VERSIONS.items()),
         f"-Dmdep.outputFile={listing}"]
    )  # fmt: skip
    return [Path(line) for line in listing.read_text().strip().split(os.pathsep)]


def profile_text(profile: str) -> str:
    """What pom.xml says about a profile, with its versions."""
    _, *parts = POM.read_text(encoding="utf-8").split("<profile>")
    text = next(part for part in parts if f"<id>{profile}</id>" in part)
    return re.sub(r"\$\{([^}]+)\}", lambda match: VERSIONS[match[1]], text)


def digests() -> dict[str, str]:
    """Name of a file from Maven -> its SHA-256, of every file that a profile needs."""
    lines = DIGESTS.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def check_digest(path: Path, pinned: dict[str, str]) -> None:
    """
    Raises:
        BuildError: the file is not the one that is pinned, or none is.
    """
    mark = path.stat().st_size, path.stat().st_mtime_ns
    if _checked.get(path) == mark:
        return
    found, wanted = sha256(path), pinned.get(path.name)
    if wanted is None:
        raise BuildError(f"{path.name} is not in {DIGESTS}: android_demo/tools/pin.py adds it")
    if found != wanted:
        raise BuildError(
            f"{path}: expected the SHA-256 {wanted}, got {found}: delete it and try again; "
            f"if it comes back, do not build with it"
        )
    _checked[path] = mark


_checked: dict[Path, tuple[int, int]] = {}


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def file(profile: str) -> Path:
    """The file of a profile that names just one."""
    (found,) = files(profile)
    return found


def classpath(*parts: Path | Sequence[Path]) -> str:
    """A class path of files and lists of files."""
    flat = [path for part in parts for path in ([part] if isinstance(part, Path) else part)]
    return os.pathsep.join(str(path) for path in flat)


def kotlinc(
    sources: Sequence[Path], *, libraries: str, out: Path, friends: Path | None = None
) -> None:
    """Compile Kotlin to class files that dx takes: no invokedynamic, Java 8.

    Args:
        friends: classes whose internal members the sources may use, as their tests do.
    """
    shutil.rmtree(out, ignore_errors=True)
    options = [
        "-jvm-target",
        "1.8",
        "-Xjdk-release=1.8",
        "-Xlambdas=class",
        "-Xsam-conversions=class",
    ]
    options += ["-Xstring-concat=inline", "-no-stdlib", "-no-reflect", "-Werror"]
    if friends is not None:
        options.append(f"-Xfriend-paths={friends}")
    java(
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
        *options, "-cp", libraries, "-d", out, *sources,
        cp=classpath(files("kotlinc")), heap="1g",
    )  # fmt: skip


def java(
    main: object,
    *arguments: object,
    cp: str,
    heap: str = "512m",
    options: Sequence[str] = (),
) -> str:
    """Run a Java class, or a source file, to its end and return what it printed."""
    return run(["java", f"-Xmx{heap}", *SHORT_RUN, *options, "-cp", cp, main, *arguments])


def unzip(archive: Path, member: str, out: Path) -> Path:
    """One member of an archive as the file ``out``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as source:
        out.write_bytes(source.read(member))
    return out


def run(command: Sequence[object], *, may_fail: bool = False) -> str:
    """Run a command and return its output.

    Raises:
        BuildError: it failed, unless it may; the message ends with its last lines.
    """
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode and not may_fail:
        tail = "\n".join(done.stdout.splitlines()[-60:])
        shown = " ".join(words)
        raise BuildError(f"{shown[:300]} ...\nended with {done.returncode}:\n{tail}")
    return done.stdout


def say(message: str) -> None:
    print(f"  {message}", file=sys.stderr, flush=True)


def sources(*folders: str) -> list[Path]:
    """Kotlin and Java files below folders of the demo."""
    found = [p for folder in folders for p in sorted((DEMO / folder).rglob("*")) if p.is_file()]
    return [path for path in found if path.suffix in {".kt", ".java"}]
