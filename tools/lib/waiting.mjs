/** Shows what a script waits for and how long: one counting line on a terminal, a line at intervals elsewhere. */

import { counting } from './say.mjs'

/** Milliseconds between two plain lines. */
const LINE_MS = 30_000

/**
 * Shows what is waited for, at once and as long as it takes, and how long it took.
 *
 * @template T
 * @param {string | (() => string)} what e.g. `tsc: compiling`; a function where it becomes less
 * @param {() => Promise<T>} work what it says meanwhile it says by `say`
 * @param {{ isTTY?: boolean, write: (text: string) => unknown }} [stream]
 * @returns {Promise<T>}
 */
export async function waiting(what, work, stream = process.stderr) {
  const began = performance.now()
  const first = typeof what === 'string' ? what : what()
  const text = () => (typeof what === 'string' ? what : what())
  const line = (/** @type {string} */ end) => `${text()}: ${elapsed(performance.now() - began)}${end}`
  const terminal = stream.isTTY === true
  counting.on = terminal && stream === process.stderr
  stream.write(terminal ? `${first} …` : `${first} …\n`)
  const tick = setInterval(
    () => stream.write(terminal ? `\r\u001b[K${line(' …')}` : `${line(', still at it')}\n`),
    terminal ? 1_000 : LINE_MS,
  )
  const say = (/** @type {string} */ end) => {
    stream.write(`${terminal ? '\r\u001b[K' : ''}${first}: ${elapsed(performance.now() - began)}${end}\n`)
  }
  try {
    const result = await work()
    say(', done')
    return result
  } catch (error) {
    say(', failed')
    throw error
  } finally {
    clearInterval(tick)
    counting.on = false
  }
}

/** @param {number} ms */
function elapsed(ms) {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
}
