"""Build the phone app from Maven Central and Debian packages, without Google's hosts or an SDK.

    python3 android_demo/tools/build.py [--runtime full|publishable] [--model MODEL.tflite ...]

aapt2 links the resources, kotlinc compiles, ProGuard shrinks, dx makes Dalvik code, Python's
zipfile packs with aligned entries, apksigner signs. Ends with the path of an APK signed with a
debug key.
Gradle builds the same sources with Google's own tools (docs/android.md).
"""

import argparse
import json
import os
import shutil
import stat
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from versions import VERSIONS

import toolchain
from toolchain import BUILD, DEMO, ROOT, BuildError, classpath, file, files, java, run, say, unzip

PACKAGE = "org.asmnetkit.demo"
VERSION_CODE, VERSION_NAME = VERSIONS["app-version-code"], VERSIONS["app-version-name"]
MIN_SDK, TARGET_SDK = int(VERSIONS["min-sdk"]), int(VERSIONS["target-sdk"])
ABIS = ("arm64-v8a", "x86_64")  # those of the CPU engine

ANDROID = "http://schemas.android.com/apk/res/android"
APP = DEMO / "app" / "src" / "main"
CORE_CLASSES = BUILD / "core-classes"
CPU_CLASSES = BUILD / "cpu-classes"
RESOURCES = BUILD / "resources.apk"
GENERATED = BUILD / "generated"
DETECTOR = ROOT / "toolkit" / "predict" / "blazeface"  # weights of the face detector
MODELS = ROOT / "toolkit" / "models"
PEOPLE = "_people"  # in the names of models that learned people, and not drawn faces alone
INPUTS = BUILD / "models"  # of the tests: make_test_inputs.py writes them

# Libraries and models are mapped into memory: they stay uncompressed, on the borders of memory
# pages (16 KiB on newer phones). Other uncompressed entries need 4 bytes.
PAGE_BYTES = 16 * 1024
WORD_BYTES = 4

# JavaCPP reads these to find its libraries on a phone.
JAVACPP_PROPERTIES = tuple(
    f"org/bytedeco/javacpp/properties/android-{name}.properties" for name in ("arm64", "x86_64")
)

# What a library has that dx and phones have no use for; the last two are what JavaCPP does only
# where a PC's JVM is asked to, with classes that Android does not have.
NOT_ON_PHONES = (
    "!META-INF/**",
    "!**.kotlin_builtins",
    "!**.kotlin_metadata",
    "!**.properties",
    "!org/bytedeco/javacpp/tools/*MXBean.class",
    "!org/bytedeco/javacpp/tools/*Mojo.class",
)

DEBUG_KEY = "androiddebugkey"


@dataclass(frozen=True)
class Runtime:
    """What runs models in an APK.

    Attributes:
        name: also the folder below app/src/ with this runtime's own sources, as Gradle has it.
        apk: the file that is built.
        profiles: of pom.xml, with classes and libraries beside the CPU engine's.
        libraries: all native libraries in the APK.
        lazy: those of them that may be linked for 4 KiB pages: the app starts without them, and
            does not load them on a phone with larger pages.
    """

    name: str
    apk: Path
    profiles: tuple[str, ...]
    libraries: frozenset[str]
    lazy: frozenset[str]

    @property
    def folder(self) -> Path:
        return BUILD / self.name

    @property
    def classes(self) -> Path:
        """Of the app."""
        return self.folder / "classes"

    @property
    def shrunk(self) -> Path:
        return self.folder / "shrunk.jar"

    def jars(self) -> list[Path]:
        """The classes of its libraries."""
        aars = [aar for profile in self.profiles for aar in files(profile)]
        opened = [unzip(aar, "classes.jar", BUILD / "tflite" / f"{aar.stem}.jar") for aar in aars]
        return [*files("tflite-cpu"), *opened]

    def archives(self) -> list[Path]:
        """Files with native libraries, as FOLDER/ABI/NAME.so."""
        return [path for name in ("tflite-cpu-android", *self.profiles) for path in files(name)]


