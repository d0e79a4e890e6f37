import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { every, matrix } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type Ran, type RunOptions, type World } from './support/world.js'

/**
 * What is typed wrong, or to do harm: each ends in a code, a sentence that can be read, what to do about it and the right status,
 * never in a stack. What the state of things forbids is in dry-runs.test.ts.
 */

let world: World
beforeAll(async () => {
  world = await createWorld()
  await writeFile(path.join(world.data, 'a'), 'a file')
  expect((await world.inProcess(['domains', 'add', 'acme'])).status).toBe(0)
})
afterAll(() => world?.[Symbol.asyncDispose]())

const UNKNOWN = '00000000-0000-4000-8000-000000000000'
const LONG = 'x'.repeat(10_240)
const STEERING = '\u001b[31mred'

interface Refused {
  readonly status: number | null
  readonly code: string
}

async function refused(args: readonly string[], o?: RunOptions): Promise<Refused> {
  const json = await world.inProcess([...args, '--json'], o)
  const { error } = json.json<{ error: { code: string; message: string; fix?: string } }>()
  expect(error.fix, error.message).toBeTruthy()
  const plain = await world.inProcess(args, o)
  expect(plain.status).toBe(json.status)
  expect(plain.stderr).toContain(`sealfleet: ${error.code}: `)
  expect(plain.stderr).toContain('\n  fix: ')
  // Bounded, no stack, nothing that drives a terminal, no code of an operating system alone.
  expect(plain.stderr.length).toBeLessThan(4_000)
  expect(plain.stderr).not.toContain('\u001b')
  expect(plain.stderr).not.toMatch(/\n\s+at |node:internal|UNCLASSIFIED/)
  return { status: json.status, code: error.code }
}

const VERSIONS = ['0', '-1', '1e9', '4294967296', '../', '🙂', '', LONG].flatMap((version) => [
  ['keys', 'destroy', '--role', 'enc', '--version', version, '--reason', 'x', '--backups', 'none'],
  ['rekey', '--domain', 'acme', '--from', version],
  ['rewrap', '--domain', 'acme', '--from', version],
])
const NAMES = ['nonesuch', '../', '🙂', STEERING, LONG, ''].flatMap((name) => [
  ['domains', 'show', name],
  ['keys', 'rotate', '--domain', name],
  ['keys', 'list', '--domain', name],
  ['holds', 'place', '--domain', name, '--reason', 'x'],
  ['maintenance', 'run', 'retention', '--domain', name, '--yes'],
  ['rekey', '--domain', name, '--from', '1'],
])
const REASONS = [LONG, '', '  ', 'a\0b'].flatMap((reason) => [
  ['rm', UNKNOWN, '--yes', '--reason', reason],
  ['shred', UNKNOWN, '--reason', reason],
  ['holds', 'place', '--domain', 'acme', '--reason', reason],
  ['holds', 'release', UNKNOWN, '--reason', reason],
  ['keys', 'retire', '--role', 'enc', '--yes', '--reason', reason],
  ['keys', 'rotate', '--domain', 'acme', '--reason', reason],
  ['domains', 'set', 'acme', '--suite', '2', '--reason', reason],
  ['requests', 'cancel', UNKNOWN, '--reason', reason],
  ['doctor', 'pin', 'reset', 'abc', '--reason', reason],
  ['queue', 'pause', '--reason', reason],
  ['dlq', 'discard', '--all', '--reason', reason],
  ['audit', 'adopt', '--reason', reason],
])

