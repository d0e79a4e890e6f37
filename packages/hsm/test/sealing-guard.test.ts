import { createHmac, randomBytes } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { KeyProofs } from '../src/pool/key-proofs.js'
import { SealingGuard } from '../src/pool/sealing-guard.js'
import { ENC, SIG } from './helpers.js'

const LABEL = 'sealfleet/default/enc/s1/1'
const OTHER = 'sealfleet/default/sig/s1/1'
const refused = (why: string): unknown =>
  expect.objectContaining({ code: 'KEY_MISMATCH', message: expect.stringContaining(why) as string })

/** What a sound key answers. */
function sound(master: Buffer, input: Uint8Array): Buffer {
  return createHmac('sha256', master).update(input).digest()
}

describe('the guard of what is sealed with', () => {
  it('lets 5,000 sound outputs of two keys pass, and the same input again', () => {
    const guard = new SealingGuard()
    const masters = [randomBytes(32), randomBytes(32)] as const
    for (let i = 0; i < 2_500; i += 1) {
      const input = randomBytes(32)
      guard.check(sound(masters[0], input), { label: LABEL, input })
      guard.check(sound(masters[1], input), { label: OTHER, input })
      guard.check(sound(masters[0], input), { label: LABEL, input })
    }
  })

  it.each<[string, (seen: Buffer) => Buffer]>([
    ['the whole output', (seen) => seen],
    ['its first half, as the second', (seen) => Buffer.concat([randomBytes(16), seen.subarray(0, 16)])],
    ['its second half', (seen) => Buffer.concat([randomBytes(16), seen.subarray(16)])],
  ])('refuses, for another input, %s', (_name, made) => {
    const guard = new SealingGuard()
    const seen = randomBytes(32)
    guard.check(seen, { label: LABEL, input: randomBytes(32) })
    const again = { label: LABEL, input: randomBytes(32) }
    expect(() => guard.check(made(seen), again)).toThrow(refused('the same bytes'))
  })

  it('refuses the output of one key as that of another, whatever the input', () => {
    const guard = new SealingGuard()
    const [output, input] = [randomBytes(32), randomBytes(32)]
    guard.check(output, { label: LABEL, input })
    expect(() => guard.check(output, { label: OTHER, input })).toThrow(refused('the same bytes'))
  })

  it('refuses equal halves, zeros, the input and the check value', () => {
    const guard = new SealingGuard()
    const input = randomBytes(32)
    const half = randomBytes(16)
    const checkValue = randomBytes(8)
    const whole = (start: Buffer) => Buffer.concat([start, randomBytes(32 - start.length)])
    const check = (output: Buffer) => () => guard.check(output, { label: LABEL, input, checkValue })
    expect(check(Buffer.concat([half, half]))).toThrow(refused('a block that repeats'))
    expect(check(Buffer.alloc(32))).toThrow(refused('zeros'))
    expect(check(Buffer.from(input))).toThrow(refused('its input'))
    expect(check(whole(input.subarray(16)))).toThrow(refused('its input'))
    expect(check(whole(checkValue))).toThrow(refused('its check value'))
    check(randomBytes(32))()
  })

  it('looks at both halves of wrapped nonces', () => {
    const guard = new SealingGuard()
    const input = randomBytes(64)
    const halfDone = Buffer.concat([randomBytes(48), input.subarray(48)])
    expect(() => guard.check(halfDone, { label: LABEL, input })).toThrow(refused('its input'))
    expect(() => guard.check(Buffer.from(input), { label: LABEL, input })).toThrow(refused('its input'))
  })

  it('says nothing of the bytes, and forgets the oldest', () => {
    const guard = new SealingGuard(4)
    const outputs = Array.from({ length: 4 }, () => randomBytes(32))
    for (const output of outputs) guard.check(output, { label: LABEL, input: randomBytes(32) })
    const fresh = () => ({ label: LABEL, input: randomBytes(32) })
    const [oldest = Buffer.of(), , , youngest = Buffer.of()] = outputs
    try {
      guard.check(youngest, fresh())
      expect.unreachable()
    } catch (error) {
      expect(JSON.stringify(error) + String(error)).not.toContain(youngest.toString('hex').slice(0, 8))
    }
    guard.check(oldest, fresh())
  })

  it('checks nothing after it was wiped', () => {
    const guard = new SealingGuard()
    guard.wipe()
    expect(() => guard.check(randomBytes(32), { label: LABEL, input: randomBytes(32) })).toThrow(TypeError)
  })
})

describe('proofs of keys', () => {
  it('are asked for once a key by many at once, and again some seconds after one that failed', async () => {
    let now = 0
    const asked: string[] = []
    let fails = true
    const proofs = new KeyProofs(
      ({ role }) => {
        asked.push(role)
        return fails ? Promise.reject(new Error('no')) : Promise.resolve()
      },
      () => now,
    )
    const all = await Promise.allSettled([proofs.of(ENC), proofs.of(ENC), proofs.of(SIG)])
    expect(all.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    await expect(proofs.of(ENC)).rejects.toThrow('no')
    expect(asked).toEqual(['enc', 'sig'])
    now = 5_000
    fails = false
    await proofs.of(ENC)
    await proofs.of(ENC)
    expect(asked).toEqual(['enc', 'sig', 'enc'])
  })

  it('end for the one who gives up, and go on for others', async () => {
    let prove: () => void = () => undefined
    const proofs = new KeyProofs(() => new Promise((resolve) => (prove = resolve)))
    const stop = new AbortController()
    const given = proofs.of(ENC, stop.signal)
    const waited = proofs.of(ENC)
    stop.abort(new Error('stopped'))
    await expect(given).rejects.toThrow('stopped')
    prove()
    await waited
  })
})
