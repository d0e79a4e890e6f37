import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { FAILURES, FAILURE_CODES, type FailureCode } from '../src/list.js'
import { BACKOFF_CAP_MS, backoff, backoffStrategy, decide, MAX_ATTEMPTS } from '../src/policy.js'
import type { FailureClass, Policy } from '../src/terms.js'

/** ARCHITECTURE §5 and FORMAT §7, as they name them. */
const NAMED: Readonly<Record<FailureClass, readonly FailureCode[]>> = {
  'transient-infrastructure': [
    'HSM_UNAVAILABLE',
    'HSM_BUSY',
    'HSM_SESSION_LOST',
    'S3_THROTTLED',
    'S3_UNAVAILABLE',
    'S3_TIMEOUT',
    'DB_UNAVAILABLE',
    'SHUTDOWN',
  ],
  'broken-infrastructure': ['HSM_ACCESS_DENIED', 'S3_ACCESS_DENIED', 'KEY_MISMATCH', 'NO_ACTIVE_KEY'],
  'transient-source': ['SOURCE_BUSY', 'SOURCE_IO', 'SOURCE_CHANGED'],
  'permanent-source': [
    'SOURCE_MISSING',
    'SOURCE_NOT_REGULAR',
    'SOURCE_OUTSIDE_ROOT',
    'SOURCE_HARD_LINKED',
    'SOURCE_TOO_LARGE',
  ],
  'permanent-request': ['PAYLOAD_INVALID', 'REQUEST_CONFLICT', 'E_KEY_DESTROYED'],
  integrity: [
    'E_FORMAT',
    'E_UNSUPPORTED',
    'E_LENGTH',
    'E_WRONG_FILE',
    'E_RECORD_MISMATCH',
    'E_KEY_UNKNOWN',
    'E_NONCES_ABSENT',
    'E_NONCE_UNWRAP',
    'E_HEADER_AUTH',
    'E_CONTEXT',
    'E_TRAILER_AUTH',
    'E_KEY_COMMIT',
    'E_SEGMENT_AUTH',
    'CHECKSUM_MISMATCH',
    'LENGTH_MISMATCH',
  ],
  control: ['FENCED', 'WORKER_DIED', 'POISON', 'CANCELLED'],
  unclassified: ['UNCLASSIFIED'],
}

describe('the closed list', () => {
  test.each(Object.entries(NAMED))('has every %s code that the design names', (failureClass, codes) => {
    for (const code of codes) expect(FAILURES[code].class).toBe(failureClass)
  })

  test('lets no outage burn an attempt', () => {
    for (const { class: failureClass, burnsAttempt, policy } of Object.values(FAILURES)) {
      const outage = failureClass === 'transient-infrastructure' || failureClass === 'broken-infrastructure'
      if (outage) expect(burnsAttempt).toBe(false)
      expect(policy.kind === 'hold' || policy.kind === 'pause').toBe(outage)
    }
  })

  test('pages for what is broken, for integrity, for what no one knows', () => {
    for (const { class: failureClass, page } of Object.values(FAILURES)) {
      expect(page).toBe(['broken-infrastructure', 'integrity', 'unclassified'].includes(failureClass))
    }
  })

  test('gives every E_ code exit status 3, but 5 to keys that are gone', () => {
    for (const { code, exitStatus } of Object.values(FAILURES)) {
      if (code.startsWith('E_')) expect(exitStatus).toBe(code.startsWith('E_KEY_') && code !== 'E_KEY_COMMIT' ? 5 : 3)
    }
  })

  test('says for each what happened and what to do', () => {
    for (const { summary, fix } of Object.values(FAILURES)) {
      expect(summary).toMatch(/^.{15,}\.$/)
      expect(fix).toMatch(/^.{15,}\.$/)
    }
  })

  test('cannot be changed', () => {
    expect(Object.isFrozen(FAILURES)).toBe(true)
    expect(Object.isFrozen(FAILURES.HSM_BUSY)).toBe(true)
  })
})