CPU_LIBRARIES = frozenset({"libjnijavacpp.so", "libjnitensorflowlite.so"})
DELEGATE_LIBRARIES = frozenset({"libtensorflowlite_jni.so", "libtensorflowlite_gpu_jni.so"})
RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime(
            "full",
            BUILD / "asmnet-kit-demo.apk",
            ("tflite",),
            CPU_LIBRARIES | DELEGATE_LIBRARIES,
            lazy=DELEGATE_LIBRARIES,
        ),
        Runtime(
            "publishable",
            BUILD / "asmnet-kit-demo-publishable.apk",
            (),
            CPU_LIBRARIES,
            lazy=frozenset(),
        ),
    )
}
FULL = RUNTIMES["full"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model", type=Path, action="append", help="a .tflite to bundle, repeatable"
    )
    add_runtime_option(parser)
    arguments = parser.parse_args()
    for model in arguments.model or ():
        problem = problem_of(model)
        if problem:
            parser.error(f"--model: {problem}")
    try:
        print(build(arguments.model or default_models(), RUNTIMES[arguments.runtime]))
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def add_runtime_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default=FULL.name,
        help="full: CPU, GPU and NNAPI; publishable: the CPU alone, every library for 16 KiB pages",
    )


def build(models: Sequence[Path], runtime: Runtime = FULL) -> Path:
    """Build, align and sign the app with these models; returns the APK."""
    toolchain.ensure_programs()
    say("linking resources (aapt2)")
    link_resources()
    say("compiling (kotlinc, javac)")
    compile_sources(runtime)
    say("shrinking (ProGuard)")
    shrink(runtime)
    say("making Dalvik code (dx)")
    dex = make_dex(runtime)
    say("packing and signing (zipfile, apksigner)")
    unsigned = pack(dex, models, runtime)
    return sign(unsigned, runtime)


def problem_of(model: Path) -> str | None:
    """Why the app could not use a file as a model; None where nothing speaks against it."""
    expected = f"expected a .tflite of asmnet-kit, got {model}"
    if not model.is_file():
        return f"{expected}: there is no such file"
    if model.suffix != ".tflite":
        return f"{expected}: the app looks for names that end in .tflite"
    content = model.read_bytes()
    if content[4:8] != b"TFL3":
        return f"{expected}: it is no TFLite model"
    if b"ASMNET_KIT" not in content:
        return f"{expected}: it has no ASMNET_KIT metadata; asmnet-kit quantize writes it"
    return None


def default_models() -> list[Path]:
    """The kit's int8 models of people whose terms let an app carry them.

    Weights for research alone must be asked for by name: whoever passes them on takes their terms
    along.

    Raises:
        BuildError: there is none.
    """
    free = [
        MODELS / card["file"]
        for card in cards().values()
        if card["licence"] == "Apache-2.0"
        and card["model"]["recipe"].endswith("w8a8")
        and PEOPLE in card["name"]
    ]
    if not free:
        raise BuildError(f"no int8 model in {MODELS} may go into an app: name one with --model")
    return free


