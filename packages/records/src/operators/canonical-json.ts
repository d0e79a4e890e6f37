import { RecordsError } from '../db/errors.js'

/**
 * Values that may be signed: text, whole numbers, booleans, null, and lists and objects of these. No fractions, no
 * undefined.
 */
export type CanonicalValue = string | number | boolean | null | readonly CanonicalValue[] | CanonicalObject
export interface CanonicalObject {
  readonly [name: string]: CanonicalValue
}

/** No value that we sign is nested more deeply. */
const DEEPEST = 16

/**
 * The only way to write `value` as JSON: names sorted by their UTF-16 code units, no spaces, text escaped as
 * JSON.stringify does (only what must be). For strings, numbers and objects like ours it equals RFC 8785.
 *
 * @throws RecordsError INVALID for values without a single form: fractions, −0, numbers beyond 2^53, lone surrogates,
 * undefined, functions, bigints, instances of classes, and more than 16 levels
 * @example canonicalJson({ b: [1, true], a: 'x' }) // '{"a":"x","b":[1,true]}'
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0)
}

function write(value: unknown, depth: number): string {
  if (depth > DEEPEST) throw refused('something nested too deep')
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return wholeNumber(value)
  if (typeof value === 'string') return text(value)
  if (Array.isArray(value)) return `[${value.map((one: unknown) => write(one, depth + 1)).join(',')}]`
  if (typeof value !== 'object' || !isPlain(value)) throw refused(`a ${typeof value}`)
  const members = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, one]) => `${text(name)}:${write(one, depth + 1)}`)
  return `{${members.join(',')}}`
}

function wholeNumber(value: number): string {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw refused('a number that is not whole, or too large')
  return String(value)
}

function text(value: string): string {
  if (/\p{Surrogate}/u.test(value)) throw refused('text that is not Unicode')
  return JSON.stringify(value)
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function refused(what: string): RecordsError {
  return new RecordsError('INVALID', `${what} cannot be part of what is signed`)
}

/**
 * The value of bytes that are exactly canonical JSON; undefined for all others: duplicate names, spaces, another order
 * and broken UTF-8 included.
 */
export function parseCanonicalJson(bytes: Uint8Array): CanonicalValue | undefined {
  try {
    const source = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value = JSON.parse(source) as CanonicalValue
    return canonicalJson(value) === source ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RecordsError) return undefined
    throw error
  }
}
