package org.asmnetkit.demo

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import android.os.Process
import java.io.File
import java.io.IOException
import org.asmnetkit.core.Device

/** What a latency on this phone depends on. What is unknown is null, not guessed. */
class PhoneFacts(private val context: Context) : Device {
    private val power = context.getSystemService(PowerManager::class.java)
    private val activities = context.getSystemService(ActivityManager::class.java)

    override fun facts(): Map<String, Any?> {
        val memory = ActivityManager.MemoryInfo().also(activities::getMemoryInfo)
        val battery = battery()
        val cpuinfo = read("/proc/cpuinfo")
        return linkedMapOf(
            "cpu" to (soc() ?: Build.HARDWARE.ifEmpty { null }),
            "architecture" to Build.SUPPORTED_ABIS.firstOrNull().orEmpty().ifEmpty { "unknown" },
            "cores" to Runtime.getRuntime().availableProcessors(),
            "instruction_sets" to INSTRUCTION_SETS.filterKeys { it in featuresOf(cpuinfo) }.values.distinct(),
            "memory_bytes" to memory.totalMem,
            "memory_available_bytes" to memory.availMem,
            "os" to "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT})",
            "kernel" to System.getProperty("os.version")?.let { "Linux $it" },
            "device" to "${Build.MANUFACTURER} ${Build.MODEL}",
            "board" to Build.BOARD.ifEmpty { null },
            "build" to Build.DISPLAY,
            "frequency_max_mhz" to maxFrequenciesMhz(),
            "governor" to read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").trim().ifEmpty { null },
            "thermal_status" to thermalStatus(),
            "power_save_mode" to power.isPowerSaveMode,
            "battery_percent" to battery?.let(::percentOf),
            "battery_charging" to battery?.let(::isPluggedIn),
            "battery_celsius" to battery?.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Int.MIN_VALUE)
                ?.takeIf { it != Int.MIN_VALUE }?.let { it / 10.0 },
        )
    }

    override fun processCpuMs(): Long = Process.getElapsedCpuTime()

    override fun peakRssBytes(): Long? =
        Regex("VmHWM:\\s+(\\d+) kB").find(read("/proc/self/status"))?.let { it.groupValues[1].toLong() * 1024 }

    override fun disturbances(): List<String> = listOfNotNull(
        thermalStatus()?.takeIf { it != "none" }?.let { "the phone is hot (thermal status: $it); let it cool and measure again" },
        "power save mode is on; turn it off and measure again".takeIf { power.isPowerSaveMode },
        battery()?.takeIf { !isPluggedIn(it) }?.let { "the phone runs on its battery (${percentOf(it) ?: "unknown"} %)" },
    )

    override fun isHot() = thermalStatus().let { it != null && it != "none" }

    private fun battery(): Intent? = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))

    private fun isPluggedIn(battery: Intent): Boolean = battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0

    private fun soc(): String? =
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.S) null
        else listOf(Build.SOC_MANUFACTURER, Build.SOC_MODEL).filter { it != Build.UNKNOWN }.joinToString(" ").ifEmpty { null }

    private fun thermalStatus(): String? =
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) null
        else THERMAL_STATUS.getOrNull(power.currentThermalStatus)

    private fun percentOf(battery: Intent): Int? {
        val level = battery.getIntExtra(BatteryManager.EXTRA_LEVEL, -1)
        val full = battery.getIntExtra(BatteryManager.EXTRA_SCALE, -1)
        return if (level < 0 || full <= 0) null else 100 * level / full
    }

    private fun featuresOf(cpuinfo: String): Set<String> =
        Regex("^(?:Features|flags)\\s*:(.*)$", RegexOption.MULTILINE).find(cpuinfo)
            ?.let { it.groupValues[1].trim().split(Regex("\\s+")).toSet() }.orEmpty()

    private fun maxFrequenciesMhz(): List<Int>? =
        (0 until Runtime.getRuntime().availableProcessors())
            .mapNotNull { read("/sys/devices/system/cpu/cpu$it/cpufreq/cpuinfo_max_freq").trim().toIntOrNull() }
            .map { it / 1000 }
            .ifEmpty { null }

    /** A file of the kernel, or nothing where the phone does not let apps read it. */
    private fun read(path: String): String = try {
        File(path).readText()
    } catch (error: IOException) {
        ""
    }

    private companion object {
        // Names as in benchmarks/timing/machine.py.
        val INSTRUCTION_SETS = linkedMapOf(
            "neon" to "neon",
            "asimd" to "neon",
            "asimdhp" to "fp16",
            "asimddp" to "dotprod",
            "i8mm" to "i8mm",
            "bf16" to "bf16",
            "sve" to "sve",
            "sve2" to "sve2",
            "sme" to "sme",
            "sse4_1" to "sse4.1",
            "avx" to "avx",
            "avx2" to "avx2",
            "fma" to "fma",
        )

        // PowerManager.THERMAL_STATUS_*, from 0.
        val THERMAL_STATUS = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
