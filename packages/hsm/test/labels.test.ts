import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { MasterKeyRef } from '../src/contract.js'
import { keyLabel, parseKeyLabel } from '@sealfleet/format'
import { isAllowedHmacInput, isAuditMessage, isNoncesAad, kekCheckInput } from '../src/inputs.js'

const UUID = '0190b3c0-0000-7000-8000-000000000001'

describe('key labels', () => {
  it.each<[string, MasterKeyRef]>([
    ['sealfleet/default/enc/s1/1', { role: 'enc', domain: 'default', suite: 1, version: 1 }],
    [`sealfleet/${UUID}/sig/s2/4294967295`, { role: 'sig', domain: UUID, suite: 2, version: 4294967295 }],
    ['sealfleet/default/kek/7', { role: 'kek', domain: 'default', suite: 1, version: 7 }],
    ['sealfleet/audit/3', { role: 'audit', domain: 'default', suite: 1, version: 3 }],
  ])('%s', (label, ref) => {
    expect(keyLabel(ref)).toBe(label)
    expect(parseKeyLabel(label)).toEqual(ref)
  })

  it.each([
    '',
    'sealfleet/default/enc/s1/0',
    'sealfleet/default/enc/s1/01',
    'sealfleet/default/enc/s1/4294967296',
    'sealfleet/default/enc/s3/1',
    'sealfleet/default/enc/1',
    'sealfleet/default/kek/s1/1',
    'sealfleet/default/audit/1',
    'sealfleet/DEFAULT/enc/s1/1',
    `sealfleet/${UUID.toUpperCase()}x/enc/s1/1`,
    'sealfleet/default/enc/s1/1\n',
    ' sealfleet/default/enc/s1/1',
  ])('%j is none', (label) => {
    expect(parseKeyLabel(label)).toBeNull()
  })

  it('are parsed to what they were made of', () => {
    const domain = fc.oneof(fc.constant('default'), fc.uuid())
    const version = fc.integer({ min: 1, max: 0xffff_ffff })
    const signing = fc.record({
      role: fc.constantFrom('enc' as const, 'sig' as const),
      domain,
      suite: fc.constantFrom(1 as const, 2 as const),
      version,
    })
    const kek = fc.record({ role: fc.constant('kek' as const), domain, suite: fc.constant(1 as const), version })
    fc.assert(
      fc.property(fc.oneof(signing, kek), (ref) => {
        expect(parseKeyLabel(keyLabel(ref))).toEqual(ref)
      }),
    )
  })

  it.each([
    { role: 'enc', domain: 'default', suite: 1, version: 0 },
    { role: 'enc', domain: 'default', suite: 1, version: 1.5 },
    { role: 'enc', domain: 'default', suite: 1, version: 2 ** 32 },
    { role: 'enc', domain: 'other', suite: 1, version: 1 },
    { role: 'enc', domain: 'default', suite: 3, version: 1 },
    { role: 'root', domain: 'default', suite: 1, version: 1 },
  ])('are refused for %j', (ref) => {
    expect(() => keyLabel(ref as MasterKeyRef)).toThrow(TypeError)
  })
})

describe('inputs of master keys', () => {
  const audit: MasterKeyRef = { role: 'audit', domain: 'default', suite: 1, version: 1 }
  const labelled = (length: number) => {
    const bytes = Buffer.alloc(length, 7)
    bytes.fill(0, 0, 16)
    bytes.write('SFV1/audit')
    return bytes
  }

  it.each([
    [16, false],
    [17, true],
    [31, true],
    [32, false],
    [33, true],
    [65_536, true],
    [65_537, false],
  ])('an audit message of %i bytes: %s', (length, allowed) => {
    expect(isAuditMessage(labelled(length))).toBe(allowed)
    expect(isAllowedHmacInput(audit, labelled(length))).toBe(allowed)
  })

  it('an audit message begins with a padded label of ours', () => {
    const noLabel = labelled(40)
    noLabel.write('XXXX')
    expect(isAuditMessage(noLabel)).toBe(false)
    const hole = labelled(40)
    hole[12] = 0x41
    expect(isAuditMessage(hole)).toBe(false)
    const view = Buffer.concat([Buffer.from('xx'), labelled(40)]).subarray(2)
    expect(isAuditMessage(view)).toBe(true)
  })

  it('a KEK’s check record can’t pass for nonces', () => {
    const { plaintext, aad } = kekCheckInput('sealfleet/default/kek/1')
    expect(plaintext).toHaveLength(64)
    expect(isNoncesAad(aad)).toBe(false)
    expect(isNoncesAad(kekCheckInput('x'.repeat(58)).aad)).toBe(false)
  })
})
