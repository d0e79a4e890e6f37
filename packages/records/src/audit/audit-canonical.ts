/**
 * The bytes of an audit row that its batch's digest covers, and the digests of batches. To check the log with other
 * means, only this file is needed (docs/design/audit-chain.md).
 *
 * - text: u32 length in bytes ‖ UTF-8
 * - row: text(id) ‖ text(at) ‖ text(actor) ‖ text(action) ‖ text(subject_kind) ‖ text(subject_id) ‖ text(detail) ‖ text(xact),
 *   with id and xact in decimal, `at` as `2026-11-28T16:00:00.000Z`, and detail as canonical JSON: no spaces, names of
 *   objects in the order of their UTF-16 code units, strings as ECMAScript's JSON.stringify writes them, numbers as
 *   PostgreSQL prints them in jsonb
 * - rows_digest = SHA-256 over u32 length ‖ row, of every row in the order of their ids
 * - hash = SHA-256(label(16) `SFV1/audit-batch` ‖ u64 no ‖ previous ‖ u32 rows ‖ rows_digest); the first batch's previous is
 *   32 zero bytes
 */
import { createHash } from 'node:crypto'

/** A row of the audit log as input of the chain. */
export interface ChainRow {
  readonly id: string
  readonly at: Date
  readonly actor: string
  readonly action: string
  readonly subjectKind: string
  readonly subjectId: string
  /** jsonb as PostgreSQL prints it. */
  readonly detail: string
  readonly xact: string
}

export const FIRST_PREVIOUS = Buffer.alloc(32)

const LABEL = Buffer.alloc(16)
LABEL.write('SFV1/audit-batch', 'latin1')

function canonicalRow(row: ChainRow): Buffer {
  const { id, at, actor, action, subjectKind, subjectId, detail, xact } = row
  const fields = [id, at.toISOString(), actor, action, subjectKind, subjectId, canonicalJsonText(detail), xact]
  return Buffer.concat(fields.map((field) => lengthPrefixed(Buffer.from(field, 'utf8'))))
}

/** @param rows of one batch, in the order of their ids */
export function rowsDigest(rows: readonly ChainRow[]): Buffer {
  const digest = createHash('sha256')
  for (const row of rows) digest.update(lengthPrefixed(canonicalRow(row)))
  return digest.digest()
}

export function batchHash(batch: {
  readonly no: bigint
  readonly previous: Uint8Array
  readonly rows: number
  readonly rowsDigest: Uint8Array
}): Buffer {
  const no = Buffer.alloc(8)
  no.writeBigUInt64BE(batch.no)
  const hash = createHash('sha256').update(LABEL).update(no).update(batch.previous)
  return hash.update(u32(batch.rows)).update(batch.rowsDigest).digest()
}

function lengthPrefixed(bytes: Buffer): Buffer {
  return Buffer.concat([u32(bytes.length), bytes])
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** One token of JSON: a string, a number, a literal, or punctuation. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[[\]{},:]/gu

/**
 * JSON text in its canonical form. Numbers keep their digits: as doubles, two different numbers could become equal.
 * @throws TypeError for text that is not JSON
 */
function canonicalJsonText(text: string): string {
  const tokens = text.match(TOKEN) ?? []
  let at = 0
  const next = (): string => {
    const token = tokens[at++]
    if (token === undefined) throw new TypeError('the text is no JSON')
    return token
  }
  const value = (): string => {
    const token = next()
    if (token === '{') return object()
    if (token === '[') return array()
    return token.startsWith('"') ? JSON.stringify(JSON.parse(token)) : token
  }
  const list = (end: string, item: () => void): void => {
    if (tokens[at] === end) return void at++
    do item()
    while (next() === ',')
  }
  const array = (): string => {
    const items: string[] = []
    list(']', () => void items.push(value()))
    return `[${items.join(',')}]`
  }
  const object = (): string => {
    const entries: (readonly [name: string, text: string])[] = []
    list('}', () => {
      const name = JSON.parse(next()) as string
      next()
      entries.push([name, value()])
    })
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${item}`).join(',')}}`
  }
  const canonical = value()
  if (at !== tokens.length) throw new TypeError('the text is no JSON')
  return canonical
}
