import { listAudit } from '@sealfleet/records/audit'
import { openRecords } from '@sealfleet/records'
import { execFileSync } from 'node:child_process'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Io } from '../src/io.js'
import { askSecret, quietTerminal } from '../src/commands/operators/terminal.js'
import { onTerminal } from './support/terminal.js'
import { createWorld, type World } from './support/world.js'

interface Reply {
  readonly operator: { readonly id: string; readonly name: string; readonly role: string } | null
  readonly request: { readonly id: string; readonly state: string; readonly missing: number } | null
}
interface Failed {
  readonly error: { readonly code: string; readonly message: string; readonly fix?: string }
}

let world: World
beforeAll(async () => {
  world = await createWorld()
  for (const name of ['ann', 'bob', 'cyd', 'dan']) await keyPair(name)
  for (const name of ['ann', 'bob'])
    expect((await cli('operators', 'add', name, '--public-key', `${name}.pub`)).status).toBe(0)
})
afterAll(() => world[Symbol.asyncDispose]())

const cli = (...args: readonly string[]) => world.inProcess([...args])
const json = async <T = Reply>(...args: readonly string[]): Promise<T> => (await cli(...args, '--json')).json<T>()
const code = async (...args: readonly string[]): Promise<string> => (await json<Failed>(...args)).error.code
const at = (name: string): string => path.join(world.data, name)

/** Made by openssl alone, as an operator does who trusts no program of ours. */
async function keyPair(name: string): Promise<void> {
  openssl('genpkey', '-algorithm', 'ed25519', '-out', `${name}.pem`)
  openssl('pkey', '-in', `${name}.pem`, '-pubout', '-out', `${name}.pub`)
  expect((await stat(at(`${name}.pub`))).size).toBeGreaterThan(0)
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: world.data, stdio: 'pipe' })
}

/** Signs a request by openssl alone and hands it in. */
async function approve(id: string, name: string): Promise<number | null> {
  const file = `${id}-${name}`
  expect((await cli('requests', 'show', id, '--body', `${file}.bin`)).status).toBe(0)
  openssl('pkeyutl', '-sign', '-rawin', '-inkey', `${name}.pem`, '-in', `${file}.bin`, '-out', `${file}.sig`)
  return (await cli('requests', 'approve', id, '--operator', name, '--signature', `${file}.sig`)).status
}

