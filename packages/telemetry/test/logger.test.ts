import { describe, expect, test } from 'vitest'
import { createLogger, type LoggerOptions } from '../src/logger.js'
import { safeError } from '../src/safe-error.js'
import { scrubText } from '../src/scrub.js'
import type { LogFields } from '../src/fields.js'

const FILE = '0198c0de-0000-7000-8000-0123456789ab'
const ATTEMPT = '0198c0de-0000-7000-8000-ba9876543210'

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: Record<string, unknown>[] = []
  const destination = { write: (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>) }
  return { log: createLogger({ name: 'worker', destination, ...options }), lines }
}

describe('the logger', () => {
  test('writes the fields of the list, with time, level and program', () => {
    const { log, lines } = capture()
    const fields = {
      fileId: FILE,
      attemptId: ATTEMPT,
      jobId: `f-${FILE}-g1`,
      domain: 'default',
      objectKey: `default/${FILE}/${ATTEMPT}`,
      step: 'upload',
      worker: 'host-1:4711',
      queue: 'ingest',
      code: 'S3_TIMEOUT',
      class: 'transient-infrastructure',
      bytes: 17,
      dryRun: true,
      sqlState: '57P01',
    }
    log.info(fields, 'file stored')
    expect(lines[0]).toMatchObject({ ...fields, level: 30, name: 'worker', msg: 'file stored', pid: process.pid })
    expect(lines[0]?.['time']).toMatch(/^\d{4}-\d\d-\d\dT/)
  })

  test('drops fields that are not on the list, and values of another shape', () => {
    const { log, lines } = capture()
    log.info(
      {
        fileId: 'x',
        bytes: '17',
        step: 'two words',
        dryRun: 1,
        job: { data: 1 },
        path: '/a',
        count: Number.NaN,
      } as unknown as LogFields,
      'x',
    )
    expect(Object.keys(lines[0] ?? {}).sort()).toEqual(['level', 'msg', 'name', 'pid', 'time'])
  })

  test('children keep their fields, and their own win', () => {
    const { log, lines } = capture()
    log.child({ fileId: FILE, step: 'claim' }).child({ attemptNo: 2 }).info({ step: 'commit' }, 'x')
    expect(lines[0]).toMatchObject({ fileId: FILE, attemptNo: 2 })
    expect(lines[0]?.['step']).toBe('commit')
  })

  test('is silent below its level', () => {
    const { log, lines } = capture({ level: 'warn' })
    log.info('x')
    log.warn('y')
    expect(lines.map(({ msg }) => msg)).toEqual(['y'])
    expect(log.level).toBe('warn')
  })

  test('a line stays one line, whatever the message holds', () => {
    const { log, lines } = capture()
    log.info('a\nb\u001b[31m\u2028c')
    expect(lines[0]?.['msg']).toBe('a\\nb\\u{1B}[31m\\u{2028}c')
  })
})

