package org.asmnetkit.demo

import android.content.Context
import android.net.Uri
import android.provider.OpenableColumns
import java.io.File
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile

/**
 * The models at hand: bundled ones (assets), picked ones (copied into the app's files) and those that
 * `adb push` put into the app's external files folder. A later place wins over an earlier one.
 */
class Models(private val context: Context) {
    private val picked = File(context.filesDir, FOLDER)
    private val pushed: File? get() = context.getExternalFilesDir(FOLDER)

    /** File names, sorted. */
    fun names(): List<String> {
        val files = listOfNotNull(picked, pushed).flatMap { it.list().orEmpty().toList() }
        return (bundled() + files).filter { it.endsWith(SUFFIX) }.distinct().sorted()
    }

    /** The model to start with. @throws ModelException there is none. */
    fun first(): String = (bundled() + names()).firstOrNull()
        ?: throw ModelException("expected a model in the app, found none; open a file or build the app with one")

    /** @throws ModelException no such model, or it cannot be used. */
    fun open(name: String): ModelFile {
        val file = listOfNotNull(pushed, picked).map { File(it, name) }.find { it.isFile && it.parentFile?.name == FOLDER }
        try {
            return ModelFile.read(name, if (file != null) mapped(file) else asset(name))
        } catch (error: FileNotFoundException) {
            throw ModelException("expected one of the models ${names()}, got '$name'", error)
        } catch (error: IOException) {
            throw ModelException("$name: ${error.message}", error)
        }
    }

    /**
     * Copy a picked document into the app once it has been read as a model.
     *
     * @return its name here.
     * @throws ModelException it is no model of the kit.
     */
    fun import(uri: Uri): String {
        val name = safeName(displayName(uri))
        val partial = File(context.cacheDir, "$name.part")
        try {
            val stream = context.contentResolver.openInputStream(uri) ?: throw IOException("the file is gone")
            stream.use { copyLimited(it, partial) }
            ModelFile.read(name, mapped(partial))
            picked.mkdirs()
            if (!partial.renameTo(File(picked, name))) throw IOException("the file cannot be stored")
            return name
        } catch (error: IOException) {
            throw ModelException("$name: ${error.message}", error)
        } catch (error: SecurityException) {
            throw ModelException("$name: the app may not read this file", error)
        } finally {
            partial.delete()
        }
    }

    private fun bundled(): List<String> = context.assets.list(FOLDER).orEmpty().filter { it.endsWith(SUFFIX) }.sorted()

    private fun asset(name: String): ByteBuffer {
        val bytes = context.assets.open("$FOLDER/$name").use { it.readBytes() }
        return ByteBuffer.allocateDirect(bytes.size).apply {
            put(bytes)
            rewind()
        }
    }

    private fun displayName(uri: Uri): String =
        context.contentResolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use {
            if (it.moveToFirst()) it.getString(0) else null
        } ?: "picked"

    /** A file name without folders, whatever a document provider says. */
    private fun safeName(name: String): String {
        val plain = name.removeSuffix(SUFFIX).map { if (it.isLetterOrDigit() || it in "._-") it else '_' }.joinToString("")
        return plain.trimStart('.').take(MAX_NAME).ifEmpty { "picked" } + SUFFIX
    }

    private fun copyLimited(source: InputStream, target: File) = target.outputStream().use { out ->
        val buffer = ByteArray(1 shl 16)
        var total = 0L
        while (true) {
            val read = source.read(buffer)
            if (read < 0) return@use
            total += read
            if (total > MAX_BYTES) throw IOException("expected a model of at most ${MAX_BYTES shr 20} MiB")
            out.write(buffer, 0, read)
        }
    }

    private companion object {
        const val FOLDER = "models"
        const val SUFFIX = ".tflite"
        const val MAX_NAME = 100
        const val MAX_BYTES = 256L shl 20
    }
}

/** A file's content, which stays on the disk until it is looked at. */
internal fun mapped(file: File): ByteBuffer =
    FileInputStream(file).use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, file.length()) }
