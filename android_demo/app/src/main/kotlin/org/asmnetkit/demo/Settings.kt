package org.asmnetkit.demo

import android.annotation.SuppressLint
import android.content.Context
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend

/** What the app remembers when it is closed. */
class Settings(context: Context) {
    private val stored = context.getSharedPreferences("settings", Context.MODE_PRIVATE)

    var modelName: String?
        get() = stored.getString("model", null)
        set(value) = stored.edit().putString("model", value).apply()

    /** Whether somebody has read what the app does. */
    var welcomed: Boolean
        get() = stored.getBoolean("welcomed", false)
        set(value) = stored.edit().putBoolean("welcomed", value).apply()

    /** An accelerator is being opened, which may end the app: written before anything else happens. */
    var isOpening: Boolean
        get() = stored.getBoolean("opening", false)
        @SuppressLint("ApplySharedPref") // what is written later would be lost
        set(value) {
            stored.edit().putBoolean("opening", value).commit()
        }

    var front: Boolean
        get() = stored.getBoolean("front", true)
        set(value) = stored.edit().putBoolean("front", value).apply()

    var backend: Backend
        get() = Backend(
            Accelerator.of(stored.getString("accelerator", null).orEmpty()) ?: Accelerator.CPU,
            stored.getInt("threads", 1).coerceAtLeast(1),
        )
        set(value) = stored.edit().putString("accelerator", value.accelerator.id).putInt("threads", value.threads).apply()
}

/** What the menu offers. */
val BACKENDS = listOf(
    Backend(Accelerator.CPU, 1),
    Backend(Accelerator.CPU, 2),
    Backend(Accelerator.CPU, 4),
    Backend(Accelerator.GPU, 1),
    Backend(Accelerator.NNAPI, 1),
)

fun Backend.label(context: Context): String = label(context, accelerator, threads)

fun label(context: Context, accelerator: Accelerator, threads: Int): String = when (accelerator) {
    Accelerator.CPU ->
        if (threads == 1) context.getString(R.string.backend_cpu_one) else context.getString(R.string.backend_cpu, threads)
    Accelerator.GPU -> context.getString(R.string.backend_gpu)
    Accelerator.NNAPI -> context.getString(R.string.backend_nnapi)
}
