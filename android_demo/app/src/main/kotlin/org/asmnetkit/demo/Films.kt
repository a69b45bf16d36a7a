package org.asmnetkit.demo

import android.content.Context
import android.media.Image
import android.media.MediaCodec
import android.media.MediaCodecInfo
import android.media.MediaExtractor
import android.media.MediaFormat
import android.net.Uri
import android.os.Handler
import android.os.SystemClock
import java.io.IOException
import org.asmnetkit.core.Plane
import org.asmnetkit.core.YuvColours
import org.asmnetkit.core.YuvPicture
import org.asmnetkit.core.oneLine

/** A film that is open: its pictures one after the other. Tests play one. */
interface Film : AutoCloseable {
    /** How far its pictures must be turned clockwise to stand upright: 0, 90, 180 or 270. */
    val turnDegrees: Int

    /**
     * Hand the next picture to [see], which is gone when that returns, with its time from the film's start.
     *
     * @return false at the film's end.
     * @throws IOException the film or its decoder is broken.
     */
    fun next(see: (picture: YuvPicture, timeMs: Double) -> Unit): Boolean

    /** Begin again. */
    fun rewind()
}

/**
 * Plays a film on [handler]'s thread, again and again, at its own speed: pictures that come too late to be shown at
 * their time are left out, as a camera leaves them out.
 *
 * @param onFrame a picture and its time, which never goes back; gone when the call returns.
 * @param onRestart the film begins again: what comes next does not follow what came before.
 */
class FilmPlayer(
    private val film: Film,
    private val handler: Handler,
    private val onFrame: (picture: YuvPicture, timeMs: Double) -> Unit,
    private val onRestart: () -> Unit,
    private val onProblem: (String) -> Unit,
) : AutoCloseable {
    private var closed = false
    private var startedMs = 0L
    private var lastMs = 0.0 // of the film
    private var shownMs = 0L
    private var pictures = 0 // since the film began
    val turnDegrees: Int get() = film.turnDegrees

    fun start() {
        startedMs = SystemClock.uptimeMillis()
        lastMs = 0.0
        pictures = 0
        handler.post(::step)
    }

    override fun close() {
        if (closed) return
        closed = true
        film.close()
    }

    private fun step() {
        if (closed) return
        var intervalMs = USUAL_INTERVAL_MS
        try {
            val more = film.next { picture, timeMs ->
                pictures++
                if (timeMs > lastMs) intervalMs = timeMs - lastMs
                lastMs = timeMs
                val now = SystemClock.uptimeMillis()
                val lateMs = now - startedMs - timeMs
                if (lateMs < LATE_MS || now - shownMs > LONGEST_GAP_MS) {
                    onFrame(picture, startedMs + timeMs)
                    shownMs = SystemClock.uptimeMillis() // what the model took is no gap, or every picture would wait for it
                }
            }
            if (closed) return
            if (!more) {
                if (pictures == 0) throw IOException("it has no picture")
                film.rewind()
                onRestart()
                return start()
            }
        } catch (error: IOException) {
            close()
            return onProblem(error.message.orEmpty())
        }
        val early = startedMs + lastMs + intervalMs - SystemClock.uptimeMillis()
        handler.postDelayed(::step, early.toLong().coerceIn(0, MOST_WAIT_MS))
    }

    private companion object {
        const val USUAL_INTERVAL_MS = 33.0
        const val LATE_MS = 100
        const val LONGEST_GAP_MS = 250
        const val MOST_WAIT_MS = 1000L
    }
}

