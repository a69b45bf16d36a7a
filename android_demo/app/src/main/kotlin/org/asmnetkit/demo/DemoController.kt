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
import org.asmnetkit.core.Engine
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.FaceFinder
import org.asmnetkit.core.FaceModel
import org.asmnetkit.core.Frame
import org.asmnetkit.core.FramePipeline
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.Picture
import org.asmnetkit.core.Seen
import org.asmnetkit.core.ThinnedPicture
import org.asmnetkit.core.TurnedPicture
import org.asmnetkit.core.YuvPicture
import org.asmnetkit.core.copyArgb
import org.asmnetkit.core.uprightTurn

/**
 * Owns the camera and the model, and closes them; [FramePipeline] does the work between. Everything runs
 * on one thread of its own, since an engine belongs to its thread; states and scenes are told on the main
 * thread.
 *
 * @param finders makes what finds faces, on this controller's thread.
 * @param displayDegrees the display's rotation now, Surface.ROTATION_* x 90.
 * @param onScene a picture to show; [shown] is to be called when it has been drawn.
 */
class DemoController(
    private val context: Context,
    private val models: Models,
    private val factory: EngineFactory,
    private val finders: (Context) -> FaceFinder,
    cameras: (Context, Handler) -> Cameras,
    private val films: (Context, Uri) -> Film,
    private val displayDegrees: () -> Int,
    private val onState: (UiState) -> Unit,
    private val onScene: (Scene) -> Unit,
) {
    private val thread = HandlerThread("faces").apply { start() }
    private val handler = Handler(thread.looper)
    private val main = Handler(Looper.getMainLooper())
    private val camera = CameraSource(cameras(context, handler), handler, ::onFrame, ::onCameraProblem)
    private val pipeline = FramePipeline { picture -> (finder ?: finders(context).also { finder = it }).find(picture) }
    private var finder: FaceFinder? = null

    private var state = UiState()
    private var engine: Engine? = null
    private var photo: Photo? = null
    private var film: Uri? = null // shown instead of the camera, and its
    private var player: FilmPlayer? = null
    private var failure: String? = null // why no model runs, whatever else is shown meanwhile
    private var turned = 0 // the camera's frames, degrees
    private var toldMs = 0.0
    private var pixels = IntArray(0)

    // Two pictures in turn: the screen may still draw one while the next is filled.
    private val bitmaps = arrayOfNulls<Bitmap>(2)
    private var nextBitmap = 0
    private var pending = false

    /** A photo and its pixels, which every touch looks at again. */
    private class Photo(val bitmap: Bitmap) {
        val picture = IntArray(bitmap.width * bitmap.height).let {
            bitmap.getPixels(it, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
            ArgbPicture(bitmap.width, bitmap.height, it)
        }
    }

    private fun onCameraProblem(problem: CameraProblem) {
        pipeline.restart() // what comes when it is back does not follow what came before
        publish(state.copy(mode = if (problem == CameraProblem.NONE) Mode.NoCamera else Mode.CameraError(problem)))
    }

    /** Load a model and choose what runs it. */
    fun use(modelName: String, backend: Backend) = onThread {
        closeEngine()
        try {
            val file = models.open(modelName)
            publish(state.copy(modelName = modelName, metadata = file.metadata, requested = backend))
            val opened = factory.open(file, backend)
            engine = opened
            pipeline.model = FaceModel(file, opened)
            failure = null
            val mode = if (state.mode is Mode.ModelError) Mode.Starting else state.mode
            publish(state.copy(mode = mode, actual = opened.actual, refusal = opened.refusal, doubts = opened.warnings, notFinite = 0))
            if (photo != null) showPhoto(null)
            goOnWithFilm()
        } catch (error: ModelException) {
            fail(error.message.orEmpty())
            publish(state.copy(mode = modeOf(state.mode), modelName = modelName, requested = backend, actual = null))
        }
    }

    fun startCamera(front: Boolean) = onThread {
        photo = null
        closePlayer()
        film = null
        restart()
        publish(state.copy(mode = modeOf(Mode.Starting)))
        camera.open(front)
    }

    /** Free the camera and the model, then tell it: nothing of this screen runs any more. */
    fun release(onReleased: () -> Unit = {}) = onThread {
        camera.close()
        closePlayer()
        closeEngine()
        closeFinder()
        main.post(onReleased)
    }

    /** There is no picture yet, for the reason that [mode] is. */
    fun say(mode: Mode) = onThread { publish(state.copy(mode = mode)) }

    /** There is no model to run, for a reason. */
    fun sayNoModel(reason: String) = onThread {
        fail(reason)
        publish(state.copy(mode = modeOf(state.mode), actual = null))
    }

    /** Show a photo or a film instead of the camera. [onFailure] is told why it cannot be. */
    fun open(uri: Uri, onFailure: (String) -> Unit) = onThread {
        try {
            if (isFilm(uri)) {
                play(uri)
                camera.close()
                photo = null
                film = uri
            } else {
                val opened = Photo(readPhoto(context, uri))
                camera.close()
                closePlayer()
                film = null
                photo = opened
                restart()
                showPhoto(null)
            }
        } catch (error: IOException) {
            main.post { onFailure(error.message.orEmpty()) }
        } catch (error: SecurityException) {
            main.post { onFailure(error.message.orEmpty()) }
        } catch (error: OutOfMemoryError) { // the one large allocation of this app
            main.post { onFailure(context.getString(R.string.photo_memory)) }
        }
    }

    private fun isFilm(uri: Uri) = context.contentResolver.getType(uri).orEmpty().startsWith("video/")

    /** @throws IOException it cannot be played. */
    private fun play(uri: Uri) {
        val opened = films(context, uri)
        closePlayer()
        restart()
        player = FilmPlayer(opened, handler, ::onFilmFrame, onRestart = ::restart, onProblem = ::onFilmProblem).apply { start() }
    }

    /** From its start: what it was at when it was left is long forgotten. */
    private fun goOnWithFilm() {
        val uri = film.takeIf { player == null } ?: return
        try {
            play(uri)
        } catch (error: IOException) {
            onFilmProblem(error.message.orEmpty())
        } catch (error: SecurityException) {
            onFilmProblem(error.message.orEmpty())
        }
    }

    private fun onFilmProblem(reason: String) {
        closePlayer()
        publish(state.copy(mode = Mode.ModelError(context.getString(R.string.film_broken, reason))))
    }

    /** Look for a face around a point of the shown picture, in its pixels. */
    fun pointAt(x: Double, y: Double, pictureWidth: Int, pictureHeight: Int) = onThread {
        val half = POINTED_SHARE * minOf(pictureWidth, pictureHeight) / 2
        val box = Box(x - half, y - half, x + half, y + half)
        if (photo != null) showPhoto(box) else pipeline.choose(box)
    }

    /** The scene told last has been drawn: the next one may come. */
    fun shown() = onThread { pending = false }

    /** Free what can be made again: all of the camera's. A photo stays, which nothing would bring back. */
    fun lowMemory() = onThread {
        if (photo != null || film != null) return@onThread
        camera.close()
        bitmaps.fill(null)
        pixels = IntArray(0)
        publish(state.copy(mode = Mode.LowMemory))
    }

    fun close() {
        onThread {
            camera.close()
            closePlayer()
            closeEngine()
            closeFinder()
        }
        thread.quitSafely()
    }

    private fun onThread(action: () -> Unit) {
        handler.post(action)
    }

    private fun fail(reason: String) {
        closeEngine()
        failure = reason
    }

    /** What the screen is to say in [mode]: where no model runs that goes first, or there would just be no face. */
    private fun modeOf(mode: Mode): Mode = failure?.let { Mode.ModelError(it) } ?: mode

    private fun closeEngine() {
        engine?.close()
        engine = null
        pipeline.model = null
    }

    private fun closePlayer() {
        player?.close()
        player = null
    }

    private fun closeFinder() {
        finder?.close()
        finder = null
    }

    private fun restart() {
        pipeline.restart()
        pending = false
        toldMs = 0.0
    }

    private fun onFrame(frame: YuvPicture) {
        val turn = uprightTurn(camera.sensorDegrees, displayDegrees(), camera.front)
        if (turn != turned) pipeline.restart() // a face is elsewhere in a picture that is turned otherwise
        turned = turn
        onPicture(TurnedPicture(frame, turn), now(), Mode.Camera)
    }

    private fun onFilmFrame(frame: YuvPicture, timeMs: Double) {
        val upright = TurnedPicture(frame, player?.turnDegrees ?: 0)
        val step = (maxOf(upright.width, upright.height) + FILM_SIDE - 1) / FILM_SIDE
        onPicture(if (step > 1) ThinnedPicture(upright, step) else upright, timeMs, Mode.Film)
    }

    private fun onPicture(upright: Picture, timeMs: Double, mode: Mode) {
        val seen = seen { pipeline.next(Frame(upright, timeMs, cameMs = now())) }
        val drawing = now()
        if (!pending) show(upright, seen, mirrored = mode is Mode.Camera && camera.front)
        pipeline.drew(now() - drawing)
        val new = state.copy(mode = modeOf(mode)).with(seen)
        // Digits that change with every frame cannot be read; what is news is told at once.
        val news = new.mode::class != state.mode::class || (new.faces == 0) != (state.faces == 0) || new.notFinite != state.notFinite
        if (news || now() - toldMs >= TELL_EVERY_MS) {
            toldMs = now()
            publish(new)
        }
    }

    /** What the pipeline saw; nothing, and an error on the screen, where the model failed. */
    private fun seen(look: () -> Seen): Seen = try {
        look()
    } catch (error: ModelException) {
        fail(error.message.orEmpty())
        publish(state.copy(mode = modeOf(state.mode)))
        Seen(emptyList(), notFinite = 0)
    }

    private fun show(picture: Picture, seen: Seen, mirrored: Boolean) {
        val slot = nextBitmap
        nextBitmap = 1 - nextBitmap
        val old = bitmaps[slot]
        val room = old?.takeIf { it.width == picture.width && it.height == picture.height }
            ?: Bitmap.createBitmap(picture.width, picture.height, Bitmap.Config.ARGB_8888)
        bitmaps[slot] = room
        pending = true
        tell(bitmapOf(picture, room), mirrored, seen, fills = true)
    }

    /** Show the photo with its face, in [chosen] or where one is found. */
    private fun showPhoto(chosen: Box?) {
        val shown = photo ?: return
        val seen = seen { pipeline.photo(shown.picture, chosen) }
        tell(shown.bitmap, mirrored = false, seen, fills = false)
        publish(state.copy(mode = modeOf(Mode.Photo)).with(seen))
    }

    private fun tell(bitmap: Bitmap, mirrored: Boolean, seen: Seen, fills: Boolean) {
        val scene = Scene(bitmap, mirrored, state.metadata?.scheme, seen.faces, fills)
        main.post { onScene(scene) }
    }

    private fun UiState.with(seen: Seen): UiState {
        val first = seen.faces.firstOrNull()
        return copy(
            speed = pipeline.speed(),
            pose = first?.pose,
            confidence = first?.confidence,
            faces = seen.faces.size,
            notFinite = seen.notFinite,
        )
    }

    private fun bitmapOf(picture: Picture, into: Bitmap): Bitmap {
        val count = picture.width * picture.height
        if (pixels.size < count) pixels = IntArray(count)
        picture.copyArgb(pixels)
        into.setPixels(pixels, 0, picture.width, 0, 0, picture.width, picture.height)
        return into
    }

    private fun publish(new: UiState) {
        state = new
        main.post { onState(new) }
    }

    private fun now(): Double = SystemClock.elapsedRealtimeNanos() / 1e6

    private companion object {
        const val POINTED_SHARE = 0.4 // of the picture's shorter side: a face that somebody points at
        const val TELL_EVERY_MS = 200.0
        const val FILM_SIDE = 960 // pixels of the longer side: larger films are thinned, or drawing takes all the time
    }
}
