"""Run a model on a file of raw inputs with TensorFlow Lite on the JVM, as the phone app's tests do.

    python3 android_demo/tools/run_on_jvm.py MODEL.tflite INPUTS.tensors OUTPUTS.tensors

Prints the version of the runtime. What ready.py looks for must be here.
"""

import sys
from pathlib import Path

import toolchain
from toolchain import BUILD, BuildError, classpath, files, java, sources

CLASSES = BUILD / "jvm-classes"
MAIN = "org.asmnetkit.jvm.RunTensorsKt"


def main(model: Path, inputs: Path, outputs: Path) -> None:
    libraries = [*files("stdlib"), *files("tflite-cpu")]
    code = sources("core/src/main", "cpu/src/main")
    code += [p for p in sources("jvm-test") if p.stem == "RunTensors"]
    newest = max(path.stat().st_mtime for path in code)
    done = CLASSES / "complete"
    if not done.exists() or done.stat().st_mtime < newest:
        toolchain.kotlinc(code, libraries=classpath(libraries), out=CLASSES)
        done.touch()
    said = java(
        MAIN, model.absolute(), inputs.absolute(), outputs.absolute(),
        cp=classpath(CLASSES, libraries, files("tflite-cpu-linux")), heap="1g",
        options=[f"-Dorg.bytedeco.javacpp.cachedir={BUILD}/javacpp"],
    )  # fmt: skip
    print(said.strip().splitlines()[-1])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        main(*map(Path, sys.argv[1:]))
    except BuildError as error:
        sys.exit(str(error))
