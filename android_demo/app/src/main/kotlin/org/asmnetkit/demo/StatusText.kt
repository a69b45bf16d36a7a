package org.asmnetkit.demo

import android.content.Context

/** What the lines below the picture say. */
fun describe(context: Context, state: UiState): String {
    val problem = problemOf(context, state.mode)
    if (problem != null && state.mode !is Mode.Starting) return problem
    return listOfNotNull(modelLine(context, state), backendLine(context, state), problem ?: speedLine(context, state), faceLine(context, state))
        .joinToString("\n")
}

private fun problemOf(context: Context, mode: Mode): String? = when (mode) {
    Mode.Camera, Mode.Photo -> null
    Mode.Starting -> context.getString(R.string.status_starting)
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

private fun modelLine(context: Context, state: UiState): String? = state.metadata?.let {
    context.getString(R.string.status_model, it.architecture, it.recipe, it.landmarks, it.inputSize, it.cropScale)
}

private fun backendLine(context: Context, state: UiState): String? {
    val actual = state.actual ?: return null
    val ran = label(context, actual, state.requested.threads)
    if (state.refusal == null) {
        return (listOf(context.getString(R.string.status_ran_as_asked, ran)) + state.doubts).joinToString("; ")
    }
    return context.getString(R.string.status_refused, state.requested.label(context), ran, state.refusal)
}

private fun speedLine(context: Context, state: UiState): String? = state.speed?.let {
    if (state.mode is Mode.Photo) {
        context.getString(R.string.status_photo_times, it.preMs, it.invokeMs, it.postMs)
    } else {
        context.getString(R.string.status_times, it.preMs, it.invokeMs, it.postMs, it.drawMs, it.framesPerSecond)
    }
}

private fun faceLine(context: Context, state: UiState): String? = when {
    state.mode is Mode.Starting -> null
    state.notFinite > 0 -> context.getString(R.string.status_not_finite, state.notFinite)
    !state.faceFound -> context.getString(R.string.status_no_face)
    else -> state.pose?.let { context.getString(R.string.status_pose, it.yaw, it.pitch, it.roll) }
}
