package org.asmnetkit.demo

import android.graphics.Bitmap
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.ModelMetadata
import org.asmnetkit.core.Pose
import org.asmnetkit.core.Scheme
import org.asmnetkit.core.SeenFace
import org.asmnetkit.core.Speed

/** What the app is doing. */
sealed interface Mode {
    /** Before the camera is asked for, the first time. */
    object Welcome : Mode
    object Starting : Mode
    object Camera : Mode
    object Film : Mode
    object Photo : Mode
    object NoPermission : Mode
    object NoCamera : Mode
    object LowMemory : Mode
    class CameraError(val problem: CameraProblem) : Mode
    class ModelError(val reason: String) : Mode
}

/** Everything the screen shows besides the picture. */
data class UiState(
    val mode: Mode = Mode.Starting,
    val modelName: String = "",
    val metadata: ModelMetadata? = null,
    val requested: Backend = Backend(Accelerator.CPU, 1),
    val actual: Accelerator? = null,
    val refusal: String? = null,
    /** What speaks against [actual], though it runs. */
    val doubts: List<String> = emptyList(),
    val speed: Speed? = null,
    val pose: Pose? = null,
    /** How many there are; [pose] and [confidence] are the first one's. */
    val faces: Int = 0,
    val confidence: Double? = null,
    /** Output values of the last look that are no numbers. */
    val notFinite: Int = 0,
)

/**
 * A picture and what was seen in it. Coordinates are pixels of [bitmap]; [mirrored] says that it is
 * shown as in a mirror, as people expect of the front camera, and [fills] that it covers the view, whatever is cut
 * off; else all of it is shown.
 */
class Scene(
    val bitmap: Bitmap,
    val mirrored: Boolean,
    val scheme: Scheme?,
    val faces: List<SeenFace>,
    val fills: Boolean = false,
)
