import { describe, expect, test } from 'vitest'
import { adviceFor } from '../src/advice.js'
import { CodedError } from '../src/coded-error.js'
import { FAILURES, FAILURE_CODES } from '../src/list.js'

describe('advice fits anyone who reads it', () => {
  test.each(FAILURE_CODES)('%s: a command’s speaks of no dead letter, upstream system or worker', (code) => {
    const advice = adviceFor(code, 'command')
    expect(advice).toMatch(/^.{15,}\.$/)
    expect(advice).not.toMatch(/dead letter|upstream|replay|every worker|that worker|is tried again|sealed afresh/i)
    expect(advice).not.toContain('packages/queue')
    expect(advice).not.toContain('SEALFLEET_CONCURRENCY')
  })

  test('of a producer’s own failures: no variables and no commands of ours', () => {
    const codes = [
      'REDIS_UNAVAILABLE',
      'REDIS_ACCESS_DENIED',
      'REDIS_TLS',
      'REDIS_UNSUITABLE',
      'PAYLOAD_INVALID',
    ] as const
    for (const code of [...codes, 'REQUEST_CONFLICT', 'ROOT_UNKNOWN', 'DB_UNAVAILABLE', 'UNCLASSIFIED'] as const) {
      expect(adviceFor(code, 'producer')).not.toMatch(/SEALFLEET_|npx sealfleet|upstream|dead letter/)
    }
  })

  test('on call it is that of the list, and none asks for a change of the program', () => {
    for (const code of FAILURE_CODES) {
      expect(adviceFor(code, 'on-call')).toBe(FAILURES[code].fix)
      expect(FAILURES[code].fix).not.toMatch(/packages\/jobs(?!\/schema)/)
    }
  })

  test('an error of the producer’s client has the producer’s, unless it was given its own', () => {
    expect(new CodedError('PAYLOAD_INVALID', 'x').fix).toBe(adviceFor('PAYLOAD_INVALID', 'producer'))
    const own = new CodedError('PAYLOAD_INVALID', 'x', { fix: 'Mine.' })
    expect([own.fix, own.ownFix]).toEqual(['Mine.', 'Mine.'])
  })
})
