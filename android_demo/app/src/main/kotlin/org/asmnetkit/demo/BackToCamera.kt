package org.asmnetkit.demo

import android.app.Activity
import android.os.Build
import android.window.OnBackInvokedCallback
import android.window.OnBackInvokedDispatcher

/**
 * Back does [action] while [enabled], and closes the screen otherwise, with Android's own preview of what
 * comes. Does nothing before Android 13, where Activity.onBackPressed is asked.
 */
class BackToCamera(private val activity: Activity, private val action: () -> Unit) {
    private var callback: Any? = null // an OnBackInvokedCallback, a class that older phones do not have

    var enabled = false
        set(value) {
            if (field == value) return
            field = value
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) change(value)
        }

    fun close() {
        enabled = false
    }

    private fun change(on: Boolean) {
        val dispatcher = activity.onBackInvokedDispatcher
        if (on) {
            val made = OnBackInvokedCallback { action() }
            callback = made
            dispatcher.registerOnBackInvokedCallback(OnBackInvokedDispatcher.PRIORITY_DEFAULT, made)
        } else {
            dispatcher.unregisterOnBackInvokedCallback(callback as OnBackInvokedCallback)
            callback = null
        }
    }
}
