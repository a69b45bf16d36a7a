import org.jetbrains.kotlin.gradle.dsl.JvmTarget

// Arithmetic in plain Kotlin: no Android class is on its class path.
plugins {
    alias(libs.plugins.kotlin.jvm)
}

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_1_8
        freeCompilerArgs.add("-Xjdk-release=1.8")
    }
}

dependencies {
    testImplementation(libs.junit.jupiter)
    testRuntimeOnly(libs.junit.launcher)
}

tasks.test {
    useJUnitPlatform()
    systemProperty("asmnetkit.reports", layout.buildDirectory.dir("reports/asmnet-kit").get().asFile.path)
}
