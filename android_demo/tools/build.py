"""Build the phone app from Maven Central and Debian packages, without Google's hosts or an SDK.

    python3 android_demo/tools/build.py [--model MODEL.tflite ...]

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
from pathlib import Path

from versions import VERSIONS

import toolchain
from toolchain import BUILD, DEMO, ROOT, BuildError, classpath, file, files, java, run, say, unzip

PACKAGE = "org.asmnetkit.demo"
VERSION_CODE, VERSION_NAME = VERSIONS["app-version-code"], VERSIONS["app-version-name"]
MIN_SDK, TARGET_SDK = int(VERSIONS["min-sdk"]), int(VERSIONS["target-sdk"])
ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64")
APK = BUILD / "asmnet-kit-demo.apk"

ANDROID = "http://schemas.android.com/apk/res/android"
APP = DEMO / "app" / "src" / "main"
CORE_CLASSES = BUILD / "core-classes"
CLASSES = BUILD / "classes"  # of the app
RESOURCES = BUILD / "resources.apk"
GENERATED = BUILD / "generated"
INPUTS = BUILD / "models"  # of the tests: make_test_inputs.py writes them

# Libraries and models are mapped into memory: they stay uncompressed, on the borders of memory
# pages (16 KiB on newer phones). Other uncompressed entries need 4 bytes.
PAGE_BYTES = 16 * 1024
WORD_BYTES = 4

DEBUG_KEY = "androiddebugkey"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model", type=Path, action="append", help="a .tflite to bundle, repeatable"
    )
    arguments = parser.parse_args()
    try:
        print(build(arguments.model or default_models()))
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build(models: Sequence[Path]) -> Path:
    """Build, align and sign the app with these models; returns the APK."""
    toolchain.ensure_programs()
    say("linking resources (aapt2)")
    link_resources()
    say("compiling (kotlinc, javac)")
    compile_sources()
    say("shrinking (ProGuard)")
    shrunk = shrink()
    say("making Dalvik code (dx)")
    dex = make_dex(shrunk)
    say("packing and signing (zipfile, apksigner)")
    unsigned = pack(dex, models)
    return sign(unsigned)


def default_models() -> list[Path]:
    """The kit's int8 models whose terms let an app carry them.

    Weights for research alone must be asked for by name: whoever passes them on takes their terms
    along.

    Raises:
        BuildError: there is none.
    """
    folder = ROOT / "toolkit" / "models"
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    free = [
        folder / card["file"]
        for card in cards
        if card["licence"] == "Apache-2.0" and card["model"]["recipe"].endswith("w8a8")
    ]
    if not free:
        raise BuildError(f"no int8 model in {folder} may go into an app: name one with --model")
    return free


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


def tflite_jars() -> list[Path]:
    """The classes of the TensorFlow Lite AARs."""
    return [
        unzip(aar, "classes.jar", BUILD / "tflite" / f"{aar.stem}.jar") for aar in files("tflite")
    ]


def compile_sources() -> None:
    """core/ by itself, without any Android class, and app/ on top of it."""
    core = toolchain.sources("core/src/main")
    toolchain.kotlinc(core, libraries=classpath(files("stdlib")), out=CORE_CLASSES)
    generated = sorted(GENERATED.rglob("*.java"))
    kotlin = toolchain.sources("app/src/main")
    app_libraries = classpath(CORE_CLASSES, files("stdlib"), tflite_jars(), file("android"))
    toolchain.kotlinc([*kotlin, *generated], libraries=app_libraries, out=CLASSES)
    run(["javac", "-nowarn", "-Xlint:-options", "--release", "8", "-d", CLASSES, *generated])


def shrink() -> Path:
    """Drop unused code and translate what is left to Java 7 class files: dx has no desugaring."""
    out = BUILD / "shrunk.jar"
    rules = [f"-injars {CORE_CLASSES}", f"-injars {CLASSES}"]
    rules += [
        f"-injars {jar}(!META-INF/**,!**.kotlin_builtins,!**.kotlin_metadata)"
        for jar in [*files("stdlib"), *tflite_jars()]
    ]
    rules += [f"-outjars {out}", f"-libraryjars {file('android')}"]
    rules += [
        f"-libraryjars <java.home>/jmods/{module}.jmod(!**.jar;!module-info.class)"
        for module in ("java.base", "java.logging")
    ]
    rules += [(DEMO / "app" / "proguard-rules.pro").read_text(), "-target 1.7"]
    configuration = BUILD / "proguard.pro"
    configuration.write_text("\n".join(rules) + "\n")
    out.unlink(missing_ok=True)
    java("proguard.ProGuard", f"@{configuration}", cp=classpath(files("proguard")), heap="1g")
    return out


def make_dex(jar: Path) -> Path:
    out = BUILD / "classes.dex"
    java(
        "com.android.dx.command.Main", "--dex", f"--min-sdk-version={MIN_SDK}",
        f"--output={out}", jar, cp=classpath(files("dx")), heap="1g",
    )  # fmt: skip
    return out


def pack(dex: Path, models: Sequence[Path]) -> Path:
    """Resources, code, native libraries and models as one aligned, unsigned APK."""
    unsigned = BUILD / "unsigned.apk"
    with zipfile.ZipFile(unsigned, "w") as apk:
        with zipfile.ZipFile(RESOURCES) as resources:
            for entry in resources.infolist():
                # Since Android 11 the table of resources must be stored, so that it can be mapped.
                mapped = entry.filename == "resources.arsc"
                method = zipfile.ZIP_STORED if mapped else zipfile.ZIP_DEFLATED
                add(apk, entry.filename, resources.read(entry), method)
        add(apk, "classes.dex", dex.read_bytes(), zipfile.ZIP_DEFLATED)
        for aar in files("tflite"):
            with zipfile.ZipFile(aar) as library:
                for name in library.namelist():
                    parts = name.split("/")
                    if len(parts) == 3 and parts[0] == "jni" and parts[1] in ABIS:
                        path = f"lib/{parts[1]}/{parts[2]}"
                        add(apk, path, library.read(name), zipfile.ZIP_STORED, PAGE_BYTES)
        for model in models:
            name = f"assets/models/{model.name}"
            add(apk, name, model.read_bytes(), zipfile.ZIP_STORED, PAGE_BYTES)
    return unsigned


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


def sign(unsigned: Path) -> Path:
    """Sign by schemes v2 and v3 with this user's debug key."""
    keystore = debug_keystore()
    run(
        ["apksigner", "sign", "--ks", keystore, "--ks-pass", "pass:android",
         "--ks-key-alias", DEBUG_KEY, "--min-sdk-version",
         MIN_SDK, "--v1-signing-enabled", "false", "--v2-signing-enabled", "true",
         "--v3-signing-enabled", "true", "--out", APK, unsigned]
    )  # fmt: skip
    return APK


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
