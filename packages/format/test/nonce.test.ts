import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { freshNonces, nonceId } from '../src/nonce.js'
import { nonceAad, unwrapNonces, wrapNonces } from '../src/nonce-record.js'
import { secrets } from '../src/arena.js'
import { hex, uuidOfHex } from './bytes.js'
import { ATTEMPT, MASTERS, codeOf, flipBit } from './fixtures.js'
import { SoftwareHsm } from './software-hsm.js'

interface NonceVector {
  readonly kek: string
  readonly iv: string
  readonly aad: string
  readonly wrapped: string
  readonly nonce_id_enc: string
  readonly nonce_id_sig: string
}

function load<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`vectors/${name}`, import.meta.url), 'utf8')) as T
}

describe('vectors/nonce-wrap.json', () => {
  const vector = load<NonceVector>('nonce-wrap.json')
  const { inputs } = load<{ inputs: Record<'fid' | 'aid' | 'ne' | 'ns', string> & Record<'ev' | 'sv', number> }>(
    'sfv1-public.json',
  )
  const attempt = {
    suite: 1,
    fileId: uuidOfHex(inputs.fid),
    attemptId: uuidOfHex(inputs.aid),
    encKeyVersion: inputs.ev,
    sigKeyVersion: inputs.sv,
    keyDomain: 'default',
  } as const
  const nonces = { nonceEnc: hex(inputs.ne), nonceSig: hex(inputs.ns) }
  const hsm = new SoftwareHsm({ ...MASTERS, kek: hex(vector.kek), iv: hex(vector.iv) })

  it('gives the AAD, the wrapped nonces and the ids', async () => {
    expect(nonceAad(attempt).toString('hex')).toBe(vector.aad)
    expect((await wrapNonces(hsm, 1, attempt, nonces)).toString('hex')).toBe(vector.wrapped)
    expect(nonceId(nonces.nonceEnc).toString('hex')).toBe(vector.nonce_id_enc)
    expect(nonceId(nonces.nonceSig).toString('hex')).toBe(vector.nonce_id_sig)
  })

  it('unwraps', async () => {
    expect(await unwrapNonces(hsm, 1, attempt, hex(vector.wrapped))).toEqual(nonces)
  })
})

describe('wrapped nonces', () => {
  const hsm = new SoftwareHsm(MASTERS)

  it('refuse every single-bit flip', async () => {
    const wrapped = await wrapNonces(hsm, 1, ATTEMPT, ATTEMPT)
    for (let bit = 0; bit < 8 * wrapped.length; bit++) {
      expect(await codeOf(unwrapNonces(hsm, 1, ATTEMPT, flipBit(wrapped, bit)))).toBe('E_NONCE_UNWRAP')
    }
  })

  it.each([0, 91, 93])('refuse %i bytes before the HSM is asked', async (length) => {
    expect(await codeOf(unwrapNonces(hsm, 1, ATTEMPT, Buffer.alloc(length)))).toBe('E_NONCE_UNWRAP')
  })

  it('belong to one attempt', async () => {
    const wrapped = await wrapNonces(hsm, 1, ATTEMPT, ATTEMPT)
    const others = [
      { ...ATTEMPT, suite: 2 as const },
      { ...ATTEMPT, fileId: ATTEMPT.attemptId },
      { ...ATTEMPT, attemptId: ATTEMPT.fileId },
      { ...ATTEMPT, encKeyVersion: 8 },
      { ...ATTEMPT, sigKeyVersion: 8 },
      { ...ATTEMPT, keyDomain: ATTEMPT.fileId },
    ]
    for (const other of others) expect(await codeOf(unwrapNonces(hsm, 1, other, wrapped))).toBe('E_NONCE_UNWRAP')
  })

  it('may be wrapped again under another KEK version without anybody noticing', async () => {
    const wrapped = await wrapNonces(hsm, 2, ATTEMPT, ATTEMPT)
    expect((await unwrapNonces(hsm, 2, ATTEMPT, wrapped)).nonceEnc).toEqual(ATTEMPT.nonceEnc)
  })

  it('hold nonces that a sealer would use, and a wrapper that gives 92 bytes', async () => {
    const zero = await hsm.wrap({ domain: 'default', version: 1 }, Buffer.alloc(64), nonceAad(ATTEMPT))
    expect(await codeOf(unwrapNonces(hsm, 1, ATTEMPT, zero))).toBe('E_NONCE_UNWRAP')
    await expect(wrapNonces(hsm, 1, ATTEMPT, { ...ATTEMPT, nonceSig: ATTEMPT.nonceEnc })).rejects.toThrow(TypeError)
    const short = { wrap: () => Promise.resolve(Buffer.alloc(91)), unwrap: () => Promise.resolve(Buffer.alloc(63)) }
    await expect(wrapNonces(short, 1, ATTEMPT, ATTEMPT)).rejects.toThrow('91 bytes')
    expect(await codeOf(unwrapNonces(short, 1, ATTEMPT, Buffer.alloc(92)))).toBe('E_NONCE_UNWRAP')
  })

  it('leave no plaintext in the buffers that crossed the interface', async () => {
    const seen: Uint8Array[] = []
    const watching = new (class extends SoftwareHsm {
      override wrap(kek: { domain: string; version: number }, plaintext: Uint8Array, aad: Uint8Array) {
        seen.push(plaintext)
        return super.wrap(kek, plaintext, aad)
      }
      override async unwrap(kek: { domain: string; version: number }, wrapped: Uint8Array, aad: Uint8Array) {
        const plaintext = await super.unwrap(kek, wrapped, aad)
        seen.push(plaintext)
        return plaintext
      }
    })(MASTERS)
    await unwrapNonces(watching, 1, ATTEMPT, await wrapNonces(watching, 1, ATTEMPT, ATTEMPT))
    expect(seen).toEqual([Buffer.alloc(64), Buffer.alloc(64)])
  })
})

describe('fresh nonces', () => {
  it('come from the given source, each in a slot of the arena', () => {
    let next = 0
    const { nonceEnc, nonceSig } = freshNonces((target) => void target.fill((next += 1)))
    expect(nonceEnc).toEqual(Buffer.alloc(32, 1))
    expect(nonceSig).toEqual(Buffer.alloc(32, 2))
    expect([nonceEnc, nonceSig].map((nonce) => secrets.holds(nonce))).toEqual([true, true])
  })

  it('differ from call to call', () => {
    const drawn = Array.from({ length: 50 }, () => freshNonces()).flatMap((pair) => [pair.nonceEnc, pair.nonceSig])
    expect(new Set(drawn.map((nonce) => nonce.toString('hex'))).size).toBe(100)
  })

  it.each([
    ['zeros', () => undefined],
    ['the same bytes twice', (target: Uint8Array) => void target.fill(7)],
  ])('refuse a source that gives %s', (_, broken) => {
    expect(() => freshNonces(broken)).toThrow('random source is broken')
  })

  it('have ids of nonces alone', () => {
    expect(() => nonceId(Buffer.alloc(31))).toThrow(RangeError)
  })
})
