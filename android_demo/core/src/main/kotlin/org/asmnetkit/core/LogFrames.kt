package org.asmnetkit.core

import java.io.ByteArrayOutputStream
import java.util.Base64
import java.util.zip.GZIPOutputStream

/**
 * A result as lines of a phone's log, for phones that do not let adb read the app's files: gzip, in Base64, in pieces
 * of `RUN_ID result 1/3 ...`. `asmnet-kit benchmark` puts them together again.
 */
object LogFrames {
    /** Nothing of a result that would push all else out of the log. */
    fun of(runId: String, json: String): List<String> {
        val packed = ByteArrayOutputStream()
        GZIPOutputStream(packed).use { it.write(json.toByteArray()) }
        if (packed.size() > MOST_BYTES) return emptyList()
        val pieces = Base64.getEncoder().encodeToString(packed.toByteArray()).chunked(PIECE)
        return pieces.mapIndexed { index, piece -> "$runId result ${index + 1}/${pieces.size} $piece" }
    }

    private const val MOST_BYTES = 96 shl 10 // the log of a phone has 256 KiB
    private const val PIECE = 3000 // characters; a line of the log has 4 KiB
}
