"""Test the phone app here: Gradle files, JUnit, a model on the JVM, Robolectric, the APK gates.

    python3 android_demo/tools/check.py [--model MODEL.tflite ...] [--skip-robolectric]

Needs the APK of build.py and the inputs of make_test_inputs.py (make android-test does both).
"""

import argparse
import re
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import gradle

import build
import gates
import toolchain
from build import CORE_CLASSES, CPU_CLASSES, FULL, INPUTS, RESOURCES
from toolchain import BUILD, DEMO, ROOT, BuildError, classpath, file, files, java, say, unzip

REPORTS = BUILD / "reports"
PICTURES = BUILD / "pictures"
TEST_CLASSES = BUILD / "test-classes"
APP_TEST_CLASSES = BUILD / "app-test-classes"
FLOAT_MODEL = ROOT / "toolkit" / "models" / "asmnet_plus_68_112_fp16.tflite"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, action="append", help="a model that was bundled")
    parser.add_argument("--skip-robolectric", action="store_true")
    arguments = parser.parse_args()
    models = arguments.model or build.default_models()
    toolchain.ensure_programs()
    shutil.rmtree(REPORTS, ignore_errors=True)
    failed = False
    try:
        print(f"Gradle: {gradle.check()}")
    except BuildError as error:
        failed = True
        print(f"Gradle FAILED\n{error}")
    steps = {"JUnit on the JVM": jvm_tests}
    if not arguments.skip_robolectric:
        steps["Robolectric"] = robolectric_tests
    for name, step in steps.items():
        try:
            say(name)
            print(f"{name}: {summary(step())}")
        except BuildError as error:
            failed = True
            print(f"{name} FAILED\n{error}")
    return 1 if gates.check(FULL, models) or failed else 0


def jvm_tests() -> str:
    """The core against golden files, and a real int8 model through it against Python's runtime."""
    sources = toolchain.sources("core/src/test", "integrate/src/main", "jvm-test")
    libraries = [CORE_CLASSES, CPU_CLASSES, *files("stdlib"), *files("junit"), *files("tflite-cpu")]
    toolchain.kotlinc(
        sources, libraries=classpath(libraries), out=TEST_CLASSES, friends=CORE_CLASSES
    )
    golden = DEMO / "core/src/test/resources"
    return run_junit(
        TEST_CLASSES,
        classpath(TEST_CLASSES, golden, libraries, files("tflite-cpu-linux")),
        [
            f"-Dasmnetkit.model={build.test_model()}",
            f"-Dasmnetkit.detector={build.DETECTOR}",
            f"-Dasmnetkit.float-model={FLOAT_MODEL}",
            f"-Dorg.bytedeco.javacpp.cachedir={BUILD}/javacpp",
        ],
    )


def robolectric_tests() -> str:
    """Activities on the linked resources, with real drawing."""
    robolectric = [
        unzip(path, "classes.jar", BUILD / "robolectric" / f"{path.stem}.jar")
        if path.suffix == ".aar"
        else path
        for path in files("robolectric")
    ]
    junit = files("junit")
    sources = toolchain.sources("app/src/test", "app/src/testFull")
    libraries = [*robolectric, *files("stdlib"), *FULL.jars()]
    toolchain.kotlinc(
        sources,
        libraries=classpath(FULL.classes, CORE_CLASSES, CPU_CLASSES, libraries, file("android")),
        out=APP_TEST_CLASSES,
        friends=FULL.classes,
    )
    configuration = APP_TEST_CLASSES / "com/android/tools/test_config.properties"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    resources = BUILD / "robolectric" / "resources.apk"
    shutil.copy(RESOURCES, resources)
    with zipfile.ZipFile(resources, "a") as apk:
        apk.write(build.test_model(), f"assets/models/{build.test_model().name}")
        for path in build.cards():
            apk.write(path, f"assets/cards/{path.name}")
    configuration.write_text(
        f"android_merged_manifest={build.GENERATED / 'AndroidManifest.xml'}\n"
        f"android_resource_apk={resources}\n"
        f"android_custom_package={build.PACKAGE}\n"
    )
    framework = BUILD / "robolectric" / "framework"
    framework.mkdir(parents=True, exist_ok=True)
    jar = file("robolectric-android")
    link = framework / jar.name
    if not link.exists():
        link.symlink_to(jar)
    # Tests are found with the plain classes of Android, and run with Robolectric's own.
    found_with = [*libraries, file("android-java17"), *junit]
    runtime = classpath(APP_TEST_CLASSES, FULL.classes, CORE_CLASSES, CPU_CLASSES, found_with)
    return run_junit(
        APP_TEST_CLASSES,
        runtime,
        ["-Drobolectric.offline=true", f"-Drobolectric.dependency.dir={framework}",
         f"-Dasmnetkit.inputs={INPUTS}", f"-Dasmnetkit.pictures={PICTURES}",
         "--add-opens=java.base/java.lang=ALL-UNNAMED",
         "--add-opens=java.base/java.util=ALL-UNNAMED",
         "--add-opens=java.base/java.io=ALL-UNNAMED"],
    )  # fmt: skip


def run_junit(tests: Path, runtime: str, options: Sequence[str]) -> str:
    return java(
        "org.junit.platform.console.ConsoleLauncher",
        "execute", f"--scan-classpath={tests}", "--details=tree", "--disable-banner",
        "--disable-ansi-colors", cp=runtime, heap="2g",
        options=[f"-Dasmnetkit.reports={REPORTS}", *options],
    )  # fmt: skip


def summary(output: str) -> str:
    """How many tests ran; a run without any is a failure.

    Raises:
        BuildError: no test ran.
    """
    counts = {
        what: int(count)
        for count, what in re.findall(r"\[\s*(\d+) tests (successful|failed|skipped)", output)
    }
    if not counts.get("successful"):
        raise BuildError(f"expected tests, none ran:\n{output[-2000:]}")
    notes = [line for line in output.splitlines() if line.startswith("largest difference")]
    return ", ".join([f"{count} {what}" for what, count in counts.items()] + notes)


if __name__ == "__main__":
    sys.exit(main())