describe('sealfleet operators', () => {
  it('enrols two officers freely, and everybody else by a request that both have signed', async () => {
    const add = ['operators', 'add', 'cyd', '--public-key', 'cyd.pub']
    const dry = await json(...add, '--dry-run')
    expect(dry).toMatchObject({ operator: null, request: null })
    const asked = await json(...add)
    expect(asked).toMatchObject({ operator: null, request: { state: 'OPEN', missing: 2 } })
    const id = asked.request?.id ?? ''
    expect((await json(...add)).request?.id).toBe(id)
    expect(await code(...add, '--request', id)).toBe('REQUEST_UNSIGNED')

    expect(await approve(id, 'ann')).toBe(0)
    expect(await code('requests', 'approve', id, '--operator', 'bob', '--signature', `${id}-ann.sig`)).toBe(
      'SIGNATURE_INVALID',
    )
    expect(await code('requests', 'approve', id, '--operator', 'ann', '--signature', `${id}-ann.sig`)).toBe(
      'OPERATOR_TWICE',
    )
    expect(await code(...add, '--request', id)).toBe('REQUEST_UNSIGNED')
    expect(await approve(id, 'bob')).toBe(0)
    expect(await code('operators', 'add', 'cyd', '--public-key', 'dan.pub', '--request', id)).toBe('REQUEST_MISMATCH')
    expect(await code(...add, '--role', 'auditor', '--request', id)).toBe('REQUEST_MISMATCH')
    expect((await json(...add, '--request', id, '--dry-run')).operator).toMatchObject({ name: 'cyd' })
    expect((await json(...add, '--request', id)).operator).toMatchObject({ name: 'cyd', role: 'officer' })
    expect(await code('operators', 'add', 'dan', '--public-key', 'dan.pub', '--request', id)).toBe('REQUEST_MISMATCH')

    await using records = await openRecords(world.databaseUrl)
    const audit = await listAudit(records, { subjectKind: 'request', subjectId: id })
    expect(audit.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      'cli:tester requests.create',
      'cli:tester requests.approve',
      'cli:tester requests.approve',
      'cli:tester requests.use',
    ])
    const { operators } = await json<{ operators: { name: string; requestId: string | null }[] }>('operators', 'list')
    expect(operators.map(({ name, requestId }) => [name, requestId])).toEqual([
      ['ann', null],
      ['bob', null],
      ['cyd', id],
    ])
    expect((await cli('operators', 'list')).stdout.toString()).toContain('cyd')
  })

  it('revokes by two signatures, for the reason that was signed, and never the last two', async () => {
    const revoke = ['operators', 'revoke', 'cyd']
    expect((await cli(...revoke)).status).toBe(2)
    const id = (await json(...revoke, '--reason', 'has left')).request?.id ?? ''
    expect((await cli('requests', 'show', id)).stdout.toString()).toMatch(/REVOKE the operator cyd[^]*reason +has left/)
    for (const name of ['ann', 'bob']) await approve(id, name)
    expect(await code(...revoke, '--reason', 'another', '--request', id)).toBe('REQUEST_MISMATCH')
    expect((await cli(...revoke, '--request', id)).status).toBe(0)
    expect(await code(...revoke, '--request', id)).toBe('OPERATOR_REVOKED')
    expect(await code('operators', 'revoke', 'bob', '--reason', 'tired')).toBe('OPERATOR_NEEDED')
    expect((await cli('operators', 'revoke', 'nobody', '--reason', 'x')).status).toBe(4)
    const open = (await json('operators', 'add', 'dan', '--public-key', 'dan.pub')).request?.id ?? ''
    expect((await cli('requests', 'show', open, '--body', 'late.bin')).status).toBe(0)
    openssl('pkeyutl', '-sign', '-rawin', '-inkey', 'cyd.pem', '-in', 'late.bin', '-out', 'late.sig')
    expect(await code('requests', 'approve', open, '--operator', 'cyd', '--signature', 'late.sig')).toBe(
      'OPERATOR_REVOKED',
    )
  })

  it.each([
    ['a private key', 'ann.pem', /PRIVATE key/],
    ['an RSA key', 'rsa.pub', /not Ed25519/],
    ['something else', 'text', /no Ed25519 public key/],
    ['a key of small order', 'small', /large order/],
    ['31 bytes', 'short', /no Ed25519 public key/],
  ])('takes no operator by %s', async (_what, file, message) => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    await writeFile(at('rsa.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
    await writeFile(at('text'), 'hello')
    await writeFile(at('small'), '00'.repeat(32))
    await writeFile(at('short'), '11'.repeat(31))
    const ran = await cli('operators', 'add', 'eve', '--public-key', file)
    expect([ran.status, ran.stderr]).toEqual([2, expect.stringMatching(message) as unknown])
  })

  it('takes a public key as PEM, base64 or hexadecimal: the same key', async () => {
    const raw = createPublicKey(await readFile(at('ann.pub')))
      .export({ type: 'spki', format: 'der' })
      .subarray(12)
    for (const text of [raw.toString('hex'), `${raw.toString('base64')}\n`, raw.toString('base64url')]) {
      await writeFile(at('again'), text)
      const { error } = await json<Failed>(
        'operators',
        'add',
        'ann2',
        '--public-key',
        'again',
        '--request',
        '0'.repeat(36),
      )
      expect(error.message).toContain('is ann’s')
    }
  })
})

