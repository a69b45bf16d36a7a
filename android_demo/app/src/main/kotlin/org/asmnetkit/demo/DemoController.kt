package org.asmnetkit.demo

import android.content.Context
import android.graphics.Bitmap
import android.net.Uri
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.os.SystemClock
import java.io.IOException
import org.asmnetkit.core.ArgbPicture
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Box
import org.asmnetkit.core.BoxTracker
import org.asmnetkit.core.Engine
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.Face
import org.asmnetkit.core.FaceModel
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.OneEuroFilter
import org.asmnetkit.core.Picture
import org.asmnetkit.core.RunningMean
import org.asmnetkit.core.TurnedPicture
import org.asmnetkit.core.Uncertainty
import org.asmnetkit.core.YuvPicture
import org.asmnetkit.core.copyArgb
import org.asmnetkit.core.turned
import org.asmnetkit.core.uprightTurn

/**
 * Owns the camera, the model and the tracking, and closes them. Everything runs on one thread of its
 * own, since an engine belongs to its thread; states and scenes are told on the main thread.
 *
 * @param displayDegrees the display's rotation now, Surface.ROTATION_* x 90.
 */
class DemoController(
    private val context: Context,
    private val models: Models,
    private val factory: EngineFactory,
    private val displayDegrees: () -> Int,
    private val onState: (UiState) -> Unit,
    private val onScene: (Scene) -> Unit,
) {
    private val thread = HandlerThread("faces").apply { start() }
    private val handler = Handler(thread.looper)
    private val main = Handler(Looper.getMainLooper())
    private val camera: CameraSource = CameraSource(context, handler, ::onFrame, ::onCameraError)
    private val tracker = BoxTracker()
    private val filter = OneEuroFilter()
    private val pre = RunningMean(SHOWN_FRAMES)
    private val invoke = RunningMean(SHOWN_FRAMES)
    private val post = RunningMean(SHOWN_FRAMES)
    private val draw = RunningMean(SHOWN_FRAMES)
    private val betweenFrames = RunningMean(SHOWN_FRAMES)

    private var state = UiState()
    private var engine: Engine? = null
    private var model: FaceModel? = null
    private var photo: Bitmap? = null
    private var wantFront = true
    private var lastFrameMs = 0.0
    private var lastLookedMs = 0.0
    private var pixels = IntArray(0)

    // Two pictures in turn: the screen may still draw one while the next is filled.
    private val bitmaps = arrayOfNulls<Bitmap>(2)
    private var nextBitmap = 0
    private var pending = false

    private fun CameraSource.hasAny() = has(true) || has(false)

    private fun onCameraError(reason: String) =
        publish(state.copy(mode = if (camera.hasAny()) Mode.CameraError(reason) else Mode.NoCamera))

    /** Load a model and choose what runs it. */
    fun use(modelName: String, backend: Backend) = onThread {
        closeEngine()
        try {
            val file = models.open(modelName)
            publish(state.copy(modelName = modelName, metadata = file.metadata, requested = backend))
            val opened = factory.open(file, backend)
            engine = opened
            model = FaceModel(file, opened)
            val mode = if (state.mode is Mode.ModelError) Mode.Starting else state.mode
            publish(state.copy(mode = mode, actual = opened.actual, refusal = opened.refusal))
            if (photo != null) showPhoto(null)
        } catch (error: ModelException) {
            closeEngine()
            publish(state.copy(mode = Mode.ModelError(error.message.orEmpty()), requested = backend, actual = null))
        }
    }

    fun startCamera(front: Boolean) = onThread {
        wantFront = front
        photo = null
        restart()
        if (!camera.hasAny()) return@onThread publish(state.copy(mode = Mode.NoCamera))
        publish(state.copy(mode = Mode.Starting))
        camera.open(front)
    }

    /** Give the camera to others, as an app in the background must. */
    fun stopCamera() = onThread { camera.close() }

    /** Free the camera and the model, then tell it: nothing of this screen runs any more. */
    fun release(onReleased: () -> Unit) = onThread {
        camera.close()
        closeEngine()
        main.post(onReleased)
    }

    fun noPermission() = onThread { publish(state.copy(mode = Mode.NoPermission)) }

    /** Show a photo instead of the camera. [onFailure] is told why it cannot be. */
    fun openPhoto(uri: Uri, onFailure: (String) -> Unit) = onThread {
        try {
            val opened = readPhoto(context, uri)
            camera.close()
            photo = opened
            restart()
            showPhoto(null)
        } catch (error: IOException) {
            main.post { onFailure(error.message.orEmpty()) }
        } catch (error: SecurityException) {
            main.post { onFailure(error.message.orEmpty()) }
        }
    }

    /** Look for a face around a point of the shown picture, in its pixels. */
    fun pointAt(x: Double, y: Double, pictureWidth: Int, pictureHeight: Int) = onThread {
        val half = POINTED_SHARE * minOf(pictureWidth, pictureHeight) / 2
        val box = Box(x - half, y - half, x + half, y + half)
        if (photo != null) showPhoto(box) else tracker.choose(box)
    }

    /** Free what can be made again: all of the camera's. A photo stays, which nothing would bring back. */
    fun lowMemory() = onThread {
        camera.close()
        bitmaps.fill(null)
        pixels = IntArray(0)
        if (photo == null) publish(state.copy(mode = Mode.LowMemory))
    }

    fun close() {
        onThread {
            camera.close()
            closeEngine()
        }
        thread.quitSafely()
    }

    private fun onThread(action: () -> Unit) {
        handler.post(action)
    }

    private fun closeEngine() {
        engine?.close()
        engine = null
        model = null
        listOf(pre, invoke, post).forEach(RunningMean::clear)
    }

    private fun restart() {
        tracker.reset()
        filter.reset()
        lastFrameMs = 0.0
        listOf(pre, invoke, post, draw, betweenFrames).forEach(RunningMean::clear)
    }

    private fun onFrame(frame: YuvPicture, detected: List<Box>?) {
        val started = now()
        val turn = uprightTurn(camera.sensorDegrees, displayDegrees(), camera.front)
        val upright = TurnedPicture(frame, turn)
        val faces = detected?.map { it.turned(frame.width, frame.height, turn) }
        val box = tracker.next(faces ?: lookNowAndThen(upright, started), started)
        val face = box?.let { look(upright, it) }
        if (face != null) tracker.landmarks(face.landmarks, upright.width, upright.height)

        val drawing = now()
        if (!pending) show(upright, face, box)
        if (lastFrameMs > 0) betweenFrames.add(started - lastFrameMs)
        lastFrameMs = started
        draw.add(now() - drawing)
        publish(
            state.copy(
                mode = Mode.Camera.takeIf { state.mode !is Mode.ModelError } ?: state.mode,
                speed = speed(),
                pose = face?.pose,
                faceFound = face != null,
            ),
        )
    }

    /** Cameras without face detection: Android's own detector, once a second, since it takes long. */
    private fun lookNowAndThen(upright: Picture, timeMs: Double): List<Box>? {
        if (timeMs - lastLookedMs < BoxTracker.PATIENCE_MS) return null
        lastLookedMs = timeMs
        return findFaces(bitmapOf(upright, Bitmap.createBitmap(upright.width, upright.height, Bitmap.Config.ARGB_8888)))
    }

    private fun look(picture: Picture, box: Box): Face? = try {
        model?.look(picture, box)?.also {
            pre.add(it.times.preMs)
            invoke.add(it.times.invokeMs)
            post.add(it.times.postMs)
        }
    } catch (error: ModelException) {
        closeEngine()
        publish(state.copy(mode = Mode.ModelError(error.message.orEmpty())))
        null
    }

    private fun show(picture: Picture, face: Face?, box: Box?) {
        val slot = nextBitmap
        nextBitmap = 1 - nextBitmap
        val old = bitmaps[slot]
        val room = old?.takeIf { it.width == picture.width && it.height == picture.height }
            ?: Bitmap.createBitmap(picture.width, picture.height, Bitmap.Config.ARGB_8888)
        bitmaps[slot] = room
        val steady = face?.let {
            filter.update(it.landmarks, Box.around(it.landmarks).longerSide, now() / 1000, it.sigma?.let(Uncertainty::trust))
        }
        if (face == null) filter.reset()
        val scene = Scene(bitmapOf(picture, room), camera.front, state.metadata?.scheme, steady, face?.pose, box, unsureOf(face))
        pending = true
        main.post {
            onScene(scene)
            handler.post { pending = false }
        }
    }

    /** Show the photo with its face, in [chosen] or where one is found. */
    private fun showPhoto(chosen: Box?) {
        val bitmap = photo ?: return
        val argb = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(argb, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        val picture = ArgbPicture(bitmap.width, bitmap.height, argb)
        var box = chosen ?: findFaces(bitmap).firstOrNull()
        var face = box?.let { look(picture, it) }
        // A box from eyes or a touch is rough; the landmarks' own box is what the model learned.
        repeat(PHOTO_REFINEMENTS) {
            face?.let {
                val around = Box.around(it.landmarks)
                if (around.longerSide >= BoxTracker.MIN_SIDE_PIXELS) {
                    box = around
                    face = look(picture, around)
                }
            }
        }
        val scene = Scene(bitmap, false, state.metadata?.scheme, face?.landmarks, face?.pose, box, unsureOf(face))
        main.post { onScene(scene) }
        val mode = if (state.mode is Mode.ModelError) state.mode else Mode.Photo
        publish(state.copy(mode = mode, speed = speed(), pose = face?.pose, faceFound = face != null))
    }

    /** The points that are drawn hollow. */
    private fun unsureOf(face: Face?): Set<Int> {
        if (face == null || (face.sigma == null && face.visible == null)) return emptySet()
        val side = Box.around(face.landmarks).longerSide
        return (0 until face.landmarks.size / 2).filterTo(mutableSetOf()) {
            Uncertainty.isUnsure(it, face.sigma, face.visible, side)
        }
    }

    private fun bitmapOf(picture: Picture, into: Bitmap): Bitmap {
        val count = picture.width * picture.height
        if (pixels.size < count) pixels = IntArray(count)
        picture.copyArgb(pixels)
        into.setPixels(pixels, 0, picture.width, 0, 0, picture.width, picture.height)
        return into
    }

    private fun speed(): Speed? {
        val between = betweenFrames.mean
        return Speed(
            preMs = pre.mean ?: return null,
            invokeMs = invoke.mean ?: return null,
            postMs = post.mean ?: return null,
            drawMs = draw.mean ?: 0.0,
            framesPerSecond = if (between == null || between <= 0) 0.0 else 1000 / between,
        )
    }

    private fun publish(new: UiState) {
        state = new
        main.post { onState(new) }
    }

    private fun now(): Double = SystemClock.elapsedRealtimeNanos() / 1e6

    private companion object {
        const val SHOWN_FRAMES = 30 // about a second
        const val POINTED_SHARE = 0.4 // of the picture's shorter side: a face that somebody points at
        const val PHOTO_REFINEMENTS = 2
    }
}
