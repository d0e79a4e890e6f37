import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { trustFault } from '../src/file-trust.js'
import { loadConfig } from '../src/load.js'
import { ConfigError } from '../src/problem.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealfleet-trust-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, content: string, mode: number): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

function faultsOf(env: Record<string, string>, configFile?: string): readonly string[] {
  try {
    loadConfig(env, { needs: ['redis'], configFile })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ fault }) => fault)
  }
}

const MINE = 1000
const OTHER = 1001
const READ = 'can be read by others'
const WRITTEN = 'can be written by others'

// By numbers: a test can't give files to other users, and may run as root itself.
test.each([
  ['mine, closed', 'secret', MINE, 0o600, undefined],
  ['mine, read-only', 'secret', MINE, 0o400, undefined],
  ['mine, for its group', 'secret', MINE, 0o640, READ],
  ['mine, for all', 'secret', MINE, 0o604, READ],
  ['mine, for its group to write', 'secret', MINE, 0o620, WRITTEN],
  ['mine, for all to write', 'secret', MINE, 0o602, WRITTEN],
  ['root’s, closed', 'secret', 0, 0o400, undefined],
  ['root’s, for its group', 'secret', 0, 0o640, undefined],
  ['root’s, for all', 'secret', 0, 0o644, READ],
  ['root’s, for its group to write', 'secret', 0, 0o660, WRITTEN],
  ['of another', 'secret', OTHER, 0o600, 'belongs to another user (uid 1001)'],
  ['a certificate for all', 'public', MINE, 0o644, undefined],
  ['a certificate for all to write', 'public', MINE, 0o666, WRITTEN],
  ['a certificate of another', 'public', OTHER, 0o644, 'belongs to another user'],
] as const)('a file that is %s (%s, uid %i, mode %o): %s', (_, content, uid, mode, fault) => {
  vi.spyOn(process, 'getuid').mockReturnValue(MINE)
  const found = trustFault(file('ownership', 'x', 0o600), { uid, mode }, content)
  expect(found ?? 'fine').toContain(fault ?? 'fine')
})

describe('the files of a configuration', () => {
  const URL = 'redis://127.0.0.1\n'

  test('a secret that others can read or write is refused, with the command that closes it', () => {
    for (const [mode, fault] of [
      [0o644, READ],
      [0o666, WRITTEN],
    ] as const) {
      const path = file('url', URL, mode)
      const [found] = faultsOf({ SEALFLEET_REDIS_URL_FILE: path })
      expect(found).toContain(fault)
      expect(found).toContain(`chmod 600 ${path}`)
    }
  })

  test('a configuration file that others can read is refused before a line of it counts', () => {
    const path = file('env', 'nonsense', 0o644)
    expect(faultsOf({ SEALFLEET_REDIS_URL: URL.trim() }, path)).toEqual([expect.stringContaining(READ)])
  })

  test('a folder that a container mounts may be named: readable then, writable never', () => {
    mkdirSync(join(folder, 'mounted'))
    const env = (mode: number) => ({
      SEALFLEET_SECRET_FOLDERS: join(folder, 'mounted'),
      SEALFLEET_REDIS_URL_FILE: file('mounted/url', URL, mode),
    })
    expect(faultsOf(env(0o444))).toEqual([])
    expect(faultsOf(env(0o666))).toEqual([expect.stringContaining(WRITTEN)])
    const away = join(folder, 'mounted', '..', 'url')
    chmodSync(away, 0o644)
    expect(faultsOf({ ...env(0o444), SEALFLEET_REDIS_URL_FILE: away })).toEqual([expect.stringContaining(READ)])
  })

  test('a closed file in a folder where others can exchange it is refused, through a link as well', () => {
    mkdirSync(join(folder, 'open'))
    const path = file('open/url', URL, 0o600)
    const link = join(folder, 'link')
    symlinkSync(path, link)
    chmodSync(join(folder, 'open'), 0o777)
    const fault = `lies in a folder that others can write to; run: chmod go-w ${join(folder, 'open')}`
    expect(faultsOf({ SEALFLEET_REDIS_URL_FILE: path })).toEqual([expect.stringContaining(fault)])
    expect(faultsOf({ SEALFLEET_REDIS_URL_FILE: link })).toEqual([expect.stringContaining(fault)])
    chmodSync(join(folder, 'open'), 0o1777)
    expect(faultsOf({ SEALFLEET_REDIS_URL_FILE: link })).toEqual([])
  })

  test('names in a configuration file that only the real environment could set are told', () => {
    const lines = 'NODE_EXTRA_CA_CERTS=/ca.pem\nPGSSLMODE=require\nVENDOR_CONF=/x\n'
    const configFile = file('names', lines, 0o600)
    const { warnings } = loadConfig({ SEALFLEET_REDIS_URL: URL.trim() }, { needs: ['redis'], configFile })
    expect(warnings).toEqual([
      expect.stringMatching(/^NODE_EXTRA_CA_CERTS in .* has no effect: use .*SEALFLEET_REDIS_TLS_CA_FILE/),
      expect.stringMatching(/^PGSSLMODE in .* has no effect/),
    ])
  })
})
