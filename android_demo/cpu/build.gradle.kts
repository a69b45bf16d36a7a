import org.jetbrains.kotlin.gradle.dsl.JvmTarget

// The CPU engine in plain Kotlin and JavaCPP: the same on a phone and on a PC.
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
    api(project(":core"))
    implementation(libs.tflite.cpu)
    implementation(libs.javacpp)
}
