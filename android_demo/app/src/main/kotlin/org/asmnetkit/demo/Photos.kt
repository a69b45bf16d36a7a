package org.asmnetkit.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Matrix
import android.graphics.PointF
import android.media.ExifInterface
import android.media.FaceDetector
import android.net.Uri
import java.io.IOException
import java.io.InputStream
import kotlin.math.max
import org.asmnetkit.core.Box
import org.asmnetkit.core.boxFromEyes

/**
 * A photo as people see it: turned as its EXIF data says, at most [MAX_SIDE] pixels long.
 *
 * @throws IOException it is no picture, or gone.
 */
fun readPhoto(context: Context, uri: Uri): Bitmap {
    fun <T> opened(read: (InputStream) -> T): T =
        (context.contentResolver.openInputStream(uri) ?: throw IOException(context.getString(R.string.file_gone))).use(read)

    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    opened { BitmapFactory.decodeStream(it, null, bounds) }
    if (bounds.outWidth <= 0) throw IOException(context.getString(R.string.photo_unknown))
    val options = BitmapFactory.Options().apply {
        inSampleSize = sampleSize(max(bounds.outWidth, bounds.outHeight))
        inPreferredConfig = Bitmap.Config.ARGB_8888
    }
    val stored = opened { BitmapFactory.decodeStream(it, null, options) } ?: throw IOException(context.getString(R.string.photo_damaged))
    val orientation = try {
        opened { ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL) }
    } catch (error: IOException) {
        ExifInterface.ORIENTATION_NORMAL // a format without EXIF
    }
    val turn = exifMatrix(orientation)
    if (turn.isIdentity) return stored
    return Bitmap.createBitmap(stored, 0, 0, stored.width, stored.height, turn, true).also { stored.recycle() }
}

/** The least power of two that shrinks a side to at most [MAX_SIDE]. */
fun sampleSize(side: Int): Int {
    var size = 1
    while ((side + size - 1) / size > MAX_SIDE) size *= 2
    return size
}

/** The turn and flip that an EXIF orientation asks for. */
fun exifMatrix(orientation: Int): Matrix = Matrix().apply {
    when (orientation) {
        ExifInterface.ORIENTATION_FLIP_HORIZONTAL -> setScale(-1f, 1f)
        ExifInterface.ORIENTATION_ROTATE_180 -> setRotate(180f)
        ExifInterface.ORIENTATION_FLIP_VERTICAL -> setScale(1f, -1f)
        ExifInterface.ORIENTATION_TRANSPOSE -> {
            setRotate(90f)
            postScale(-1f, 1f)
        }
        ExifInterface.ORIENTATION_ROTATE_90 -> setRotate(90f)
        ExifInterface.ORIENTATION_TRANSVERSE -> {
            setRotate(270f)
            postScale(-1f, 1f)
        }
        ExifInterface.ORIENTATION_ROTATE_270 -> setRotate(270f)
    }
}

/**
 * Faces of a picture by Android's own detector, which runs anywhere and finds upright frontal faces:
 * for photos, and for cameras that detect none themselves.
 *
 * @return landmark boxes in pixels of [bitmap], the surest first.
 */
fun findFaces(bitmap: Bitmap): List<Box> {
    val scale = minOf(1f, DETECTOR_SIDE.toFloat() / max(bitmap.width, bitmap.height))
    val width = (bitmap.width * scale).toInt() and 1.inv() // the detector wants an even width
    val height = (bitmap.height * scale).toInt()
    if (width < 2 || height < 2) return emptyList()
    // It reads RGB_565 alone.
    val small = Bitmap.createBitmap(width, height, Bitmap.Config.RGB_565)
    val shrink = Matrix().apply { setScale(width.toFloat() / bitmap.width, height.toFloat() / bitmap.height) }
    Canvas(small).drawBitmap(bitmap, shrink, null)
    val found = arrayOfNulls<FaceDetector.Face>(MAX_FACES)
    val count = FaceDetector(width, height, MAX_FACES).findFaces(small, found)
    small.recycle()
    return found.take(count).filterNotNull().sortedByDescending { it.confidence() }.map { face ->
        val middle = PointF().also(face::getMidPoint)
        boxFromEyes((middle.x / scale).toDouble(), (middle.y / scale).toDouble(), (face.eyesDistance() / scale).toDouble())
    }
}

/** Photos are shrunk to this side: sharper than a screen shows and than any model's crop. */
const val MAX_SIDE = 2048
private const val DETECTOR_SIDE = 320
private const val MAX_FACES = 4
