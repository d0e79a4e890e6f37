import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { createLogger, type Logger } from '../src/logger.js'
import type { LogFields } from '../src/fields.js'
import { LOG_FIELDS } from '../src/fields.js'

const PIN = 'sesame-street-7'
const DATABASE_URL = 'postgresql://sealfleet:dbp4ssphrase@db.internal:5432/records'
const S3_SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const KEY = createHash('sha256').update('any 32 bytes').digest()

/** Every form in which a secret may turn up, and whether it was configured (so the logger knows it). */
const SECRETS: readonly (readonly [string, unknown, readonly string[]])[] = [
  ['a PIN', PIN, [PIN]],
  ['a database URL', DATABASE_URL, ['dbp4ssphrase']],
  ['an S3 secret', S3_SECRET, [S3_SECRET, S3_SECRET.slice(0, 20)]],
  ['key bytes in hex', KEY.toString('hex'), [KEY.toString('hex').slice(0, 16)]],
  ['key bytes in base64', KEY.toString('base64'), [KEY.toString('base64').slice(0, 12)]],
  ['key bytes in base64url', KEY.toString('base64url'), [KEY.toString('base64url').slice(0, 12)]],
  [
    'key bytes',
    KEY,
    [KEY.toString('hex').slice(0, 16), `${KEY[0]},${KEY[1]},${KEY[2]}`, `${KEY[0]}, ${KEY[1]}, ${KEY[2]}`],
  ],
  ['key bytes as JSON', KEY.toJSON(), [`${KEY[0]},${KEY[1]},${KEY[2]}`]],
  [
    'key bytes as inspect prints them',
    `<Buffer ${KEY.toString('hex').replace(/(..)/g, '$1 ').trim()}>`,
    [KEY.toString('hex').replace(/(..)/g, '$1 ').slice(0, 12)],
  ],
]

/** Every place of a log call. The casts are what careless code, or `JSON.parse`, does to types. */
const PLACES: readonly (readonly [string, (log: Logger, secret: unknown) => void])[] = [
  ['the message', (log, secret) => log.info(`got ${String(secret)} here`)],
  ['the message, after fields', (log, secret) => log.info({ count: 1 }, String(secret))],
  [
    'further arguments',
    (log, secret) => (log.info as (...all: unknown[]) => void)({ count: 1 }, 'a %s %j %o', secret, { secret }),
  ],
  ['the first argument', (log, secret) => log.info(secret as LogFields, 'x')],
  ['an unknown field', (log, secret) => log.info({ pin: secret } as LogFields, 'x')],
  ['a nested field', (log, secret) => log.info({ job: { data: { deep: [secret] } } } as LogFields, 'x')],
  [
    'every known field',
    (log, secret) => log.info(Object.fromEntries(LOG_FIELDS.map((field) => [field, secret])) as LogFields, 'x'),
  ],
  [
    'objects in every known field',
    (log, secret) => log.info(Object.fromEntries(LOG_FIELDS.map((field) => [field, { secret }])) as LogFields, 'x'),
  ],
  ['names of fields', (log, secret) => log.info({ [String(secret)]: 1 } as LogFields, 'x')],
  ['bindings of a child', (log, secret) => log.child({ worker: secret, secret } as LogFields).info('x')],
  ['an error’s message', (log, secret) => log.error({ err: new Error(`failed: ${String(secret)}`) }, 'x')],
  [
    'an error’s properties',
    (log, secret) =>
      log.error(
        { err: Object.assign(new Error('x'), { secret, code: secret, name: secret, sqlState: secret, class: secret }) },
        'x',
      ),
  ],
  [
    'a cause',
    (log, secret) =>
      log.error(
        {
          err: new Error('x', {
            cause: Object.assign(new Error(String(secret)), { code: secret, name: secret, secret }),
          }),
        },
        'x',
      ),
  ],
  [
    'an AggregateError',
    (log, secret) => log.error({ err: new AggregateError([new Error(String(secret)), secret], 'x') }, 'x'),
  ],
  ['a thrown value', (log, secret) => log.error({ err: secret }, 'x')],
  [
    'the error itself as the first argument',
    (log, secret) => (log.error as (error: unknown, message: string) => void)(new Error(String(secret)), 'x'),
  ],
  ['toJSON', (log, secret) => log.info({ toJSON: () => ({ secret }) } as LogFields, 'x')],
]

test.each(
  SECRETS.flatMap(([what, secret, traces]) =>
    PLACES.map(([where, put]) => [what, where, secret, traces, put] as const),
  ),
)('%s in %s does not come out', (_what, _where, secret, traces, put) => {
  const lines: string[] = []
  const destination = { write: (line: string): void => void lines.push(line) }
  put(
    createLogger({
      name: 'test',
      level: 'trace',
      destination,
      secrets: [PIN, DATABASE_URL, 'dbp4ssphrase', S3_SECRET],
    }),
    secret,
  )
  expect(lines).toHaveLength(1)
  for (const trace of traces) expect(lines[0]).not.toContain(trace)
})
