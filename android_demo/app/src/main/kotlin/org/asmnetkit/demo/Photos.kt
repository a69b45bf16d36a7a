package org.asmnetkit.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import java.io.IOException
import java.io.InputStream
import kotlin.math.max

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

/** Photos are shrunk to this side: sharper than a screen shows and than any model's crop. */
const val MAX_SIDE = 2048
