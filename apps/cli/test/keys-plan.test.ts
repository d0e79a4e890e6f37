import { describe, expect, it } from 'vitest'
import { planRole, planRotation, type PlanInput } from '@sealfleet/keys'
import { unsoundAttributes } from '../src/commands/keys/token-keys.js'

type State = 'PENDING' | 'ACTIVE' | 'DECRYPT_ONLY' | 'DESTROYED'
const row = (version: number, state: State, suite: 1 | 2 = 1) => ({ role: 'enc' as const, suite, version, state })
const inToken = (version: number, suite: 1 | 2 = 1, domain = 'default') => ({
  ref: { role: 'enc' as const, domain, suite, version },
})
const plan = (input: Partial<PlanInput>): string[] =>
  planRole({ role: 'enc', domain: 'default', suite: 1, rows: [], token: [], ...input }).map(
    ({ kind, ref }) => `${kind} s${ref.suite}/${ref.version}`,
  )

describe('what keys init does about a role', () => {
  it('makes the first key', () => {
    expect(plan({})).toEqual(['generate s1/1', 'activate s1/1'])
    expect(plan({ suite: 2 })).toEqual(['generate s2/1', 'activate s2/1'])
  })

  it('does nothing when one is active, whatever else there is', () => {
    expect(
      plan({ rows: [row(1, 'DECRYPT_ONLY'), row(2, 'ACTIVE')], token: [inToken(1), inToken(2), inToken(3)] }),
    ).toEqual(['there s1/2'])
  })

  it('goes on where a run stopped between token and records, or before activation', () => {
    expect(plan({ token: [inToken(1)] })).toEqual(['register s1/1', 'activate s1/1'])
    expect(plan({ rows: [row(1, 'PENDING')], token: [inToken(1)] })).toEqual(['activate s1/1'])
  })

  it('takes over all keys of a token whose records were lost, and activates the newest', () => {
    expect(plan({ token: [inToken(2), inToken(1)] })).toEqual(['register s1/1', 'register s1/2', 'activate s1/2'])
  })

  it('never goes back to an older version', () => {
    expect(plan({ rows: [row(1, 'PENDING'), row(2, 'DESTROYED')], token: [inToken(1)] })).toEqual([
      'generate s1/3',
      'activate s1/3',
    ])
    expect(plan({ rows: [row(1, 'DECRYPT_ONLY')], token: [inToken(1)] })).toEqual(['generate s1/2', 'activate s1/2'])
  })

  it('makes a new version when what is there is of another suite', () => {
    expect(plan({ suite: 2, token: [inToken(1, 1)] })).toEqual(['register s1/1', 'generate s2/2', 'activate s2/2'])
  })

  it('leaves keys of other domains alone', () => {
    expect(plan({ token: [inToken(5, 1, 'b549fcf8-ceda-48e7-956d-e8cd3f2dda24')] })).toEqual([
      'generate s1/1',
      'activate s1/1',
    ])
  })
})

describe('a key that was found in the token', () => {
  it('is fit only when no one could ever have read it', () => {
    const sound = { SENSITIVE: true, EXTRACTABLE: false, ALWAYS_SENSITIVE: true, NEVER_EXTRACTABLE: true, LOCAL: true }
    expect(unsoundAttributes({ attributes: sound })).toEqual([])
    expect(unsoundAttributes({ attributes: { ...sound, LOCAL: false, EXTRACTABLE: true } })).toEqual([
      'CKA_EXTRACTABLE is not false',
      'CKA_LOCAL is not true',
    ])
    expect(unsoundAttributes({ attributes: { ...sound, NEVER_EXTRACTABLE: null } })).toEqual([])
  })
})

describe('what keys rotate does about a role', () => {
  const rotation = (input: Partial<PlanInput>): string[] =>
    planRotation({ role: 'enc', domain: 'default', suite: 1, rows: [], token: [], ...input }).map((step) =>
      step.kind === 'activate'
        ? `activate s${step.ref.suite}/${step.ref.version} for ${step.replaces}`
        : `${step.kind} s${step.ref.suite}/${step.ref.version}`,
    )

  it('makes the next version and puts it in the place of the active one', () => {
    expect(rotation({ rows: [row(1, 'DECRYPT_ONLY'), row(2, 'ACTIVE')], token: [inToken(1), inToken(2)] })).toEqual([
      'generate s1/3',
      'activate s1/3 for 2',
    ])
  })

  it('does nothing where nothing is active', () => {
    expect(rotation({ rows: [row(1, 'PENDING')], token: [inToken(1)] })).toEqual([])
    expect(rotation({})).toEqual([])
  })

  it('goes on where a rotation stopped', () => {
    const rows = [row(1, 'ACTIVE')]
    expect(rotation({ rows, token: [inToken(1), inToken(2)] })).toEqual(['register s1/2', 'activate s1/2 for 1'])
    expect(rotation({ rows: [...rows, row(2, 'PENDING')], token: [inToken(1), inToken(2)] })).toEqual([
      'activate s1/2 for 1',
    ])
  })

  it('never goes below what was ever there, and makes keys of the domain’s suite', () => {
    expect(rotation({ rows: [row(1, 'ACTIVE'), row(4, 'DESTROYED')], token: [inToken(1)] })).toEqual([
      'generate s1/5',
      'activate s1/5 for 1',
    ])
    expect(
      rotation({ suite: 2, rows: [row(1, 'ACTIVE'), row(2, 'PENDING')], token: [inToken(1), inToken(2)] }),
    ).toEqual(['generate s2/3', 'activate s2/3 for 1'])
  })
})
