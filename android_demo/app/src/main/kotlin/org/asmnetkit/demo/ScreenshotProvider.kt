package org.asmnetkit.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.graphics.Bitmap
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException

/** Lets another app read the one picture that the user shares with it; nothing else is served. */
class ScreenshotProvider : ContentProvider() {
    override fun onCreate() = true

    override fun getType(uri: Uri) = TYPE

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        if (uri.path != "/$NAME" || mode != "r") throw FileNotFoundException("expected /$NAME, read only, got $uri")
        return ParcelFileDescriptor.open(fileOf(requireNotNull(context)), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(uri: Uri, columns: Array<String>?, where: String?, values: Array<String>?, order: String?): Cursor {
        val file = fileOf(requireNotNull(context))
        val about = mapOf(OpenableColumns.DISPLAY_NAME to NAME, OpenableColumns.SIZE to file.length())
        val wanted = (columns?.toList() ?: about.keys.toList()).filter { it in about }
        return MatrixCursor(wanted.toTypedArray(), 1).apply { addRow(wanted.map { about.getValue(it) }) }
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, where: String?, arguments: Array<String>?) = 0

    override fun delete(uri: Uri, where: String?, arguments: Array<String>?) = 0

    companion object {
        const val TYPE = "image/png"
        private const val AUTHORITY = "org.asmnetkit.demo.screenshots"
        private const val NAME = "asmnet-kit.png"

        /** Write the picture to share and return its address. @throws IOException it cannot be written. */
        fun store(context: Context, picture: Bitmap): Uri {
            val file = fileOf(context)
            file.parentFile?.mkdirs()
            val partial = File(file.path + ".part")
            partial.outputStream().use {
                if (!picture.compress(Bitmap.CompressFormat.PNG, 100, it)) throw IOException("the picture cannot be encoded")
            }
            if (!partial.renameTo(file)) throw IOException("the picture cannot be stored")
            return Uri.Builder().scheme("content").authority(AUTHORITY).path(NAME).build()
        }

        private fun fileOf(context: Context) = File(File(context.cacheDir, "shared"), NAME)
    }
}
