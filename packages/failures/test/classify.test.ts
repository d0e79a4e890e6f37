import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { classify } from '../src/classify.js'
import type { ClassifyContext } from '../src/terms.js'
import { FAILURE_CODES, type FailureCode } from '../src/list.js'

/** An Error with the properties that a library gives it. */
function like(name: string, message: string, properties: object = {}): Error {
  return Object.assign(new Error(message), { name, ...properties })
}

const pg = (code: string, message = 'x'): Error =>
  like('error', message, { code, severity: 'FATAL', length: 100, file: 'auth.c', line: '326', routine: 'auth_failed' })
const reply = (message: string): Error => like('ReplyError', message, { command: { name: 'get', args: ['k'] } })
const errno = (code: string, syscall: string, number = -2): Error =>
  like('Error', `${code}: something, ${syscall} '/srv/inbox/a'`, { code, errno: number, syscall, path: '/srv/inbox/a' })
const refused = errno('ECONNREFUSED', 'connect', -111)

const TABLE: readonly (readonly [FailureCode, string, unknown, ClassifyContext?])[] = [
  // our own errors
  ['E_SEGMENT_AUTH', 'a FormatError', like('FormatError', 'segment 3 is not authentic', { code: 'E_SEGMENT_AUTH' })],
  ['HSM_BUSY', 'an HsmError over a driver’s error', like('HsmError', 'x', { code: 'HSM_BUSY', cause: pg('28P01') })],
  [
    'S3_TIMEOUT',
    'a StoreError wrapped by an uncoded one',
    new Error('upload failed', { cause: like('StoreError', 'x', { code: 'S3_TIMEOUT' }) }),
  ],
  ['NO_ACTIVE_KEY', 'a RecordsError', like('RecordsError', 'x', { code: 'NO_ACTIVE_KEY' })],
  ['REQUEST_CONFLICT', 'a RecordsError with a name of its own', like('RecordsError', 'x', { code: 'CONFLICT' })],
  ['CONFIG_INVALID', 'a malformed database URL', like('RecordsError', 'x', { code: 'DB_URL' })],
  ['S3_REJECTED', 'a refusal that the store could not name', like('StoreError', 'x', { code: 'S3_REJECTED' })],
  ['CONFIG_INVALID', 'a ConfigError', like('ConfigError', 'x', { code: 'CONFIG_INVALID' })],
  [
    'FENCED',
    'one of several errors',
    new AggregateError([new Error('x'), like('FencedError', 'x', { code: 'FENCED' })], 'x'),
  ],
  [
    'SHUTDOWN',
    'an AbortError, whose reason is known',
    new DOMException('aborted', 'AbortError'),
    { abortReason: like('X', 'x', { code: 'SHUTDOWN' }) },
  ],
  [
    'FENCED',
    'an AbortError that a store wrapped',
    like('StoreError', 'x', { code: 'S3_UNAVAILABLE', cause: like('AbortError', 'x') }),
    { abortReason: like('X', 'x', { code: 'FENCED' }) },
  ],
  [
    'S3_ACCESS_DENIED',
    'an error of its own, although the signal aborted later',
    like('StoreError', 'x', { code: 'S3_ACCESS_DENIED' }),
    { abortReason: like('X', 'x', { code: 'SHUTDOWN' }) },
  ],

  // TLS, anyone who met it
  ...(['database', 'redis', 's3'] as const).flatMap((during) => {
    const code = ({ database: 'DB_TLS', redis: 'REDIS_TLS', s3: 'S3_TLS' } as const)[during]
    const row = (what: string, tls: string): readonly [FailureCode, string, unknown, ClassifyContext] => [
      code,
      `${what} (${during})`,
      like('Error', 'x', { code: tls }),
      { during },
    ]
    return [
      row('an untrusted authority', 'SELF_SIGNED_CERT_IN_CHAIN'),
      row('another name', 'ERR_TLS_CERT_ALTNAME_INVALID'),
      row('an expired certificate', 'CERT_HAS_EXPIRED'),
      row('a client certificate that is missing', 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'),
      row('no TLS at all', 'ERR_SSL_WRONG_VERSION_NUMBER'),
    ]
  }),
  ['UNCLASSIFIED', 'TLS of no one knows whom', like('Error', 'x', { code: 'CERT_HAS_EXPIRED' })],
  [
    'DB_TLS',
    'what Prisma makes of it',
    like('DriverAdapterError', 'x', { cause: { kind: 'TlsConnectionError', reason: 'x' } }),
  ],
  // pg, Prisma
  ['DB_UNAVAILABLE', 'too many connections', pg('53300')],
  ['DB_UNAVAILABLE', 'a server that shuts down', pg('57P01', 'terminating connection due to administrator command')],
  ['DB_UNAVAILABLE', 'a server that starts up', pg('57P03')],
  ['DB_UNAVAILABLE', 'a statement’s time-out', pg('57014')],
  ['DB_UNAVAILABLE', 'a serialization failure', pg('40001')],
  ['DB_UNAVAILABLE', 'a connection that broke', new Error('Connection terminated unexpectedly')],
  ['DB_UNAVAILABLE', 'no free connection in the pool', new Error('timeout exceeded when trying to connect')],
  ['DB_UNAVAILABLE', 'a refused connection', refused, { during: 'database' }],
  [
    'DB_UNAVAILABLE',
    'a refused connection on both addresses',
    new AggregateError([refused, refused], ''),
    { during: 'database' },
  ],
  ['DB_ACCESS_DENIED', 'a wrong password', pg('28P01', 'password authentication failed for user "x"')],
  ['DB_ACCESS_DENIED', 'a missing right', pg('42501')],
  ['DB_SCHEMA', 'a missing table', pg('42P01', 'relation "files" does not exist')],
  ['DB_SCHEMA', 'a missing database', pg('3D000')],
  ['UNCLASSIFIED', 'a violated constraint that no one expected', pg('23505')],
  [
    'DB_UNAVAILABLE',
    'Prisma P1001',
    like('PrismaClientInitializationError', "Can't reach database server", { errorCode: 'P1001' }),
  ],
  [
    'DB_UNAVAILABLE',
    'Prisma P2024',
    like('PrismaClientKnownRequestError', 'x', { code: 'P2024', clientVersion: '7.10.0' }),
  ],
  ['DB_SCHEMA', 'Prisma P2021', like('PrismaClientKnownRequestError', 'x', { code: 'P2021' })],
  [
    'DB_UNAVAILABLE',
    'Prisma P2010 with a SQLSTATE',
    like('PrismaClientKnownRequestError', 'x', { code: 'P2010', meta: { code: '57P01' } }),
  ],
  [
    'DB_ACCESS_DENIED',
    'a driver adapter’s kind',
    like('DriverAdapterError', 'AuthenticationFailed', { cause: { kind: 'AuthenticationFailed', user: 'x' } }),
  ],
  [
    'DB_UNAVAILABLE',
    'a driver adapter’s SQLSTATE',
    like('DriverAdapterError', 'postgres', { cause: { kind: 'postgres', code: '57P01', originalCode: '57P01' } }),
  ],

  // ioredis, BullMQ
  [
    'REDIS_UNAVAILABLE',
    'retries used up',
    like('MaxRetriesPerRequestError', 'Reached the max retries per request limit (which is 1).'),
  ],
  ['REDIS_UNAVAILABLE', 'a closed connection', new Error('Connection is closed.')],
  [
    'REDIS_UNAVAILABLE',
    'no offline queue',
    new Error("Stream isn't writeable and enableOfflineQueue options is false"),
  ],
  ['REDIS_UNAVAILABLE', 'a command’s time-out', new Error('Command timed out')],
  ['REDIS_UNAVAILABLE', 'a server that loads', reply('LOADING Redis is loading the dataset in memory')],
  ['REDIS_UNAVAILABLE', 'full memory', reply("OOM command not allowed when used memory > 'maxmemory'.")],
  ['REDIS_UNAVAILABLE', 'a refused connection', refused, { during: 'redis' }],
  ['REDIS_ACCESS_DENIED', 'a wrong password', reply('WRONGPASS invalid username-password pair or user is disabled.')],
  ['REDIS_ACCESS_DENIED', 'a missing right', reply('NOPERM this user has no permissions to run the get command')],
  ['UNCLASSIFIED', 'a command that is wrong', reply('ERR wrong number of arguments')],
  ['FENCED', 'a job’s lock that is gone', like('Error', 'Missing lock for job f-1-g1. moveToFinished', { code: -2 })],

  // fs
  ['SOURCE_MISSING', 'ENOENT of a source', errno('ENOENT', 'open'), { during: 'source' }],
  ['SOURCE_NOT_REGULAR', 'ELOOP of a source', errno('ELOOP', 'open'), { during: 'source' }],
  ['SOURCE_BUSY', 'EBUSY of a source', errno('EBUSY', 'read'), { during: 'source' }],
  ['SOURCE_IO', 'EIO of a source', errno('EIO', 'read'), { during: 'source' }],
  ['SOURCE_IO', 'EACCES of a source', errno('EACCES', 'open'), { during: 'source' }],
  ['OUTPUT_EXISTS', 'EEXIST of an output', errno('EEXIST', 'link'), { during: 'output' }],
  ['OUTPUT_IO', 'ENOSPC of an output', errno('ENOSPC', 'write'), { during: 'output' }],
  ['UNCLASSIFIED', 'ENOENT of no one knows what', errno('ENOENT', 'open')],
  ['UNCLASSIFIED', 'a refused connection of no one knows whom', refused],

  // anything else
  ['UNCLASSIFIED', 'a bug', new TypeError("Cannot read properties of undefined (reading 'x')")],
  ['UNCLASSIFIED', 'an abort without a reason', new DOMException('aborted', 'AbortError')],
  ['UNCLASSIFIED', 'a code of someone else', like('X', 'x', { code: 'E_SOMETHING' })],
  [
    'UNCLASSIFIED',
    'a code that is a name of Object',
    like('X', 'x', { code: 'constructor', kind: 'toString', name: 'valueOf' }),
  ],
  ['UNCLASSIFIED', 'undefined', undefined],
  ['UNCLASSIFIED', 'a text', 'HSM_BUSY'],
]

test.each(TABLE.map(([code, what, error, context]) => [code, what, error, context] as const))(
  '%s: %s',
  (code, _, error, context) => {
    expect(classify(error, context).code).toBe(code)
    expect(classify(new Error('outer', { cause: error }), context).code).toBe(code)
    expect(classify(new AggregateError([new Error('first'), error]), context).code).toBe(code)
  },
)

test('real errors of fs are classified by what was being done', async () => {
  const reading = await readFile('/no/such/file').catch((error: unknown) => error)
  expect(classify(reading, { during: 'source' }).code).toBe('SOURCE_MISSING')
  const folder = await readFile('/').catch((error: unknown) => error)
  expect(classify(folder, { during: 'source' }).code).toBe('SOURCE_NOT_REGULAR')
  const writing = await writeFile('/dev/null', '', { flag: 'wx' }).catch((error: unknown) => error)
  expect(classify(writing, { during: 'output' }).code).toBe('OUTPUT_EXISTS')
})

test('the nearest code wins, and says which error it came from', () => {
  const inner = like('HsmError', 'x', { code: 'HSM_UNAVAILABLE' })
  const outer = like('CodedError', 'x', { code: 'PAYLOAD_INVALID', cause: inner })
  expect(classify(outer)).toMatchObject({ code: 'PAYLOAD_INVALID', from: outer })
  expect(classify(new Error('x', { cause: inner }))).toMatchObject({ code: 'HSM_UNAVAILABLE', from: inner })
})

test('circles and endless chains end', () => {
  const circle: { cause?: unknown; errors?: unknown[] } = {}
  circle.cause = circle
  circle.errors = [circle, circle]
  expect(classify(circle).code).toBe('UNCLASSIFIED')
  let deep: Error = like('X', 'x', { code: 'HSM_BUSY' })
  for (let i = 0; i < 1_000; i++) deep = new Error('x', { cause: deep })
  expect(classify(deep).code).toBe('UNCLASSIFIED')
})

test('every code is recognised by its name', () => {
  for (const code of FAILURE_CODES) expect(classify({ code }).code).toBe(code)
})

test.each([
  [1, 'SOURCE_CHANGED'],
  [2, 'PAYLOAD_INVALID'],
  [3, 'E_SEGMENT_AUTH'],
  [4, 'SOURCE_MISSING'],
  [5, 'E_KEY_DESTROYED'],
  [5, 'E_KEY_UNKNOWN'],
  [6, 'HSM_UNAVAILABLE'],
])('exit status %i: %s', (status, code) => {
  expect(classify({ code }).failure.exitStatus).toBe(status)
})
