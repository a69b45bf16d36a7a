"""Parse the Gradle build, which cannot be run without Google's Maven.

Each script is given to the Kotlin compiler, whose parser finds what is no Kotlin. Of the names in
it only those of the version catalog are checked: what Gradle makes of the others stays unknown.
"""

import re
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
ENTRY = re.compile(r"^([a-z][a-z0-9-]*) = ", re.MULTILINE)


def check() -> str:
    """
    Raises:
        BuildError: a script is no Kotlin, or names what the version catalog does not have.
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
    return f"{len(SCRIPTS)} scripts parse, and the version catalog has what they name; not run here"


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
