import { CodedError } from '@sealfleet/failures'
import { RecordsError } from '@sealfleet/records'
import { describe, expect, it } from 'vitest'
import { CliError } from '../src/cli-error.js'
import { describeError, explainCode } from '../src/describe-error.js'

const errno = (code: string, message: string): Error =>
  Object.assign(new Error(message), { code, errno: -1, syscall: 'x' })

describe('advice is for someone who has given a command', () => {
  it.each([
    ['SOURCE_MISSING', /^Correct the path/],
    ['PAYLOAD_INVALID', /--help/],
    ['SOURCE_CHANGED', /give the command again/],
  ])('%s', (code, fix) => {
    expect(describeError(new CliError(code, 'x', { exitStatus: 1 })).fix).toMatch(fix)
    expect(describeError(Object.assign(new Error('x'), { code })).fix).toMatch(fix)
  })

  it('an unexpected error: nothing of packages or dead letters', () => {
    const report = describeError(new TypeError('x is not a function'))
    expect(report).toMatchObject({ code: 'UNCLASSIFIED', message: 'TypeError: x is not a function' })
    expect(report.fix).toMatch(/report the message/)
  })

  it('a producer’s error: the command’s advice, unless it was given its own', () => {
    expect(describeError(new CodedError('REDIS_UNAVAILABLE', 'x')).fix).toMatch(/doctor/)
    expect(describeError(new CodedError('REDIS_UNAVAILABLE', 'x', { fix: 'Do this.' })).fix).toBe('Do this.')
  })

  it('what a record holds keeps the advice of anyone who looks after the fleet', () => {
    expect(explainCode('SOURCE_MISSING').fix).toMatch(/dead letter/)
  })
})

describe('what the causes say is shown, cleaned and once', () => {
  const redis = 'Redis at 127.0.0.1:1 does not answer'

  it.each<[string, unknown, string]>([
    [
      'a cause',
      new CodedError('REDIS_UNAVAILABLE', redis, { cause: errno('ECONNREFUSED', 'connect ECONNREFUSED 127.0.0.1:1') }),
      `${redis}: connect ECONNREFUSED 127.0.0.1:1`,
    ],
    [
      'causes of a cause',
      new CliError('X', 'outer', { exitStatus: 1, cause: new Error('middle', { cause: new Error('inner.') }) }),
      'outer: middle: inner',
    ],
    [
      'nothing twice',
      new CliError('X', 'it failed: disk full', { exitStatus: 1, cause: new Error('Disk full') }),
      'it failed: disk full',
    ],
    [
      'no errno twice',
      new CliError('X', 'cannot be read (ENOENT)', {
        exitStatus: 1,
        cause: errno('ENOENT', 'ENOENT: no such file, open x'),
      }),
      'cannot be read (ENOENT)',
    ],
    [
      'several errors',
      new CliError('X', 'both failed', {
        exitStatus: 1,
        cause: new AggregateError([new Error('one'), new Error('two')], ''),
      }),
      'both failed: one: two',
    ],
    [
      'no secret',
      new CliError('X', 'failed', { exitStatus: 1, cause: new Error('at redis://:hunter2@h/0') }),
      'failed: at redis://[redacted]@h/0',
    ],
    [
      'no arguments of a command',
      new CliError('X', 'failed', {
        exitStatus: 1,
        cause: new Error('ERR unknown command, with args beginning with: a-payload'),
      }),
      'failed: ERR unknown command',
    ],
    [
      'nothing that drives a terminal',
      new CliError('X', 'failed', { exitStatus: 1, cause: new Error('a\u001b[2Jb') }),
      'failed: a\\u{1B}[2Jb',
    ],
    [
      'nothing of a value that broke a rule',
      new RecordsError('CONFLICT', 'it exists', { cause: new Error('(a-value)') }),
      'it exists',
    ],
  ])('%s', (_, error, message) => {
    expect(describeError(error).message).toBe(message)
  })

  it('a driver’s own error follows the sentence of its code', () => {
    const denied = Object.assign(new Error("NOPERM User x has no permissions to run the 'time' command"), {
      name: 'ReplyError',
    })
    const report = describeError(denied, 'redis')
    expect(report.code).toBe('REDIS_ACCESS_DENIED')
    expect(report.message).toMatch(/^Redis refused .*: NOPERM User x has no permissions to run the 'time' command$/)
  })
})
