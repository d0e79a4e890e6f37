import { createHash } from 'node:crypto'

/** Bytes of a token's secret: 256 bits from the system's random generator. */
export const SECRET_BYTES = 32

/** What a caller sends: which token it is, and the proof that the caller holds it. */
export interface Credential {
  /** A lower-case UUID. */
  readonly id: string
  /** 32 bytes. */
  readonly secret: Buffer
}

/**
 * `sft_<id>_<secret>`: 16 and 32 bytes in base64url without padding, 70 characters. The prefix lets scanners of leaked
 * secrets find it.
 */
export function tokenText({ id, secret }: Credential): string {
  return `sft_${Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')}_${secret.toString('base64url')}`
}

/** The inverse of tokenText; undefined for every other text, other spellings of the same bytes included. */
export function parseTokenText(text: string): Credential | undefined {
  // base64url has `_` in its alphabet: the parts are known by their lengths.
  const [, id64, secret64] = /^sft_([A-Za-z0-9_-]{22})_([A-Za-z0-9_-]{43})$/.exec(text) ?? []
  if (id64 === undefined || secret64 === undefined) return undefined
  const hex = Buffer.from(id64, 'base64url').toString('hex')
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const secret = Buffer.from(secret64, 'base64url')
  return tokenText({ id, secret }) === text ? { id, secret } : undefined
}

/**
 * What the database keeps of a secret. One SHA-256 and no password hash: nothing can be guessed about 256 random bits,
 * and a slow hash at each request would be a way to exhaust the gateway.
 */
export function secretHash(secret: Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest()
}
