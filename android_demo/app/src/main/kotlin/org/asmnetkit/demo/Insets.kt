package org.asmnetkit.demo

import android.os.Build
import android.view.View
import android.view.WindowInsets

/**
 * Keep a view's content off the system's bars and the camera's hole, which the window lies below: they are
 * *added* to the padding that the layout gives it (fitsSystemWindows would replace that).
 */
fun View.addSystemBarsToPadding() {
    val own = listOf(paddingLeft, paddingTop, paddingRight, paddingBottom)
    setOnApplyWindowInsetsListener { view, insets ->
        val bars = systemBars(insets)
        view.setPadding(own[0] + bars[0], own[1] + bars[1], own[2] + bars[2], own[3] + bars[3])
        insets
    }
}

/** Left, top, right, bottom in pixels. */
fun systemBars(insets: WindowInsets): List<Int> {
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
        val bars = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout())
        return listOf(bars.left, bars.top, bars.right, bars.bottom)
    }
    @Suppress("DEPRECATION") // the newer form needs API 30
    return listOf(
        insets.systemWindowInsetLeft,
        insets.systemWindowInsetTop,
        insets.systemWindowInsetRight,
        insets.systemWindowInsetBottom,
    )
}
