/**
 * A checkpoint's wire forms: its body (canonical JSON: no spaces, names in order), the message for the HSM's MAC, its
 * digest, and the copy in the store.
 */
import { createHash } from 'node:crypto'

import { AUDIT_PREFIX } from '@sealfleet/objects'

/** The content of a checkpoint. */
export interface CheckpointBody {
  readonly v: 1
  readonly no: number
  /** The last batch, its hash (hex), and the number of rows sealed up to it. */
  readonly batchNo: number
  readonly hash: string
  readonly rows: number
  /** ISO 8601, by the clock of the process that made it. */
  readonly at: string
  /** SHA-256 of the previous checkpoint's body, hex; null for the first. */
  readonly previous: string | null
  /** After a restored older database was adopted: the store's last checkpoint, which that database does not have. */
  readonly adopts?: { readonly no: number; readonly sha256: string }
  /** The signed request that allowed it. */
  readonly request?: string
}

/** A copy in the store. */
export interface CheckpointCopy {
  readonly body: Buffer
  readonly auditKeyVersion: number
  readonly mac: Buffer
}

/** Every checkpoint's copy lies below this. */
export const CHECKPOINT_PREFIX = `${AUDIT_PREFIX}checkpoints/`
const KEY = /^sealfleet-audit\/checkpoints\/(\d{10})\.json$/

const LABEL = Buffer.alloc(16)
LABEL.write('SFV1/checkpoint', 'latin1')

export function checkpointKey(no: number): string {
  return `${CHECKPOINT_PREFIX}${String(no).padStart(10, '0')}.json`
}

/** The number in a copy's key; undefined for keys of another form. */
export function checkpointNoOf(key: string): number | undefined {
  const [, digits] = KEY.exec(key) ?? []
  return digits === undefined ? undefined : Number(digits)
}

export function encodeBody(body: CheckpointBody): Buffer {
  return Buffer.from(JSON.stringify(sorted(body)), 'utf8')
}

/** Undefined for bytes that are not exactly a body of ours. */
export function decodeBody(bytes: Uint8Array): CheckpointBody | undefined {
  const value = parsed(Buffer.from(bytes))
  if (!isObject(value)) return undefined
  const { v, no, batchNo, hash, rows, at, previous, adopts, request } = value
  const whole = [no, batchNo, rows].every((n) => Number.isSafeInteger(n) && (n as number) >= 1)
  const texts = isHash(hash) && typeof at === 'string' && (previous === null || isHash(previous))
  const adopted =
    adopts === undefined || (isObject(adopts) && Number.isSafeInteger(adopts['no']) && isHash(adopts['sha256']))
  if (v !== 1 || !whole || !texts || !adopted || (request !== undefined && typeof request !== 'string'))
    return undefined
  const body = value as unknown as CheckpointBody
  return encodeBody(body).equals(bytes) ? body : undefined
}

/** A label of 16 bytes precedes the body: the message never has the length of a digest, nor the form of a nonce. */
export function macMessage(body: Uint8Array): Buffer {
  return Buffer.concat([LABEL, body])
}

export function sha256Hex(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex')
}

export function encodeCopy({ body, auditKeyVersion, mac }: CheckpointCopy): Buffer {
  return Buffer.from(
    JSON.stringify({ auditKeyVersion, body: body.toString('base64'), mac: mac.toString('hex') }),
    'utf8',
  )
}

/** Undefined for bytes that are not a copy. */
export function decodeCopy(bytes: Buffer): CheckpointCopy | undefined {
  const value = parsed(bytes)
  if (!isObject(value)) return undefined
  const { body, auditKeyVersion, mac } = value
  if (typeof body !== 'string' || !isHash(mac) || !Number.isSafeInteger(auditKeyVersion)) return undefined
  return { body: Buffer.from(body, 'base64'), auditKeyVersion: auditKeyVersion as number, mac: Buffer.from(mac, 'hex') }
}

function sorted(value: unknown): unknown {
  if (!isObject(value)) return value
  const names = Object.keys(value).sort()
  return Object.fromEntries(names.flatMap((name) => (value[name] === undefined ? [] : [[name, sorted(value[name])]])))
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)
}