describe('sealfleet operators keygen', () => {
  it('makes a key that openssl reads, mode 0600, without any settings, and never replaces one', async () => {
    await writeFile(at('pass'), 'correct horse battery\n')
    const bare = {
      env: Object.fromEntries(
        Object.keys(world.env)
          .filter((n) => n.startsWith('SEALFLEET_'))
          .map((n) => [n, undefined]),
      ),
    }
    const keygen = ['operators', 'keygen', '-o', 'eve.pem', '--passphrase-file', 'pass']
    expect((await world.inProcess([...keygen, '--dry-run'], bare)).status).toBe(0)
    await expect(stat(at('eve.pem'))).rejects.toThrow('ENOENT')
    const ran = await world.inProcess(keygen, bare)
    expect(ran.status, ran.stderr).toBe(0)
    expect((await stat(at('eve.pem'))).mode & 0o777).toBe(0o600)
    openssl('pkey', '-in', 'eve.pem', '-passin', 'file:pass', '-pubout', '-out', 'eve.pub')
    expect(await readFile(at('eve.pub'), 'utf8')).toBe(ran.stdout.toString())
    expect(() => openssl('pkey', '-in', 'eve.pem', '-passin', 'pass:wrong', '-noout')).toThrow()
    const before = await readFile(at('eve.pem'))
    const again = await world.inProcess([...keygen, '--json'], bare)
    expect([again.status, again.json<Failed>().error.code]).toEqual([1, 'OUTPUT_EXISTS'])
    expect(await readFile(at('eve.pem'))).toEqual(before)
  })

  it('wants a passphrase of some length, and a terminal to ask on', async () => {
    await writeFile(at('weak'), 'sesame')
    expect((await cli('operators', 'keygen', '-o', 'weak.pem', '--passphrase-file', 'weak')).status).toBe(2)
    expect((await cli('operators', 'keygen', '-o', 'weak.pem')).status).toBe(2)
    await expect(stat(at('weak.pem'))).rejects.toThrow('ENOENT')
    expect(
      (await json<{ encrypted: boolean }>('operators', 'keygen', '-o', 'plain.pem', '--no-passphrase')).encrypted,
    ).toBe(false)
    openssl('pkey', '-in', 'plain.pem', '-noout')
  })

  it('asks for the passphrase twice on a terminal, and never shows it', async () => {
    const shown = await onTerminal(world, 'operators keygen -o tty.pem', [
      [/new key: $/, 'correct horse battery\r'],
      [/once more: $/, 'correct horse batterX\x7fy\r'],
    ])
    expect(shown).toMatch(/BEGIN PUBLIC KEY/)
    expect(shown).not.toContain('horse')
    openssl('pkey', '-in', 'tty.pem', '-passin', 'pass:correct horse battery', '-noout')
  })
})

describe('a passphrase on a terminal', () => {
  it('that is pasted at once for both questions is taken for both, and never shown', async () => {
    const shown = await onTerminal(world, 'operators keygen -o pasted.pem', [
      [/new key: $/, 'correct horse battery\rcorrect horse battery\r'],
    ])
    expect(shown).toMatch(/once more: [^]*BEGIN PUBLIC KEY/)
    expect(shown).not.toContain('horse')
    openssl('pkey', '-in', 'pasted.pem', '-passin', 'pass:correct horse battery', '-noout')
  })

  it('is not shown when Ctrl-C ends the question, and the terminal shows again what is typed', async () => {
    const keygen = 'operators keygen -o early.pem'
    const shown = await onTerminal(world, keygen, [[/new key: $/, 'horse\x03']], { after: 'stty -a' })
    expect(shown).not.toContain('horse')
    expect(shown).toMatch(/ echo /)
    expect(shown).not.toMatch(/-echo /)
    await expect(stat(at('early.pem'))).rejects.toThrow('ENOENT')
  })

  it('is not shown by the terminal from the first prompt to the end of the verb: the echo is off once and on once', async () => {
    const modes: boolean[] = []
    const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (on: boolean) => modes.push(on) })
    const io = { stdin, stderr: new PassThrough(), signal: new AbortController().signal } as unknown as Io
    {
      using _quiet = quietTerminal(io)
      expect(modes).toEqual([true])
      stdin.write('one\rtwo\r\nthree')
      expect(String(await askSecret(io, 'first: '))).toBe('one')
      expect(String(await askSecret(io, 'second: '))).toBe('two')
      const third = askSecret(io, 'third: ')
      stdin.write('\r')
      expect(String(await third)).toBe('three')
      expect(modes).toEqual([true])
    }
    expect(modes).toEqual([true, false])
  })
})

