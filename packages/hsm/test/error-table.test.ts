import { describe, expect, it } from 'vitest'

import { nextStep, type Tries } from '../src/agent/recovery.js'
import { CKR, ckrName, ckrOf } from '../src/errors/ckr.js'
import { ERROR_CLASSES, type ErrorClass } from '../src/errors/classes.js'
import { classifyCkr } from '../src/errors/classify.js'
import { ERROR_TABLE } from '../src/errors/table.js'

/** The design's rows, by number: what the table in src must say. */
const ROWS: readonly [ErrorClass, readonly number[]][] = [
  ['fine', [0x100, 0x191]],
  ['retry', [0x06, 0x02, 0x31]],
  ['session', [0xb3, 0xb0, 0x90, 0x91, 0x50, 0x150]],
  ['rebind', [0x101, 0x60, 0x82, 0x65]],
  ['recycle', [0x190, 0x30, 0x32, 0xe0, 0xe1, 0x03, 0x0a, 0x1a0, 0x1a1]],
  ['capacity', [0xb1]],
  ['login', [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0x102, 0x103, 0x104]],
  ['configuration', [0x70, 0x71, 0x62, 0x63, 0x68, 0xd0, 0xd1, 0x10, 0x11, 0x12, 0x13, 0x1b, 0xb5, 0x07, 0x54, 0x6a]],
  ['data', [0x20, 0x21, 0x40, 0x41, 0xc0, 0xc1]],
  ['general', [0x05, 0x8000_0000, 0x8000_1234, 0xdead]],
]

/** Codes of PKCS#11 3.2 that the design did not name yet. */
const NEWER: readonly [ErrorClass, readonly number[]][] = [
  ['retry', [0x201]],
  ['session', [0x202]],
  ['data', [0x42]],
]

describe('the error table', () => {
  it('has no row and no code that is not tested here', () => {
    for (const name of ERROR_CLASSES) {
      const tested = [...ROWS, ...NEWER].flatMap(([row, codes]) => (row === name ? codes : []))
      expect([name, ERROR_TABLE[name].filter((code) => !tested.includes(code))]).toEqual([name, []])
    }
  })

  it.each([...ROWS, ...NEWER].flatMap(([name, codes]) => codes.map((code) => [code, name] as const)))(
    'puts %i into class %s',
    (code, name) => {
      expect(classifyCkr(code, 'C_Sign')).toBe(name)
    },
  )

  it('holds every code in one row only, and every code has a name', () => {
    const codes = ERROR_CLASSES.flatMap((name) => ERROR_TABLE[name])
    expect(new Set(codes).size).toBe(codes.length)
    for (const code of codes) expect(ckrName(code)).toMatch(/^CKR_[A-Z_]+ \(0x/)
  })

  it('takes GENERAL_ERROR from C_Decrypt for a bad tag, not for a broken device', () => {
    expect(classifyCkr(CKR.GENERAL_ERROR, 'C_Decrypt')).toBe('data')
    expect(classifyCkr(CKR.GENERAL_ERROR, 'C_DecryptInit')).toBe('general')
  })

  it('lets a vendor profile move a code, for one function or for all', () => {
    const profile = [
      { code: 0x8000_0001, class: 'recycle', name: 'CKR_OF_A_VENDOR' },
      { code: CKR.FUNCTION_FAILED, fn: 'C_Login', class: 'recycle', name: 'CKR_FUNCTION_FAILED' },
    ] as const
    expect(classifyCkr(0x8000_0001, 'C_Sign', profile)).toBe('recycle')
    expect(classifyCkr(CKR.FUNCTION_FAILED, 'C_Login', profile)).toBe('recycle')
    expect(classifyCkr(CKR.FUNCTION_FAILED, 'C_Sign', profile)).toBe('retry')
  })

  it('reads the number from the error’s code, or from its text alone', () => {
    expect(ckrOf(Object.assign(new Error('CKR_DEVICE_ERROR'), { code: 48 }))).toBe(48)
    expect(ckrOf(new Error('CKR_VENDOR_DEFINED:2147487744\n  at x'))).toBe(2147487744)
    expect(ckrOf(Object.assign(new Error('no such file'), { code: 0 }))).toBeUndefined()
    expect(ckrOf(new TypeError('wrong argument'))).toBeUndefined()
    expect(ckrOf('CKR_DEVICE_ERROR:48')).toBeUndefined()
  })

  const steps: readonly [ErrorClass, readonly string[]][] = [
    ['retry', ['wait', 'wait', 'wait', 'replace-session', 'recycle']],
    ['session', ['replace-session', 'recycle']],
    ['capacity', ['replace-session', 'recycle']],
    ['rebind', ['rebind', 'recycle']],
    ['general', ['replace-session', 'recycle']],
    ['recycle', ['recycle']],
    ['fine', ['recycle']],
    ['login', ['login']],
    ['configuration', ['denied']],
    ['data', ['data']],
  ]
  it.each(steps)('acts on %s by %j, and stops there', (name, expected) => {
    const tries: Tries = { retry: 0, session: 0, rebind: 0 }
    const done = expected.map(() => {
      const step = nextStep(name, tries, false, 0.5)
      return step.do === 'give-up' ? step.verdict : step.do
    })
    expect(done).toEqual(expected)
  })

  it('does not retry a GENERAL_ERROR that follows another', () => {
    expect(nextStep('general', { retry: 0, session: 0, rebind: 0 }, true, 0)).toEqual({
      do: 'give-up',
      verdict: 'recycle',
    })
  })
})
