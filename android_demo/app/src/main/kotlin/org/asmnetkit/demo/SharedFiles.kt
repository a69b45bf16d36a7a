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
import java.io.OutputStream

/** A file that the user may share with another app. */
class SharedFile(val name: String, val type: String)

/** Lets another app read the files that the user shares with it; nothing else is served. */
class SharedFiles : ContentProvider() {
    override fun onCreate() = true

    override fun getType(uri: Uri) = find(uri)?.type

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        val shared = find(uri)
        if (shared == null || mode != "r") throw FileNotFoundException("expected one of ${ALL.map { it.name }}, read only, got $uri")
        return ParcelFileDescriptor.open(fileOf(requireNotNull(context), shared), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(uri: Uri, columns: Array<String>?, where: String?, values: Array<String>?, order: String?): Cursor? {
        val shared = find(uri) ?: return null
        val file = fileOf(requireNotNull(context), shared)
        val about = mapOf(OpenableColumns.DISPLAY_NAME to shared.name, OpenableColumns.SIZE to file.length())
        val wanted = (columns?.toList() ?: about.keys.toList()).filter { it in about }
        return MatrixCursor(wanted.toTypedArray(), 1).apply { addRow(wanted.map { about.getValue(it) }) }
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, where: String?, arguments: Array<String>?) = 0

    override fun delete(uri: Uri, where: String?, arguments: Array<String>?) = 0

    companion object {
        val PICTURE = SharedFile("asmnet-kit.png", "image/png")
        val CHART = SharedFile("asmnet-kit-comparison.png", "image/png")
        val RESULTS = SharedFile("asmnet-kit-results.zip", "application/zip")
        private val ALL = listOf(PICTURE, CHART, RESULTS)
        private const val AUTHORITY = "org.asmnetkit.demo.shared"

        /** Write a picture to share and return its address. @throws IOException it cannot be written. */
        fun store(context: Context, shared: SharedFile, picture: Bitmap): Uri = store(context, shared) {
            if (!picture.compress(Bitmap.CompressFormat.PNG, 100, it)) throw IOException("the picture cannot be encoded")
        }

        /** Write a file to share and return its address. @throws IOException it cannot be written. */
        fun store(context: Context, shared: SharedFile, write: (OutputStream) -> Unit): Uri {
            val file = fileOf(context, shared)
            file.parentFile?.mkdirs()
            val partial = File(file.path + ".part")
            partial.outputStream().buffered().use(write)
            if (!partial.renameTo(file)) throw IOException("the file cannot be stored")
            return Uri.Builder().scheme("content").authority(AUTHORITY).path(shared.name).build()
        }

        private fun find(uri: Uri) = ALL.find { uri.path == "/${it.name}" }

        private fun fileOf(context: Context, shared: SharedFile) = File(File(context.cacheDir, "shared"), shared.name)
    }
}