describe('sealfleet requests', () => {
  it('are signed offline, after they were shown in plain words, and verify for openssl too', async () => {
    const id = (await json('operators', 'add', 'fay', '--public-key', 'dan.pub')).request?.id ?? ''
    await cli('requests', 'show', id, '--body', 'fay.bin')
    const bare = {
      env: Object.fromEntries(
        Object.keys(world.env)
          .filter((n) => n.startsWith('SEALFLEET_'))
          .map((n) => [n, undefined]),
      ),
    }
    const sign = ['requests', 'sign', 'fay.bin', '--key', 'ann.pem']
    expect((await world.inProcess(sign, bare)).status).toBe(2)
    expect((await world.inProcess([...sign, '--dry-run'], bare)).status).toBe(0)
    await expect(stat(at('fay.bin.sig'))).rejects.toThrow('ENOENT')
    const ran = await world.inProcess([...sign, '--yes'], bare)
    expect(ran.status, ran.stderr).toBe(0)
    expect(ran.stderr).toMatch(
      /ENROL fay as officer[^]*publicKey +[0-9a-f]{64}[^]*role +officer[^]*needs +2 signatures/,
    )
    openssl('pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', 'ann.pub', '-in', 'fay.bin', '-sigfile', 'fay.bin.sig')
    expect(
      (await cli('requests', 'approve', id, '--operator', 'ann', '--signature', 'fay.bin.sig', '--dry-run')).status,
    ).toBe(0)
    expect((await cli('requests', 'approve', id, '--operator', 'ann', '--signature', 'fay.bin.sig')).status).toBe(0)
    expect((await world.inProcess([...sign, '--yes'], bare)).status).toBe(1)
  })

  it('are signed on a terminal by who types yes, and by no one else; the key’s passphrase is asked for', async () => {
    await writeFile(at('pw'), 'correct horse battery')
    await cli('operators', 'keygen', '-o', 'gus.pem', '--passphrase-file', 'pw')
    const id = (await json('operators', 'add', 'gus', '--public-key', 'dan.pub')).request?.id ?? ''
    await cli('requests', 'show', id, '--body', 'gus.bin')
    const no = await onTerminal(world, 'requests sign gus.bin --key gus.pem', [[/to continue: $/, 'y\r']])
    expect(no).toContain('the answer was not yes')
    await expect(stat(at('gus.bin.sig'))).rejects.toThrow('ENOENT')
    const wrong = await onTerminal(world, 'requests sign gus.bin --key gus.pem', [
      [/to continue: $/, 'yes\r'],
      [/passphrase of .*: $/, 'something else\r'],
    ])
    expect(wrong).toContain('does not open')
    const yes = await onTerminal(world, 'requests sign gus.bin --key gus.pem', [
      [/to continue: $/, 'yes\r'],
      [/passphrase of .*: $/, 'correct horse battery\r'],
    ])
    expect(yes).toContain('signed:')
    expect((await stat(at('gus.bin.sig'))).size).toBe(64)
  })

  it('that are no requests are not signed, anyone who asks', async () => {
    await writeFile(at('not.bin'), 'SFV1/op-request\0{"v":1}')
    expect((await cli('requests', 'sign', 'not.bin', '--key', 'ann.pem', '--yes')).status).toBe(2)
    await writeFile(at('not.bin'), 'pay 100')
    expect((await cli('requests', 'sign', 'not.bin', '--key', 'ann.pem', '--yes')).status).toBe(2)
    expect((await cli('requests', 'sign', 'nowhere', '--key', 'ann.pem', '--yes')).status).toBe(4)
  })

  it('are listed, cancelled with a reason, and then good for nothing', async () => {
    const id = (await json('operators', 'add', 'hal', '--public-key', 'dan.pub')).request?.id ?? ''
    const open = await json<{ requests: { id: string; missing: number }[] }>('requests', 'list', '--state', 'OPEN')
    expect(open.requests).toContainEqual(expect.objectContaining({ id, missing: 2 }))
    expect((await cli('requests', 'cancel', id, '--reason', ' ')).status).toBe(2)
    expect((await json('requests', 'cancel', id, '--reason', 'a mistake', '--dry-run')).request?.state).toBe(
      'CANCELLED',
    )
    expect((await json<Reply>('requests', 'show', id)).request?.state).toBe('OPEN')
    expect((await cli('requests', 'cancel', id, '--reason', 'a mistake')).status).toBe(0)
    expect(await approve(id, 'ann')).toBe(1)
    expect(await code('operators', 'add', 'hal', '--public-key', 'dan.pub', '--request', id)).toBe('REQUEST_CANCELLED')
    expect((await cli('requests', 'list')).stdout.toString()).toContain('CANCELLED')
    for (const unknown of ['no-id', '00000000-0000-4000-8000-000000000000'])
      expect((await cli('requests', 'show', unknown)).status).toBe(4)
  })
})
