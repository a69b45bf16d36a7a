package org.asmnetkit.demo

import android.content.Context
import android.net.Uri
import android.provider.OpenableColumns
import java.io.File
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import java.io.InterruptedIOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import org.asmnetkit.core.Json
import org.asmnetkit.core.ModelCard
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile

/**
 * The models at hand: bundled ones (assets), picked ones (copied into the app's files) and those that
 * `adb push` put into [pushFolder] or, as older versions of the kit do, into the app's external files
 * folder. A later place wins over an earlier one.
 */
class Models(private val context: Context) {
    private val picked = File(context.filesDir, FOLDER)
    private val folders: List<File> get() = listOfNotNull(picked, context.getExternalFilesDir(FOLDER), pushFolder)

    /** File names, sorted. */
    fun names(): List<String> {
        val files = folders.flatMap { it.list().orEmpty().toList() }
        return (bundled() + files).filter { it.endsWith(SUFFIX) }.distinct().sorted()
    }

    /** The model to start with: the kit's own choice where it is here. @throws ModelException there is none. */
    fun first(): String = (bundled() + names()).let { names -> cards.find { it.isDefault && it.file in names }?.file ?: names.firstOrNull() }
        ?: throw ModelException(context.getString(R.string.model_none))

    /** What the kit tells of its models; of a bundle without cards nothing. */
    val cards: List<ModelCard> by lazy {
        val names = context.assets.list(CARDS).orEmpty().filter { it.endsWith(".json") }
        names.map { name -> ModelCard.of(Json.parse(context.assets.open("$CARDS/$name").use { it.reader().readText() })) }
    }

    /** A short name for a file: the kit's, where it is called as one of the kit's. */
    fun titleOf(name: String): String = cards.find { it.file == name }?.name ?: name.removeSuffix(SUFFIX)

    /** Every model with what is known of it. Reads all files: not on the main thread. */
    fun choices(): List<ModelChoice> = names().map { name ->
        try {
            val file = open(name)
            ModelChoice(name, titleOf(name), file, cards.find { it.sha256 == file.sha256 }, null)
        } catch (error: ModelException) {
            ModelChoice(name, titleOf(name), null, null, error.message)
        }
    }

    /** @throws ModelException no such model, or it cannot be used. */
    fun open(name: String): ModelFile {
        val plain = File(name).name == name // no way out of the folders
        val file = folders.map { File(it, name) }.takeIf { plain }?.findLast { it.isFile }
        if (file == null && (!plain || name !in bundled())) {
            throw ModelException("expected one of the models ${names()}, got '$name'")
        }
        try {
            return ModelFile.read(name, if (file != null) mapped(file) else asset(context, "$FOLDER/$name"))
        } catch (error: IOException) {
            throw ModelException("$name: ${error.message}", error)
        }
    }

    /**
     * Copy a picked document into the app once it has been read as a model. From a drive in the network that
     * takes minutes: not on the main thread. Interrupting the thread ends it.
     *
     * @return its name here.
     * @throws ModelException it is no model of the kit.
     */
    fun import(uri: Uri): String {
        val name = safeName(displayName(uri))
        val partial = File(context.cacheDir, "$name.part")
        try {
            val stream = context.contentResolver.openInputStream(uri) ?: throw IOException(context.getString(R.string.file_gone))
            stream.use { copyLimited(it, partial) }
            val read = ModelFile.read(name, mapped(partial))
            val isBundled = name in bundled()
            if (isBundled && ModelFile.read(name, asset(context, "$FOLDER/$name")).sha256 == read.sha256) return name
            // Another file of that name: it would take the bundled one's place, and the kit's name for it.
            val own = if (isBundled) name.removeSuffix(SUFFIX) + OWN + SUFFIX else name
            picked.mkdirs()
            if (!partial.renameTo(File(picked, own))) throw IOException(context.getString(R.string.model_store))
            return own
        } catch (error: IOException) {
            throw ModelException("$name: ${error.message}", error)
        } catch (error: SecurityException) {
            throw ModelException("$name: ${context.getString(R.string.model_denied)}", error)
        } finally {
            partial.delete()
        }
    }

    private fun bundled(): List<String> = context.assets.list(FOLDER).orEmpty().filter { it.endsWith(SUFFIX) }.sorted()

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
            if (Thread.interrupted()) throw InterruptedIOException(context.getString(R.string.model_stopped))
            if (total > MAX_BYTES) throw IOException(context.getString(R.string.model_size, MAX_BYTES shr 20))
            out.write(buffer, 0, read)
        }
    }

    companion object {
        private const val FOLDER = "models"
        private const val CARDS = "cards"
        private const val SUFFIX = ".tflite"
        private const val OWN = "_own"
        private const val MAX_NAME = 100
        private const val MAX_BYTES = 256L shl 20

        /**
         * What `adb push` may write to on every phone and an app may read, files with `chmod 644`: models and
         * inputs of `asmnet-kit benchmark --target android`. Tests put another folder here.
         */
        var pushFolder = File("/data/local/tmp/asmnet-kit")
    }
}

/**
 * A model to choose.
 *
 * @property card of exactly this file; null where it is not one of the kit's.
 * @property problem why it cannot be used; null where [file] could be read.
 */
class ModelChoice(val name: String, val title: String, val file: ModelFile?, val card: ModelCard?, val problem: String?)

/** A file's content, which stays on the disk until it is looked at. */
internal fun mapped(file: File): ByteBuffer =
    FileInputStream(file).use { it.channel.map(FileChannel.MapMode.READ_ONLY, 0, file.length()) }

/**
 * A bundled file: mapped, as both builds store models uncompressed; a copy where somebody's build does not.
 *
 * @throws IOException there is none.
 */
internal fun asset(context: Context, path: String): ByteBuffer {
    val stored = try {
        context.assets.openFd(path)
    } catch (error: FileNotFoundException) { // missing, or compressed
        null
    }
    stored?.use { about ->
        return about.createInputStream().use { it.channel.map(FileChannel.MapMode.READ_ONLY, about.startOffset, about.length) }
    }
    val bytes = context.assets.open(path).use { it.readBytes() }
    return ByteBuffer.allocateDirect(bytes.size).apply {
        put(bytes)
        rewind()
    }
}