describe('arguments', () => {
  matrix(VERSIONS, every(5))('a version that is none: %s %s %s %s %s', async (args) => {
    expect(await refused(args)).toEqual({ status: 2, code: 'USAGE' })
  })

  matrix(NAMES, every(7))('a domain that is not there: %s %s %s', async (args) => {
    expect(await refused(args)).toEqual({ status: 4, code: 'NOT_FOUND' })
  })

  matrix(REASONS, every(7))('a reason that is none: %s %s %s', async (args) => {
    expect(await refused(args)).toEqual({ status: 2, code: 'USAGE' })
  })

  it.each<[line: string, status: number, code: string]>([
    ['domains add default', 2, 'USAGE'],
    [`domains add ${STEERING}`, 2, 'USAGE'],
    ['domains add x --segment 3', 2, 'USAGE'],
    ['domains add x --rotation-days -1', 2, 'USAGE'],
    ['domains add x --retention-days 1e9', 2, 'USAGE'],
    ['domains add x --nonces detached', 2, 'USAGE'],
    ['domains set acme', 2, 'USAGE'],
    ['rekey', 2, 'USAGE'],
    ['rekey --domain acme --from 1 --rate -5', 2, 'USAGE'],
    ['rekey --domain acme --from 1 --rate 0', 2, 'USAGE'],
    ['rekey status ../', 2, 'USAGE'],
    [`rekey status ${UNKNOWN}`, 4, 'NOT_FOUND'],
    ['rewrap --domain acme --rate -1', 2, 'USAGE'],
    ['keys destroy --role audit --version 1 --reason x --backups none', 2, 'USAGE'],
    ['keys destroy --role enc --version 1 --cancel --carry-out', 2, 'USAGE'],
    ['keys destroy --role enc --version 1 --reason x --backups none --wait-days -3', 2, 'USAGE'],
    ['keys destroy --domain acme --role enc --version 9 --reason x --backups none', 4, 'NOT_FOUND'],
    ['keys rotate --domain acme', 5, 'NO_ACTIVE_KEY'],
    ['keys rotate --wait 1e9', 2, 'USAGE'],
    ['holds place --reason x', 2, 'USAGE'],
    ['holds release ../ --reason x', 2, 'USAGE'],
    ['holds place --file ../../etc/passwd --reason x', 4, 'NOT_FOUND'],
    ['rm ../../etc/passwd --reason x --yes', 4, 'NOT_FOUND'],
    [`rm ${UNKNOWN} --reason x`, 4, 'NOT_FOUND'],
    [`shred ${UNKNOWN} --request nope`, 2, 'USAGE'],
    [`shred ${UNKNOWN} --reason x --expires -1d`, 2, 'USAGE'],
    [`shred ${UNKNOWN} --reason x --signatures 1`, 2, 'USAGE'],
    ['operators add eve --public-key /nonesuch', 4, 'INPUT'],
    ['operators add eve --public-key /', 1, 'INPUT'],
    ['operators add eve --public-key a', 2, 'USAGE'],
    ['operators keygen -o a --no-passphrase', 1, 'OUTPUT_EXISTS'],
    ['operators keygen -o /nonesuch/a --no-passphrase', 1, 'OUTPUT_FOLDER'],
    ['requests show ../', 4, 'NOT_FOUND'],
    ['requests sign a --key a --yes', 2, 'USAGE'],
    [`requests approve ${UNKNOWN} --operator ann --signature a`, 2, 'USAGE'],
    ['recover --bucket ../', 2, 'CONFIG_INVALID'],
    ['recover --context-hex zz', 2, 'USAGE'],
    ['audit log --since yesterday', 2, 'USAGE'],
    ['audit verify --expect zz', 2, 'USAGE'],
    ['audit verify --anchor a', 2, 'USAGE'],
    ['audit verify --anchor /', 1, 'INPUT'],
    ['audit verify --anchor /nonesuch/anchor', 1, 'OUTPUT_FOLDER'],
    ['maintenance run scrub --rate 0', 2, 'USAGE'],
    ['list --cursor zz', 2, 'USAGE'],
    ['list --prefix \0', 2, 'USAGE'],
    ['enqueue /nonesuch', 4, 'SOURCE_MISSING'],
    ['queue pause nonesuch', 2, 'USAGE'],
    ['nonesuch', 2, 'USAGE'],
    [LONG, 2, 'USAGE'],
    [STEERING, 2, 'USAGE'],
  ])('%s: %i %s', async (line, status, code) => {
    expect(await refused(line.split(' '))).toEqual({ status, code })
  })
})

describe('what is out of reach', () => {
  const away = {
    Postgres: { SEALFLEET_DATABASE_URL: 'postgresql://a:b@127.0.0.1:1/x' },
    Redis: { SEALFLEET_REDIS_URL: 'redis://127.0.0.1:1' },
    S3: { SEALFLEET_S3_ENDPOINT: 'http://127.0.0.1:1' },
    token: { SEALFLEET_PKCS11_TOKEN: 'nonesuch' },
  } as const

  it.each<[what: keyof typeof away, code: string, lines: readonly string[]]>([
    [
      'Postgres',
      'DB_UNAVAILABLE',
      [
        'status',
        'keys rotate',
        'holds list',
        'queue pause',
        'audit verify',
        'operators list',
        'recover',
        'maintenance run scrub',
      ],
    ],
    ['Redis', 'REDIS_UNAVAILABLE', ['queue pause', 'queue status', 'maintenance run reconcile', 'dlq replay --all']],
    [
      'S3',
      'S3_UNAVAILABLE',
      [
        ...['maintenance run sweep', 'maintenance run sweep --dry-run', 'maintenance run scrub --dry-run'],
        ...['recover', 'maintenance run audit-checkpoint', 'verify --all'],
      ],
    ],
    [
      'token',
      'HSM_UNAVAILABLE',
      ['keys init', 'keys init --dry-run', 'maintenance run scrub', 'audit verify', 'verify --all'],
    ],
  ])('%s: %s, status 6, for anyone who needs it', async (what, code, lines) => {
    for (const line of lines) {
      expect([line, await refused(line.split(' '), { env: away[what] })]).toEqual([line, { status: 6, code }])
    }
  })
})

describe('standard output', () => {
  async function into(fd: number, args: readonly string[]): Promise<Pick<Ran, 'status' | 'stderr'>> {
    const bin = path.resolve(import.meta.dirname, '../bin/sealfleet.mjs')
    const child = spawn(process.execPath, [bin, ...args], {
      env: world.env,
      cwd: world.data,
      stdio: ['ignore', fd, 'pipe'],
    })
    let stderr = ''
    child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const [status] = (await once(child, 'close')) as [number | null]
    return { status, stderr }
  }

  it('that is full is said, and no one takes the end for success', async () => {
    await using full = await open('/dev/full', 'w')
    const { status, stderr } = await into(full.fd, ['domains', 'list'])
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining('OUTPUT_IO: standard output cannot be written to (ENOSPC)'),
    ])
  })

  it('whose reader has gone is no error to tell anybody of', async () => {
    const child = world.start(['domains', 'list', '--json'])
    let stderr = ''
    child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.stdout?.destroy()
    await once(child, 'close')
    expect(stderr).toBe('')
  })
})

it('none of it left anything behind', async () => {
  expect(await readdir(world.data)).toEqual(['a'])
  const rows = (await world.inProcess(['audit', 'log', '--json'])).stdout.toString().trim().split('\n')
  expect(rows.map((row) => (JSON.parse(row) as { action: string }).action)).toEqual(['domains.add'])
})
