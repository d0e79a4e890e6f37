import type { Io } from '../io.js'

/** One line of progress: rewritten on a terminal, printed at intervals elsewhere. */
export interface StatusLine {
  show(text: string): void
  /** prints a permanent line */
  note(text: string): void
  /** removes the line from a terminal */
  stop(): void
}

const TERMINAL_MS = 100
const LINE_MS = 5_000

export function createStatusLine({ stderr }: Io, o: { readonly quiet: boolean }): StatusLine {
  if (o.quiet) return { show() {}, note() {}, stop() {} }
  const terminal = stderr.isTTY === true
  let last = performance.now()
  let shown = false
  const clear = (): void => {
    if (terminal && shown) stderr.write('\r\u001b[K')
    shown = false
  }
  return {
    show: (text) => {
      const now = performance.now()
      if (now - last < (terminal ? TERMINAL_MS : LINE_MS)) return
      last = now
      shown = true
      stderr.write(terminal ? `\r\u001b[K${text}` : `${text}\n`)
    },
    note: (text) => {
      clear()
      stderr.write(`${text}\n`)
    },
    stop: clear,
  }
}