describe('scrub', () => {
  test.each([
    ['connect to redis://:pa55@h:6379/0 failed', 'connect to redis://[redacted]@h:6379/0 failed'],
    ['GET https://s3/b/k?X-Amz-Signature=abc&X-Amz-Credential=x 403', 'GET https://s3/b/k?[redacted] 403'],
    ['login with pin=1234 failed', 'login with pin=[redacted] failed'],
    ['{"password": "a b", "x": 1}', '{"password": [redacted], "x": 1}'],
    ['secretAccessKey: abc, region: x', 'secretAccessKey: [redacted], region: x'],
    ['InvalidAccessKeyId AKIAIOSFODNN7EXAMPLE', 'InvalidAccessKeyId [redacted]'],
    ['key 000102030405060708090a0b0c0d0e0f', 'key [redacted]'],
    ['Authorization: Bearer abc.def', 'Authorization: [redacted] [redacted]'],
    ['the password: hunter2', 'the password: [redacted]'],
    ['wrong PIN: 1234', 'wrong PIN: [redacted]'],
    ['x-amz-security-token: abc', 'x-amz-security-token: [redacted]'],
    ['token:abc and secret: "a b"', 'token:[redacted] and secret: [redacted]'],
    ['read -----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY----- here', 'read [redacted] here'],
    ['read -----BEGIN EC PRIVATE KEY-----\nMC4CAQAw', 'read [redacted]'],
  ])('%s', (message, scrubbed) => {
    expect(scrubText(message)).toBe(scrubbed)
  })

  test.each([
    `file ${FILE} stored as default/${FILE}/${ATTEMPT}`,
    'source inbox/2026/report-final.pdf does not exist (ENOENT)',
    'CKR_PIN_INCORRECT (0xa0) from C_Login',
    'relation "files" does not exist',
    'the spinning disk: slow',
    '12,345,678 bytes of SEALFLEET_REDIS_URL',
  ])('leaves alone: %s', (message) => {
    expect(scrubText(message)).toBe(message)
  })

  test('cuts what is too long, and is quick about hostile text', () => {
    expect(scrubText('word '.repeat(1_000))).toHaveLength(501)
    for (const hostile of ['pin-', 'a-', '1,', 'aA1', 'secret', 'http://', '0a ']) {
      expect(scrubText(hostile.repeat(100_000)).length).toBeLessThanOrEqual(501)
    }
  })
})

describe('safeError', () => {
  test('keeps codes, numbers and names', () => {
    const cause = Object.assign(new Error('x'), { name: 'Pkcs11Error', code: 0xa0 })
    const error = Object.assign(new Error('login refused', { cause }), { name: 'HsmError', code: 'HSM_ACCESS_DENIED' })
    expect(safeError(error, { class: 'broken-infrastructure' })).toEqual({
      code: 'HSM_ACCESS_DENIED',
      class: 'broken-infrastructure',
      name: 'HsmError',
      message: 'login refused',
      ckr: 0xa0,
      causeCodes: ['CKR_0xa0'],
    })
  })

  test('finds numbers of the AWS SDK, of pg and of the operating system', () => {
    const sdk = Object.assign(new Error('x'), {
      name: 'SlowDown',
      $metadata: { httpStatusCode: 503 },
      $response: { body: 'x' },
    })
    expect(safeError(new Error('outer', { cause: sdk }))).toMatchObject({ httpStatus: 503, causeCodes: ['SlowDown'] })
    const pg = Object.assign(new Error('x'), { code: '57P01', severity: 'FATAL', query: 'SELECT 1' })
    expect(safeError(pg)).toEqual({ code: 'UNCLASSIFIED', name: 'Error', message: 'x', sqlState: '57P01' })
    const fs = Object.assign(new Error('x'), { code: 'ENOENT', errno: -2, syscall: 'open', path: '/a' })
    expect(safeError(fs)).toEqual({ code: 'ENOENT', name: 'Error', message: 'x', errno: 'ENOENT' })
  })

  test('prefers the code a classifier found', () => {
    expect(safeError(Object.assign(new Error('x'), { code: 'ENOENT' }), { code: 'SOURCE_MISSING' }).code).toBe(
      'SOURCE_MISSING',
    )
  })

  test.each([[undefined], [null], [17], ['text'], [{}], [Symbol('x')], [() => 1], [Object.create(null)]])(
    'takes whatever is thrown: %o',
    (thrown) => {
      expect(safeError(thrown)).toMatchObject({ code: 'UNCLASSIFIED', message: expect.any(String) as string })
    },
  )

  test('survives errors that throw when they are looked at, and circles', () => {
    const hostile = Object.defineProperty(new Error('x'), 'cause', {
      get: () => {
        throw new Error('no')
      },
    })
    expect(safeError(hostile).message).toBe('x')
    const circle = new Error('x') as Error & { cause: unknown }
    circle.cause = circle
    expect(safeError(circle)).not.toHaveProperty('causeCodes')
  })
})
