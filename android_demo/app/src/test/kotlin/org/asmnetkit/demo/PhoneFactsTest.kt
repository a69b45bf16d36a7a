package org.asmnetkit.demo

import android.content.Intent
import android.os.BatteryManager
import org.junit.Assert.assertEquals
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class PhoneFactsTest {
    private val context = RuntimeEnvironment.getApplication()

    /** What the system tells of its battery; 0 is not plugged in. */
    private fun battery(plugged: Int) {
        val state = Intent(Intent.ACTION_BATTERY_CHANGED)
            .putExtra(BatteryManager.EXTRA_PLUGGED, plugged)
            .putExtra(BatteryManager.EXTRA_LEVEL, 41)
            .putExtra(BatteryManager.EXTRA_SCALE, 50)
        @Suppress("DEPRECATION") // what the system itself uses
        context.sendStickyBroadcast(state)
    }

    @Test
    fun `a phone that is not plugged in is warned of`() {
        battery(plugged = 0)
        assertEquals(listOf("the phone runs on its battery (82 %)"), PhoneFacts(context).disturbances())
        battery(plugged = BatteryManager.BATTERY_PLUGGED_USB)
        assertEquals(emptyList<String>(), PhoneFacts(context).disturbances())
    }
}
