package org.tensorflow.lite

/**
 * How many nodes an interpreter runs, one after the other: operators, and one node for each group of
 * them that a delegate took.
 *
 * The one thing that tells whether a delegate took anything; TensorFlow Lite's Java classes keep it to
 * their own package.
 *
 * @throws LinkageError a version of TensorFlow Lite that does not tell.
 */
internal fun executionPlanLength(interpreter: Interpreter): Int = interpreter.getExecutionPlanLength()