def cards() -> dict[Path, dict[str, Any]]:
    """What the kit tells of each of its models, by file."""
    paths = sorted(MODELS.glob("*.json"))
    return {path: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def test_model() -> Path:
    """The model whose answers are known.

    Raises:
        BuildError: make_test_inputs.py has not run.
    """
    found = sorted(INPUTS.glob("*.tflite"))
    if len(found) != 1:
        raise BuildError(f"expected one model in {INPUTS}, found {len(found)}: use make android")
    return found[0]


def link_resources() -> None:
    """Compile res/ and the manifest to binary form, and write R.java."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    GENERATED.mkdir(parents=True)
    aapt2 = unzip(file("aapt2"), "prebuilt/linux/aapt2", BUILD / "tools" / "aapt2")
    aapt2.chmod(aapt2.stat().st_mode | stat.S_IXUSR)
    framework = unzip(
        file("aapt2"), "prebuilt/android-framework.jar", BUILD / "tools" / "framework.jar"
    )
    compiled = BUILD / "compiled-resources.zip"
    run([aapt2, "compile", "--dir", APP / "res", "-o", compiled])
    run(
        [aapt2, "link", "-o", RESOURCES, "-I", framework, "--manifest", manifest(),
         "--java", GENERATED, "--min-sdk-version", MIN_SDK, "--target-sdk-version", TARGET_SDK,
         "--version-code", VERSION_CODE, "--version-name", VERSION_NAME, compiled]
    )  # fmt: skip


def manifest() -> Path:
    """The manifest with what Gradle adds to it.

    Its package, and that the native libraries, stored on the borders of pages, are used where they
    are instead of being extracted at the installation.
    """
    ET.register_namespace("android", ANDROID)
    tree = ET.parse(APP / "AndroidManifest.xml")
    root = tree.getroot()
    root.set("package", PACKAGE)
    (application,) = root.findall("application")
    application.set(f"{{{ANDROID}}}extractNativeLibs", "false")
    path = GENERATED / "AndroidManifest.xml"
    tree.write(path, encoding="utf-8", xml_declaration=True)
    return path


def compile_sources(runtime: Runtime) -> None:
    """core/ by itself, cpu/ without any Android class, and app/ on top of both."""
    stdlib, engine = files("stdlib"), files("tflite-cpu")
    core, cpu = toolchain.sources("core/src/main"), toolchain.sources("cpu/src/main")
    toolchain.kotlinc(core, libraries=classpath(stdlib), out=CORE_CLASSES)
    toolchain.kotlinc(cpu, libraries=classpath(CORE_CLASSES, stdlib, engine), out=CPU_CLASSES)
    generated = sorted(GENERATED.rglob("*.java"))
    kotlin = toolchain.sources("app/src/main", f"app/src/{runtime.name}")
    libraries = classpath(CORE_CLASSES, CPU_CLASSES, stdlib, runtime.jars(), file("android"))
    toolchain.kotlinc([*kotlin, *generated], libraries=libraries, out=runtime.classes)
    run(
        ["javac", "-nowarn", "-Xlint:-options", "--release", "8", "-d", runtime.classes, *generated]
    )


def shrink(runtime: Runtime) -> None:
    """Drop unused code and translate what is left to Java 7 class files: dx has no desugaring."""
    out = runtime.shrunk
    libraries = [*files("stdlib"), *runtime.jars()]
    rules = [f"-injars {classes}" for classes in (CORE_CLASSES, CPU_CLASSES, runtime.classes)]
    rules += [f"-injars {jar}({','.join(NOT_ON_PHONES)})" for jar in libraries]
    rules += [f"-outjars {out}", f"-libraryjars {file('android')}"]
    rules += [
        f"-libraryjars <java.home>/jmods/{module}.jmod(!**.jar;!module-info.class)"
        for module in ("java.base", "java.logging")
    ]
    rules += [(DEMO / "app" / "proguard-rules.pro").read_text(), "-target 1.7"]
    configuration = runtime.folder / "proguard.pro"
    configuration.write_text("\n".join(rules) + "\n")
    out.unlink(missing_ok=True)
    java("proguard.ProGuard", f"@{configuration}", cp=classpath(files("proguard")), heap="1g")


def make_dex(runtime: Runtime) -> Path:
    out = runtime.folder / "classes.dex"
    java(
        "com.android.dx.command.Main", "--dex", f"--min-sdk-version={MIN_SDK}",
        f"--output={out}", runtime.shrunk, cp=classpath(files("dx")), heap="1g",
    )  # fmt: skip
    return out


def pack(dex: Path, models: Sequence[Path], runtime: Runtime) -> Path:
    """Resources, code, native libraries and models as one aligned, unsigned APK."""
    unsigned = runtime.folder / "unsigned.apk"
    with zipfile.ZipFile(unsigned, "w") as apk:
        with zipfile.ZipFile(RESOURCES) as resources:
            for entry in resources.infolist():
                # Since Android 11 the table of resources must be stored, so that it can be mapped.
                mapped = entry.filename == "resources.arsc"
                method = zipfile.ZIP_STORED if mapped else zipfile.ZIP_DEFLATED
                add(apk, entry.filename, resources.read(entry), method)
        add(apk, "classes.dex", dex.read_bytes(), zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(javacpp()) as classes:
            for name in JAVACPP_PROPERTIES:
                add(apk, name, classes.read(name), zipfile.ZIP_DEFLATED)
        for archive in runtime.archives():
            with zipfile.ZipFile(archive) as library:
                for name in library.namelist():
                    parts = name.split("/")  # jni/ABI/NAME in an .aar, lib/ABI/NAME in a .jar
                    if len(parts) == 3 and parts[1] in ABIS and name.endswith(".so"):
                        path = f"lib/{parts[1]}/{parts[2]}"
                        add(apk, path, library.read(name), zipfile.ZIP_STORED, PAGE_BYTES)
        for name, path in assets(models).items():
            add(apk, name, path.read_bytes(), zipfile.ZIP_STORED, PAGE_BYTES)
        for path in cards():
            add(apk, f"assets/cards/{path.name}", path.read_bytes(), zipfile.ZIP_DEFLATED)
    return unsigned


def assets(models: Sequence[Path]) -> dict[str, Path]:
    """Name in the APK -> file, of the models and of the face detector's weights."""
    bundled = {f"assets/models/{model.name}": model for model in models}
    return bundled | {f"assets/{path.name}": path for path in sorted(DETECTOR.glob("*.tflite"))}


def javacpp() -> Path:
    """What loads the CPU engine's libraries."""
    (found,) = [path for path in files("tflite-cpu") if path.name.startswith("javacpp")]
    return found


def add(
    apk: zipfile.ZipFile, name: str, content: bytes, method: int, alignment: int = WORD_BYTES
) -> None:
    """Write an entry whose content, when stored, starts at a multiple of ``alignment``.

    The same content gives the same bytes: entries carry the earliest time that zip has.
    """
    entry = zipfile.ZipInfo(name)
    entry.compress_type = method
    if method == zipfile.ZIP_STORED:
        header_bytes = 30 + len(name.encode())
        entry.extra = bytes(-(apk.start_dir + header_bytes) % alignment)
    apk.writestr(entry, content)


def sign(unsigned: Path, runtime: Runtime) -> Path:
    """Sign by schemes v2 and v3 with this user's debug key."""
    keystore = debug_keystore()
    run(
        ["apksigner", "sign", "--ks", keystore, "--ks-pass", "pass:android",
         "--ks-key-alias", DEBUG_KEY, "--min-sdk-version",
         MIN_SDK, "--v1-signing-enabled", "false", "--v2-signing-enabled", "true",
         "--v3-signing-enabled", "true", "--out", runtime.apk, unsigned]
    )  # fmt: skip
    return runtime.apk


def debug_keystore() -> Path:
    """The key that Android Studio signs with, too: made once for this user.

    A phone takes an update by the key of what it has alone, so the key outlives a checkout.
    """
    home = os.environ.get("ANDROID_USER_HOME")
    keystore = (Path(home) if home else Path.home() / ".android") / "debug.keystore"
    if not keystore.exists():
        keystore.parent.mkdir(parents=True, exist_ok=True)
        partial = keystore.with_name(f"{keystore.name}.{os.getpid()}")
        run(
            ["keytool", "-genkeypair", "-keystore", partial, "-storepass", "android",
             "-keypass", "android", "-alias", DEBUG_KEY, "-dname",
             "CN=Android Debug,O=Android,C=US", "-keyalg", "RSA", "-keysize", "2048",
             "-validity", "10950"]
        )  # fmt: skip
        partial.replace(keystore)
    return keystore


if __name__ == "__main__":
    sys.exit(main())
