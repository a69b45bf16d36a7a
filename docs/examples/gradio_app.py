"""A web page that draws landmarks on the photograph you drop upon it, with Gradio.

    pip install gradio
    python gradio_app.py [MODEL]

The page is at http://127.0.0.1:7860, for this machine alone.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asmnet_kit


class Landmarks:
    """What the page calls for each photograph."""

    def __init__(self, model: str | None = None) -> None:
        self.model = asmnet_kit.load(model)

    def __call__(
        self, image: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.uint8] | None, list[dict[str, Any]]]:
        """A photograph, RGB, to the same with its faces drawn upon it, and the faces as JSON."""
        if image is None:
            return None, []
        faces = self.model.predict(image)
        return self.model.draw(image, faces), [face.to_json() for face in faces]


def main() -> None:
    """Serve the page."""
    import gradio

    find = Landmarks(sys.argv[1] if len(sys.argv) > 1 else None)
    gradio.Interface(
        find,
        inputs=gradio.Image(type="numpy", label="photograph"),
        outputs=[gradio.Image(label="landmarks"), gradio.JSON(label="faces")],
        title=f"Face landmarks: {find.model.name}",
    ).launch()


if __name__ == "__main__":
    main()
