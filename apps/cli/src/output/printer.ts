import { wantsColour, write, type Io } from '../io.js'
import { oneLine, printableJson } from './printable.js'

/**
 * The output of a command. With `--json`, stdout holds only JSON: one document, or one per line for commands that run
 * for long. Without it, stdout holds the result as text and stderr the remarks and progress. When stdout carries a
 * file's bytes (`-o -`), all output goes to stderr.
 */
export interface Printer {
  readonly json: boolean
  /** the result for people; ignored with --json */
  text(text: string): Promise<void>
  /** the result as one document; ignored without --json */
  document(value: unknown): Promise<void>
  /** one JSON line of many; ignored without --json */
  line(value: unknown): Promise<void>
  /** a remark on stderr; silent with --json */
  note(text: string): Promise<void>
  paint(style: Style, text: string): string
  /** from now on stdout belongs to a file's bytes */
  yieldStdout(): void
}

export type Style = 'good' | 'bad' | 'dim' | 'bold'

/** ECMA-48 SGR: on and off. (Node's styleText looks at the environment by itself, differently from version to version.) */
const STYLES = { good: [32, 39], bad: [31, 39], dim: [2, 22], bold: [1, 22] } as const

/** Line breaks and the colours above: allowed in text besides what `oneLine` lets pass. */
// eslint-disable-next-line no-control-regex -- it looks for them
const OURS = /(\n|\u001b\[(?:3[129]|[12]|22)m)/

/** A last safeguard: texts from outside are escaped where they enter a message; this catches what was forgotten. */
function screened(text: string): string {
  return text
    .split(OURS)
    .map((part, i) => (i % 2 === 1 ? part : oneLine(part)))
    .join('')
}

/**
 * JSON in which bytes are hexadecimal and integers beyond 2^53 are strings. Texts are exact, with JSON's escapes for
 * characters that a terminal must not receive.
 */
export function toJson(value: unknown, indent?: number): string {
  return printableJson(JSON.stringify(plain(value), null, indent))
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value)
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value)
  return Object.fromEntries(entries.map(([name, inner]) => [name, plain(inner)]))
}

export function createPrinter(io: Io, json: boolean): Printer {
  const colour = wantsColour(io.stdout, io.env)
  let out = io.stdout
  return {
    json,
    text: (text) => (json ? Promise.resolve() : write(out, `${screened(text)}\n`)),
    document: (value) => (json ? write(out, `${toJson(value, 2)}\n`) : Promise.resolve()),
    line: (value) => (json ? write(out, `${toJson(value)}\n`) : Promise.resolve()),
    note: (text) => (json ? Promise.resolve() : write(io.stderr, `${screened(text)}\n`)),
    paint(style, text) {
      const [on, off] = STYLES[style]
      return colour && !json ? `\u001b[${on}m${text}\u001b[${off}m` : text
    },
    yieldStdout() {
      out = io.stderr
    },
  }
}