/** A film by Android's own decoder, picture by picture. */
class AndroidFilm private constructor(
    private val extractor: MediaExtractor,
    private val decoder: MediaCodec,
    override val turnDegrees: Int,
) : Film {
    private val about = MediaCodec.BufferInfo()
    private var fed = false // all of the film
    private var ended = false // its last picture came

    override fun next(see: (picture: YuvPicture, timeMs: Double) -> Unit): Boolean {
        val end = SystemClock.uptimeMillis() + MOST_SILENT_MS
        try {
            while (!ended && SystemClock.uptimeMillis() < end) {
                if (!fed) feed()
                val index = decoder.dequeueOutputBuffer(about, WAIT_US)
                if (index < 0) continue // another format, or nothing yet
                try {
                    ended = about.flags and MediaCodec.BUFFER_FLAG_END_OF_STREAM != 0 // with the last picture, or after it
                    if (ended && about.size == 0) return false
                    val image = decoder.getOutputImage(index) ?: continue
                    val colours = coloursOf(decoder.getOutputFormat(index), minOf(image.width, image.height))
                    image.use { see(pictureOf(it, colours), about.presentationTimeUs / 1000.0) }
                    return true
                } finally {
                    decoder.releaseOutputBuffer(index, false)
                }
            }
            if (ended) return false
            throw IOException("no picture within ${MOST_SILENT_MS / 1000} s")
        } catch (error: IllegalStateException) { // MediaCodec.CodecException, too
            throw IOException(oneLine(error), error)
        }
    }

    private fun feed() {
        val index = decoder.dequeueInputBuffer(WAIT_US)
        if (index < 0) return
        val buffer = decoder.getInputBuffer(index) ?: return
        val bytes = extractor.readSampleData(buffer, 0)
        fed = bytes < 0
        if (fed) {
            decoder.queueInputBuffer(index, 0, 0, 0, MediaCodec.BUFFER_FLAG_END_OF_STREAM)
        } else {
            decoder.queueInputBuffer(index, 0, bytes, extractor.sampleTime, 0)
            extractor.advance()
        }
    }

    override fun rewind() {
        try {
            decoder.flush()
        } catch (error: IllegalStateException) {
            throw IOException(oneLine(error), error)
        }
        extractor.seekTo(0, MediaExtractor.SEEK_TO_CLOSEST_SYNC)
        fed = false
        ended = false
    }

    override fun close() {
        decoder.release()
        extractor.release()
    }

    companion object {
        private const val WAIT_US = 10_000L
        private const val MOST_SILENT_MS = 5_000L
        private const val HD_SIDE = 720

        /** @throws IOException it is no film that this phone can decode. */
        fun open(context: Context, uri: Uri): Film {
            val extractor = MediaExtractor()
            var decoder: MediaCodec? = null
            try {
                extractor.setDataSource(context, uri, null)
                val track = (0 until extractor.trackCount).find { typeOf(extractor.getTrackFormat(it)).startsWith("video/") }
                    ?: throw IOException(context.getString(R.string.film_unknown))
                extractor.selectTrack(track)
                val format = extractor.getTrackFormat(track)
                val turn = if (format.containsKey(MediaFormat.KEY_ROTATION)) format.getInteger(MediaFormat.KEY_ROTATION) else 0
                format.setInteger(MediaFormat.KEY_COLOR_FORMAT, MediaCodecInfo.CodecCapabilities.COLOR_FormatYUV420Flexible)
                decoder = MediaCodec.createDecoderByType(typeOf(format))
                decoder.configure(format, null, null, 0)
                decoder.start()
                return AndroidFilm(extractor, decoder, turn)
            } catch (error: RuntimeException) { // what a decoder says of a film that it does not take
                decoder?.release()
                extractor.release()
                throw IOException(context.getString(R.string.film_unknown), error)
            } catch (error: IOException) {
                decoder?.release()
                extractor.release()
                throw error
            }
        }

        private fun typeOf(format: MediaFormat) = format.getString(MediaFormat.KEY_MIME).orEmpty()

        /** What of a decoder's picture is the film's: decoders work in whole blocks. */
        private fun pictureOf(image: Image, colours: YuvColours): YuvPicture {
            val crop = image.cropRect
            val (y, u, v) = image.planes.mapIndexed { index, plane ->
                val share = if (index == 0) 1 else 2
                val skipped = crop.top / share * plane.rowStride + crop.left / share * plane.pixelStride
                Plane(plane.buffer.apply { position(skipped) }.slice(), plane.rowStride, plane.pixelStride)
            }
            return YuvPicture(crop.width(), crop.height(), y, u, v, colours)
        }

        /** As the decoder's [format] says, and where it does not, as films of that size usually are. */
        fun coloursOf(format: MediaFormat, shorterSide: Int): YuvColours {
            fun of(key: String) = if (format.containsKey(key)) format.getInteger(key) else 0
            val standard = when (of(MediaFormat.KEY_COLOR_STANDARD)) {
                MediaFormat.COLOR_STANDARD_BT709 -> YuvColours.Standard.BT709
                MediaFormat.COLOR_STANDARD_BT601_PAL, MediaFormat.COLOR_STANDARD_BT601_NTSC -> YuvColours.Standard.BT601
                MediaFormat.COLOR_STANDARD_BT2020 -> YuvColours.Standard.BT2020
                else -> if (shorterSide >= HD_SIDE) YuvColours.Standard.BT709 else YuvColours.Standard.BT601
            }
            return YuvColours(standard, isFull = of(MediaFormat.KEY_COLOR_RANGE) == MediaFormat.COLOR_RANGE_FULL)
        }
    }
}