describe('the runbook', () => {
  const runbook = readFileSync(new URL('../../../docs/operate/runbook.md', import.meta.url), 'utf8')
  const sections = new Map(
    runbook
      .split(/^### /m)
      .slice(1)
      .map((section) => [section.slice(0, section.indexOf('\n')).trim(), section] as const),
  )

  test.each(FAILURE_CODES)('has a section for %s: meaning, first five minutes, commands, recovery', (code) => {
    const section = sections.get(code)
    expect(section).toBeDefined()
    for (const part of ['**Means.**', '**First five minutes.**', '**Commands.**', '**Recovered when**']) {
      expect(section).toContain(part)
    }
    expect(FAILURES[code].runbook).toBe(`docs/operate/runbook.md#${code.toLowerCase()}`)
  })

  test('has no section for a code that does not exist', () => {
    const codes = [...sections.keys()].filter((title) => /^[A-Z0-9_]+$/.test(title))
    expect(codes.sort()).toEqual([...FAILURE_CODES].sort())
  })

  test('the table of codes says what the list says', () => {
    const page = readFileSync(new URL('../../../docs/reference/failure-codes.md', import.meta.url), 'utf8')
    const rows = page
      .split('\n')
      .filter((line) => line.startsWith('| ['))
      .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|')))
      .map(([, code = '', ...cells]) => [/^\[(\w+)\]/.exec(code)?.[1], ...cells.slice(0, 7)])
    const policyOf = (policy: Policy): string =>
      policy.kind === 'retry'
        ? `retry, ${policy.attempts} times`
        : 'dependency' in policy
          ? `${policy.kind} (${policy.dependency})`
          : policy.kind
    expect(rows).toEqual(
      Object.values(FAILURES).map((one) => [
        one.code,
        one.class,
        policyOf(one.policy),
        one.burnsAttempt ? 'yes' : 'no',
        one.page ? 'yes' : 'no',
        String(one.exitStatus),
        one.owner,
        one.summary,
      ]),
    )
  })

  test('uses only commands that there are', () => {
    const verbs =
      /^(enqueue|status|list|trace|restore|verify|object (inspect|open|verify)|keys (init|list|check|rotate|retire|destroy|destructions)|fleet (show|adopt)|domains (list|show|add|set)|holds (list|place|release)|retention list|rm|shred|rekey( (start|status|pause|resume|cancel|retry))?|dlq (ls|show|replay|discard)|operators (list|add|revoke)|requests (list|show|sign|approve|cancel)|queue (status|pause|resume|probe)|maintenance (list|show (sweep|scrub)|run (sweep|reconcile|scrub|retention|audit-checkpoint))|audit (verify|log|adopt)|recover|rewrap|doctor( (hsm|pin (list|reset)))?)\b/
    const commands = [
      ...`${runbook}\n${Object.values(FAILURES)
        .map(({ fix }) => fix)
        .join('\n')}`.matchAll(/npx sealfleet ([^`\n]+)/g),
    ]
    expect(commands.length).toBeGreaterThan(50)
    for (const [, command] of commands) expect(command).toMatch(verbs)
  })
})

describe('backoff', () => {
  test('is uniform below a ceiling that doubles, up to 15 minutes', () => {
    const least = (attempt: number): number => backoff(attempt, { random: () => 0 })
    const most = (attempt: number): number => backoff(attempt, { random: () => 1 - Number.EPSILON })
    expect([1, 2, 3, 4].map(most)).toEqual([1_999, 3_999, 7_999, 15_999])
    for (const attempt of [1, 5, 10, 100, 1_000_000, Number.MAX_SAFE_INTEGER]) {
      expect(least(attempt)).toBe(0)
      expect(most(attempt)).toBeLessThan(BACKOFF_CAP_MS)
    }
    expect(most(100)).toBe(BACKOFF_CAP_MS - 1)
    expect(backoff(2, { random: () => 0.5, baseMs: 100 })).toBe(100)
  })

  test('treats attempts before the first as the first', () => {
    expect(backoff(0, { random: () => 0.5 })).toBe(backoff(1, { random: () => 0.5 }))
  })
})

describe('decide', () => {
  const random = (): number => 0.5

  test.each([
    ['HSM_UNAVAILABLE', { counted: 99 }, { action: 'hold', dependency: 'hsm', delayMs: 4_000 }],
    ['S3_ACCESS_DENIED', { counted: 99 }, { action: 'pause', dependency: 's3', delayMs: 4_000 }],
    ['SOURCE_CHANGED', { counted: 2 }, { action: 'retry', delayMs: 2_000 }],
    ['SOURCE_CHANGED', { counted: 3 }, { action: 'dead' }],
    ['SOURCE_CHANGED', { counted: 5, sameCode: 2 }, { action: 'retry', delayMs: 16_000 }],
    ['SOURCE_BUSY', { counted: MAX_ATTEMPTS - 1 }, { action: 'retry', delayMs: 450_000 }],
    ['SOURCE_BUSY', { counted: MAX_ATTEMPTS }, { action: 'dead' }],
    ['SOURCE_CHANGED', { counted: MAX_ATTEMPTS, sameCode: 1 }, { action: 'dead' }],
    ['CHECKSUM_MISMATCH', { counted: 1 }, { action: 'retry', delayMs: 1_000 }],
    ['CHECKSUM_MISMATCH', { counted: 2 }, { action: 'dead' }],
    ['SOURCE_MISSING', { counted: 1 }, { action: 'dead' }],
    ['UNCLASSIFIED', { counted: 1 }, { action: 'dead' }],
    ['FENCED', { counted: 0 }, { action: 'record' }],
    ['POISON', { counted: 0 }, { action: 'dead' }],
  ] as const)('%s after %o: %o', (code, history, decision) => {
    expect(decide(FAILURES[code], history, { random })).toEqual(decision)
  })

  test('speaks to BullMQ: a wait, or -1 for the end', () => {
    const strategy = (code: string, attempts: number): number | Promise<number> =>
      backoffStrategy(attempts, 'sealfleet', Object.assign(new Error('x'), { code }))
    expect(strategy('SOURCE_BUSY', 1)).toBeGreaterThanOrEqual(0)
    expect(strategy('SOURCE_MISSING', 1)).toBe(-1)
    expect(strategy('SOURCE_CHANGED', 3)).toBe(-1)
  })
})
