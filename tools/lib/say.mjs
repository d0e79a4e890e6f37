/** Output of the scripts: progress to stderr, results to stdout, and failures that a person can fix without a stack. */

/** A failure whose message gives the action to take; printed without a stack trace. */
export class Refusal extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options)
    this.name = 'Refusal'
  }
}

/** Whether a counting line is on the terminal (waiting.mjs) and has to be cleared first. */
export const counting = { on: false }

/** @param {string} line one line of progress, to stderr: stdout belongs to results */
export function say(line) {
  process.stderr.write(`${counting.on ? '\r\u001b[K' : ''}${line}\n`)
}

/**
 * Runs a script's main and sets the exit status: what it returns (0 when nothing), 1 for a Refusal or any other error.
 *
 * @param {() => Promise<number | void>} main
 */
export async function runMain(main) {
  try {
    process.exitCode = (await main()) ?? 0
  } catch (error) {
    if (error instanceof Refusal) say(`\n${error.message}`)
    else console.error(error)
    process.exitCode = 1
  }
}
