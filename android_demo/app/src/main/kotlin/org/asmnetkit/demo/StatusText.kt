package org.asmnetkit.demo

import android.content.Context
import org.asmnetkit.core.Speed

/**
 * What the screen says beside the picture. What is null is not shown.
 *
 * @property message instead of a picture: what is missing, and what to do.
 * @property status of the picture's faces, and what speaks against the figures.
 */
class Words(val backend: String, val speed: String?, val stages: String?, val status: String?, val message: String?)

/**
 * @param isBrief where large words would cover the picture: without what is seen in it anyway, and without the stages.
 */
fun describe(context: Context, state: UiState, isBrief: Boolean = false): Words {
    val message = problemOf(context, state.mode)
    val speed = state.speed.takeIf { message == null && state.mode !is Mode.Starting }
    return Words(
        backend = (state.actual ?: state.requested.accelerator).let { label(context, it, state.requested.threads) },
        speed = speed?.let { if (isIdle(state)) context.getString(R.string.speed_idle, it.framesPerSecond) else speedOf(context, it, state.mode) },
        stages = speed?.takeIf { !isBrief && !isIdle(state) }?.let { stagesOf(context, it, state.mode) },
        status = if (message != null) null else
            (listOfNotNull(refusalOf(context, state)) + state.doubts + listOfNotNull(facesOf(context, state, isBrief))).joinToString("\n").ifEmpty { null },
        message = message,
    )
}

private fun problemOf(context: Context, mode: Mode): String? = when (mode) {
    Mode.Starting, Mode.Camera, Mode.Photo, Mode.Film -> null
    Mode.Welcome -> context.getString(R.string.welcome)
    Mode.NoPermission -> context.getString(R.string.status_no_permission)
    Mode.NoCamera -> context.getString(R.string.status_no_camera)
    Mode.LowMemory -> context.getString(R.string.status_memory)
    is Mode.CameraError -> context.getString(R.string.status_camera_error, context.getString(sentenceOf(mode.problem)))
    is Mode.ModelError -> context.getString(R.string.status_model_error, mode.reason)
}

private fun sentenceOf(problem: CameraProblem): Int = when (problem) {
    CameraProblem.NONE -> R.string.camera_none
    CameraProblem.IN_USE, CameraProblem.TAKEN -> R.string.camera_taken
    CameraProblem.TOO_MANY -> R.string.camera_too_many
    CameraProblem.DISABLED -> R.string.camera_disabled
    CameraProblem.DEVICE -> R.string.camera_device
    CameraProblem.SERVICE -> R.string.camera_service
    CameraProblem.NO_FRAMES -> R.string.camera_no_frames
    CameraProblem.REFUSED -> R.string.camera_refused
    CameraProblem.UNPLUGGED -> R.string.camera_unplugged
}

private fun refusalOf(context: Context, state: UiState): String? {
    val actual = state.actual ?: return null
    if (state.refusal == null) return null
    return context.getString(
        R.string.status_refused,
        state.requested.label(context),
        label(context, actual, state.requested.threads),
        state.refusal,
    )
}

/** Without a face the model does not run: what it took for the last one is over. */
private fun isIdle(state: UiState) = state.mode !is Mode.Photo && state.faces == 0 && state.notFinite == 0

private fun speedOf(context: Context, speed: Speed, mode: Mode): String =
    if (mode is Mode.Photo) context.getString(R.string.speed_photo, speed.totalMs)
    else context.getString(R.string.speed_film, speed.framesPerSecond, speed.totalMs)

private fun stagesOf(context: Context, speed: Speed, mode: Mode): String =
    if (mode is Mode.Photo) context.getString(R.string.stages_photo, speed.preMs, speed.invokeMs, speed.postMs)
    else context.getString(R.string.stages_film, speed.preMs, speed.invokeMs, speed.postMs, speed.drawMs)

private fun facesOf(context: Context, state: UiState, isBrief: Boolean): String? = when {
    state.mode is Mode.Starting -> context.getString(R.string.status_starting)
    state.notFinite > 0 -> context.getString(R.string.status_not_finite, state.notFinite)
    state.faces == 0 -> context.getString(R.string.status_no_face)
    isBrief -> null
    else -> listOfNotNull(
        context.resources.getQuantityString(R.plurals.faces, state.faces, state.faces),
        state.confidence?.let { context.getString(R.string.sure, Math.round(100 * it)) },
        state.pose?.let { context.getString(R.string.status_pose, it.yaw, it.pitch, it.roll) },
    ).joinToString(" · ")
}
