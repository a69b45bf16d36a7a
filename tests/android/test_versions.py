"""Versions stand in one file for both builds, and what Maven brings is what was looked at."""

import importlib
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).resolve().parents[2] / "android_demo"
TOOLS = DEMO / "tools"
NAMES = ("toolchain", "versions", "gradle", "build", "gates")
NUMBER = re.compile(r"\d+(\.\d+)+|\b\d{2}\b")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    monkeypatch.syspath_prepend(str(TOOLS))
    yield {name: importlib.import_module(name) for name in NAMES}
    for name in NAMES:
        del sys.modules[name]


def test_no_version_stands_in_the_pom_but_those_of_the_catalog(
    tools: dict[str, ModuleType],
) -> None:
    pom = (TOOLS / "pom.xml").read_text(encoding="utf-8")
    stated = re.findall(r"<version>([^<]+)</version>", pom)[1:]  # the first is the pom's own
    names = [re.fullmatch(r"\$\{([a-z0-9-]+)\}", version) for version in stated]
    assert all(names), stated
    assert {name[1] for name in names if name} <= set(tools["versions"].VERSIONS)


@pytest.mark.parametrize(
    "script",
    ["build.gradle.kts", "app/build.gradle.kts", "core/build.gradle.kts", "cpu/build.gradle.kts"],
)
def test_no_version_stands_in_a_gradle_script(script: str) -> None:
    text = (DEMO / script).read_text(encoding="utf-8")
    code = [line for line in text.splitlines() if not line.strip().startswith("//")]
    # Java 8 bytecode is what dx takes: no version of anything, and not to be raised by hand.
    kept = [line for line in code if "JVM_1_8" not in line and "VERSION_1_8" not in line]
    kept = [line for line in kept if '"1.8"' not in line and "-Xjdk-release=1.8" not in line]
    assert [line for line in kept if NUMBER.search(line)] == []


def test_both_builds_take_the_same_numbers(tools: dict[str, ModuleType]) -> None:
    versions, build = tools["versions"].VERSIONS, tools["build"]
    script = (DEMO / "app" / "build.gradle.kts").read_text(encoding="utf-8")
    for line in ("minSdk = libs.versions.min.sdk", "targetSdk = libs.versions.target.sdk"):
        assert line in script
    assert (
        int(versions["min-sdk"]),
        int(versions["target-sdk"]),
    ) == (build.MIN_SDK, build.TARGET_SDK)
    assert versions["app-version-name"] == build.VERSION_NAME


def test_a_gradle_script_that_is_no_kotlin_is_found(
    tools: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The compiler itself is played: make android-test runs it on the real scripts."""
    gradle = tools["gradle"]
    said = (
        "x.kt:3:1: error: unresolved reference 'android'.\nx.kt:4:1: error: syntax error: Expecting"
    )
    monkeypatch.setattr(gradle.toolchain, "run", lambda *_, **__: said)
    monkeypatch.setattr(gradle, "files", lambda _: [tmp_path / "a.jar"])
    monkeypatch.setattr(gradle, "BUILD", tmp_path)
    wrong = gradle.syntax_errors("import x.Y\nandroid {", DEMO / "build.gradle.kts")
    assert wrong == ["x.kt:4:1: error: syntax error: Expecting"]
    (written,) = (tmp_path / "gradle").glob("*.kt")
    assert written.read_text() == "import x.Y\nfun script() {\nandroid {\n}\n"


def test_what_gradle_scripts_name_is_in_the_catalog(tools: dict[str, ModuleType]) -> None:
    gradle = tools["gradle"]
    known = gradle.catalog()
    for name in gradle.SCRIPTS:
        assert gradle.used((DEMO / name).read_text(encoding="utf-8")) <= known, name
    assert gradle.used("x = libs.versions.no.sdk.get()") - known == {"versions.no.sdk"}


def test_a_file_that_two_libraries_bring_is_found_unless_the_script_leaves_it_out(
    tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    """make android-test looks into the real libraries: packing stops at such a file."""
    gradle = tools["gradle"]
    jars = [tmp_path / "a.jar", tmp_path / "b.jar"]
    twice = "META-INF/native-image/android-arm64/jni-config.json"
    for jar in jars:
        with zipfile.ZipFile(jar, "w") as archive:
            for name in ("META-INF/MANIFEST.MF", "META-INF/maven/x/pom.xml", twice, f"{jar}.txt"):
                archive.writestr(name, "")
    assert gradle.clashes(jars, []) == [twice]
    script = (DEMO / "app" / "build.gradle.kts").read_text(encoding="utf-8")
    assert gradle.clashes(jars, gradle.EXCLUDED.findall(script)) == []


def test_a_line_of_the_catalog_that_is_no_version_is_an_error(
    tools: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "libs.versions.toml"
    path.write_text("[versions]\nkotlin = 2\n[libraries]\n")
    monkeypatch.setattr(tools["versions"], "CATALOG", path)
    with pytest.raises(ValueError, match="expected NAME"):
        tools["versions"].versions()


def test_every_file_from_maven_has_a_digest_and_another_file_is_refused(
    tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    toolchain = tools["toolchain"]
    pinned = toolchain.digests()
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pinned.values())
    versions = tools["versions"].VERSIONS
    for name in (
        f"kotlin-stdlib-{versions['kotlin']}.jar",
        f"robolectric-{versions['robolectric']}.jar",
    ):
        assert name in pinned, "run: python3 android_demo/tools/pin.py"
    changed = tmp_path / f"kotlin-stdlib-{versions['kotlin']}.jar"
    changed.write_bytes(b"another")
    with pytest.raises(toolchain.BuildError, match="expected the SHA-256"):
        toolchain.check_digest(changed, pinned)
    unknown = tmp_path / "new-1.0.jar"
    unknown.write_bytes(b"")
    with pytest.raises(toolchain.BuildError, match="is not in"):
        toolchain.check_digest(unknown, pinned)
    known = {"new-1.0.jar": toolchain.sha256(unknown)}
    toolchain.check_digest(unknown, known)


def test_the_debug_key_is_the_users_and_outlives_a_checkout(
    tools: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[object]] = []
    build = tools["build"]

    def keytool(command: list[object]) -> str:
        made.append(command)
        Path(str(command[command.index("-keystore") + 1])).write_bytes(b"key")
        return ""

    monkeypatch.setattr(build, "run", keytool)
    monkeypatch.setenv("ANDROID_USER_HOME", str(tmp_path / "home"))
    first, second = build.debug_keystore(), build.debug_keystore()
    assert first == second == tmp_path / "home" / "debug.keystore"
    assert len(made) == 1
    assert "androiddebugkey" in made[0]
