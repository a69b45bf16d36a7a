"""Parse the Gradle build, which cannot be run without Google's Maven.

Each script is given to the Kotlin compiler, whose parser finds what is no Kotlin. Of the names in
it only those of the version catalog are checked: what Gradle makes of the others stays unknown.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from versions import CATALOG, VERSIONS

import toolchain
from toolchain import BUILD, DEMO, BuildError, classpath, files

SCRIPTS = (
    "settings.gradle.kts",
    "build.gradle.kts",
    "app/build.gradle.kts",
    "core/build.gradle.kts",
    "cpu/build.gradle.kts",
)
PACKED = ("stdlib", "tflite-cpu", "tflite-cpu-android")  # profiles of pom.xml: the APK's libraries
# What the Android plugin itself leaves out, takes once or joins where several libraries bring it.
HARMLESS = ("META-INF/MANIFEST.MF", "META-INF/maven/*", "META-INF/services/*", "*.class", "*/")
EXCLUDED = re.compile(r'resources\.excludes \+= "([^"]+)"')
ENTRY = re.compile(r"^([a-z][a-z0-9-]*) = ", re.MULTILINE)


def check() -> str:
    """
    Raises:
        BuildError: a script is no Kotlin, names what the version catalog does not have, or does
            not leave out a file that two libraries bring.
    """
    known = catalog()
    for name in SCRIPTS:
        path = DEMO / name
        text = path.read_text(encoding="utf-8")
        unknown = used(text) - known
        if unknown:
            raise BuildError(f"{name}: {sorted(unknown)} is not in {CATALOG.name}")
        wrong = syntax_errors(text, path)
        if wrong:
            raise BuildError(f"{name}: it is no Kotlin:\n" + "\n".join(wrong))
    script = (DEMO / "app" / "build.gradle.kts").read_text(encoding="utf-8")
    jars = [path for name in PACKED for path in files(name) if path.suffix == ".jar"]
    twice = clashes(jars, EXCLUDED.findall(script))
    if twice:
        raise BuildError(f"app/build.gradle.kts: more than one library brings {', '.join(twice)}")
    return f"{len(SCRIPTS)} scripts parse, and the version catalog has what they name; not run here"


def clashes(jars: Sequence[Path], excluded: Sequence[str]) -> list[str]:
    """Files of more than one library, which the Android plugin refuses unless they are excluded."""
    counts: Counter[str] = Counter()
    for path in set(jars):
        with zipfile.ZipFile(path) as jar:
            counts.update(set(jar.namelist()))
    ignored = [*HARMLESS, *excluded]
    return sorted(
        name
        for name, count in counts.items()
        if count > 1 and not any(fnmatch(name, pattern) for pattern in ignored)
    )


def catalog() -> set[str]:
    """What scripts may name of the catalog after ``libs.``: versions.min.sdk, litert, ..."""
    text = CATALOG.read_text(encoding="utf-8")
    names: set[str] = set()
    for table, prefix in (("versions", "versions."), ("libraries", ""), ("plugins", "plugins.")):
        (body,) = re.findall(rf"^\[{table}\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
        names |= {prefix + name.replace("-", ".") for name in ENTRY.findall(body)}
    for reference in re.findall(r'version\.ref = "([^"]+)"', text):
        if reference not in VERSIONS:
            raise BuildError(f"{CATALOG.name}: expected a version {reference!r}")
    return names


def used(script: str) -> set[str]:
    """The entries of the catalog that a script names."""
    return {name.removesuffix(".get") for name in re.findall(r"\blibs\.([a-z0-9.]+)", script)}


def syntax_errors(script: str, path: Path) -> list[str]:
    """What the compiler's parser says about a script: its body as a function's."""
    lines = script.splitlines()
    imports = [line for line in lines if line.startswith("import ")]
    body = [line for line in lines if not line.startswith("import ")]
    source = BUILD / "gradle" / (path.parent.name + "-" + path.name.removesuffix("s"))
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("\n".join([*imports, "fun script() {", *body, "}", ""]), encoding="utf-8")
    said = toolchain.run(
        ["java", "-Xmx512m", *toolchain.SHORT_RUN, "-cp", classpath(files("kotlinc")),
         "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect",
         "-cp", classpath(files("stdlib")), "-d", BUILD / "gradle" / "classes", source],
        may_fail=True,
    )  # fmt: skip
    # A script's names are Gradle's, so it never compiles here; it must parse.
    return [line for line in said.splitlines() if "error: syntax error" in line.lower()]
