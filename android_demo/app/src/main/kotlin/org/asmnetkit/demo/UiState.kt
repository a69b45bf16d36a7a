package org.asmnetkit.demo

import android.graphics.Bitmap
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Box
import org.asmnetkit.core.ModelMetadata
import org.asmnetkit.core.Pose
import org.asmnetkit.core.Scheme

/** What the app is doing. */
sealed interface Mode {
    object Starting : Mode
    object Camera : Mode
    object Photo : Mode
    object NoPermission : Mode
    object NoCamera : Mode
    object LowMemory : Mode
    class CameraError(val reason: String) : Mode
    class ModelError(val reason: String) : Mode
}

/** Means over the last second or so; milliseconds. */
data class Speed(val preMs: Double, val invokeMs: Double, val postMs: Double, val drawMs: Double, val framesPerSecond: Double)

/** Everything the screen shows besides the picture. */
data class UiState(
    val mode: Mode = Mode.Starting,
    val modelName: String = "",
    val metadata: ModelMetadata? = null,
    val requested: Backend = Backend(Accelerator.CPU, 1),
    val actual: Accelerator? = null,
    val refusal: String? = null,
    val speed: Speed? = null,
    val pose: Pose? = null,
    val faceFound: Boolean = false,
)

/**
 * A picture and what was seen in it. Coordinates are pixels of [bitmap]; [mirrored] says that it is
 * shown as in a mirror, as people expect of the front camera.
 */
class Scene(
    val bitmap: Bitmap,
    val mirrored: Boolean,
    val scheme: Scheme?,
    val landmarks: FloatArray?,
    val pose: Pose?,
    val box: Box?,
    /** Points that the model is not sure of, drawn hollow. */
    val unsure: Set<Int> = emptySet(),
)
