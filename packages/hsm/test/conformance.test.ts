import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Writable } from 'node:stream'
import { promisify } from 'node:util'

import { freshToken, tempDir, type FreshToken } from '@sealfleet/testkit'
import { describe, expect, it } from 'vitest'

import { main } from '../src/conformance/main.js'
import { conformance } from '../src/conformance/conformance.js'
import { formatReport } from '../src/conformance/report.js'
import { openKeyAdmin } from '../src/admin/key-admin.js'
import { tokenOptions } from './helpers.js'

const execute = promisify(execFile)

describe('the conformance suite', () => {
  it('passes on SoftHSM, and leaves nothing behind in the token', async () => {
    await using token = await freshToken()
    const report = await conformance(tokenOptions(token), { measureMs: 200 })
    expect(
      report.checks.filter(({ outcome }) => outcome !== 'ok'),
      formatReport(report),
    ).toEqual([])
    expect(report).toMatchObject({ passed: true, usable: { sealing: true, detachedNonces: true, evidence: true } })
    expect(Object.keys(report.rates)).toEqual(['1', '4', '16'])
    expect(new Set(Object.values(report.attributes))).toEqual(new Set(['honoured']))
    expect(report.token.limits).toMatchObject({ minPinLength: 4, hmacKey: { min: 32, max: 512 } })
    await using admin = await openKeyAdmin(tokenOptions(token))
    expect(await admin.list()).toEqual([])
  })

  it('rejects when the token can’t be opened', async () => {
    await using token = await freshToken()
    const absent = conformance(tokenOptions(token, { token: 'nobody' }))
    await expect(absent).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
  })
})

describe('the conformance command', () => {
  async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
    const out: string[] = []
    const err: string[] = []
    const sink = (lines: string[]) => new Writable({ write: (chunk, _e, done) => (lines.push(String(chunk)), done()) })
    return { status: await main(args, sink(out), sink(err)), out: out.join(''), err: err.join('') }
  }

  it('says how it is used when something is missing', async () => {
    for (const [args, missing] of [
      [[], 'missing: --module PATH, --token LABEL, --pin-file PATH'],
      [['--module', '/x'], 'missing: --token LABEL, --pin-file PATH'],
      [['--unknown'], "Unknown option '--unknown'"],
    ] as const) {
      const { status, out, err } = await run(...args)
      expect({ status, out }).toEqual({ status: 2, out: '' })
      expect(err).toMatch(/^usage: /m)
      expect(err.startsWith(missing)).toBe(true)
    }
  })

  it('explains itself when asked', async () => {
    for (const flag of ['--help', '-h']) {
      const { status, out, err } = await run(flag)
      expect({ status, err }).toEqual({ status: 0, err: '' })
      for (const word of ['usage: npm run', 'destroys them again', '--json', 'Exit status: 0'])
        expect(out).toContain(word)
    }
  })

  it('prints one JSON document when asked', { tags: ['long'] }, async () => {
    await using token = await freshToken()
    const where = ['--module', token.module, '--token', token.label, '--pin-file', token.pinFile]
    const args = ['packages/hsm/dist/conformance/cli.js', ...where, '--json']
    const { stdout } = await execute(process.execPath, args, { env: { ...process.env, ...token.env } })
    const report = JSON.parse(stdout) as Awaited<ReturnType<typeof conformance>>
    expect(report).toMatchObject({ passed: true, usable: { sealing: true }, attributes: { EXTRACTABLE: 'honoured' } })
    expect(Object.keys(report.rates)).toEqual(['1', '4', '16'])
  })

  it.each([
    ['a wrong PIN', 'HSM_ACCESS_DENIED', 'PIN', (t: FreshToken) => ({ pinFile: path.join(t.dir, 'wrong-pin') })],
    ['a token that is not there', 'HSM_UNAVAILABLE', 'label', () => ({ label: 'nobody' })],
  ])('says what to do about %s', async (_what, code, hint, change) => {
    await using token = await freshToken()
    await writeFile(path.join(token.dir, 'wrong-pin'), '00000000', { mode: 0o600 })
    const { module, label, pinFile } = { ...token, ...change(token) }
    const args = ['packages/hsm/dist/conformance/cli.js', '--module', module, '--token', label, '--pin-file', pinFile]
    const failed = execute(process.execPath, args, { env: { ...process.env, ...token.env } })
    await expect(failed).rejects.toMatchObject({ code: 6, stdout: '' })
    await expect(failed).rejects.toMatchObject({ stderr: expect.stringMatching(`^${code}: `) as string })
    await expect(failed).rejects.toMatchObject({ stderr: expect.stringContaining(hint) as string })
  })

  it('prints mechanisms, limits, attributes, operations a second and what can be used, by `npm run hsm:conformance`', async () => {
    await using token = await freshToken()
    const scripts = (JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> }).scripts
    const [node, cli = ''] = scripts['hsm:conformance']?.split(' ') ?? []
    expect(node).toBe('node')
    const args = [cli, '--module', token.module, '--token', token.label, '--pin-file', token.pinFile]
    const { stdout } = await execute(process.execPath, args, { env: { ...process.env, ...token.env } })
    expect(stdout).toMatch(/^SoftHSM project SoftHSM v2, firmware [\d.]+, serial [0-9a-f]+, label test-/)
    for (const line of [
      'profile: SoftHSM 2',
      'limits: sessions without a stated limit',
      /^mechanisms \(\d+\):$/m,
      /\bSHA256_HMAC\b/,
      'attributes honoured:\n',
      /^ +\d+ HMAC\/s with 16 callers$/m,
      'usable: sealing yes, detached nonces yes, evidence yes\npassed\n',
    ]) {
      if (typeof line === 'string') expect(stdout).toContain(line)
      else expect(stdout).toMatch(line)
    }
  })

  it('names what is wrong and what to do when the token can’t be opened', async () => {
    await using dir = await tempDir()
    const pin = path.join(dir.path, 'pin')
    await writeFile(pin, '1234', { mode: 0o600 })
    const outcome = await run('--module', '/nonexistent.so', '--token', 't', '--pin-file', pin)
    expect(outcome).toMatchObject({ status: 6, err: expect.stringContaining('HSM_ACCESS_DENIED') as string })
    expect(outcome.err).toContain('SEALFLEET_PKCS11_MODULE')
  })
})
