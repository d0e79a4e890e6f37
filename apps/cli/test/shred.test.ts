import { listAudit } from '@sealfleet/records/audit'
import { openRecords } from '@sealfleet/records'
import { execFileSync } from 'node:child_process'
import { readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Reply {
  readonly shredded: boolean
  readonly request: { readonly id: string; readonly missing: number } | null
  readonly error?: { readonly code: string; readonly message: string }
}

let world: World
let inline = ''
let detached = ''
beforeAll(async () => {
  world = await createWorld()
  await world.sealfleet(['keys', 'init'])
  await world.sealfleet(['domains', 'add', 'apart', '--nonces', 'detached', '--accept-loss-with-database'])
  await world.sealfleet(['keys', 'init', '--domain', 'apart'])
  for (const name of ['ann', 'bob']) {
    execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', `${name}.pem`], {
      cwd: world.data,
      stdio: 'pipe',
    })
    execFileSync('openssl', ['pkey', '-in', `${name}.pem`, '-pubout', '-out', `${name}.pub`], {
      cwd: world.data,
      stdio: 'pipe',
    })
    expect((await world.inProcess(['operators', 'add', name, '--public-key', `${name}.pub`])).status).toBe(0)
  }
  await using _worker = await world.worker()
  inline = await sealed('one', 'default')
  detached = await sealed('two', 'apart')
})
afterAll(() => world[Symbol.asyncDispose]())

async function sealed(name: string, domain: string): Promise<string> {
  await writeFile(path.join(world.data, name), name)
  const ran = await world.sealfleet(['enqueue', name, '--wait', '--domain', domain, '--json'])
  return ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? ''
}

const json = async (...args: readonly string[]): Promise<Reply> =>
  (await world.inProcess([...args, '--json'])).json<Reply>()

describe('sealfleet shred', () => {
  it('refuses a file whose object holds its nonces, and says why', async () => {
    const { error } = await json('shred', inline, '--reason', 'asked to')
    expect(error).toMatchObject({
      code: 'BAD_STATE',
      message: expect.stringMatching(/header of its object/) as unknown,
    })
    expect((await world.inProcess(['restore', inline, '-o', path.join(world.dir, 'inline')])).status).toBe(0)
  })

  it('makes a request, and with two signatures a file that no one opens again', async () => {
    expect((await world.inProcess(['shred', detached])).status).toBe(2)
    const shred = ['shred', detached, '--reason', 'asked to']
    expect(await json(...shred, '--dry-run')).toMatchObject({ request: null, shredded: false })
    const id = (await json(...shred)).request?.id ?? ''
    expect((await json('shred', detached, '--request', id)).error?.code).toBe('REQUEST_UNSIGNED')
    await world.inProcess(['requests', 'show', id, '--body', 'r.bin'])
    for (const name of ['ann', 'bob']) {
      const sign = ['requests', 'sign', 'r.bin', '--key', `${name}.pem`, '-o', `${name}.sig`, '--yes']
      expect((await world.inProcess(sign)).stderr).toMatch(new RegExp(`SHRED the file ${detached}[^]*source +data:two`))
      const approve = ['requests', 'approve', id, '--operator', name, '--signature', `${name}.sig`]
      expect((await world.inProcess(approve)).status).toBe(0)
    }
    expect(await json('shred', detached, '--request', id, '--dry-run')).toMatchObject({ shredded: false })
    expect((await world.inProcess(['restore', detached, '-o', path.join(world.dir, 'still')])).status).toBe(0)
    expect(await json('shred', detached, '--request', id)).toMatchObject({ shredded: true })

    const gone = await world.inProcess(['restore', detached, '-o', path.join(world.dir, 'gone'), '--json'])
    expect([gone.status, gone.json<Reply>().error?.code]).toEqual([4, 'FILE_NOT_STORED'])
    expect(await readdir(world.dir)).not.toContain('gone')
    expect((await json('shred', detached, '--request', id)).error?.code).toBe('BAD_STATE')
    await using records = await openRecords(world.databaseUrl)
    const audit = await listAudit(records, { subjectKind: 'file', subjectId: detached })
    expect(audit.at(-1)).toMatchObject({ action: 'files.shred', actor: 'cli:tester', detail: { request: id } })
  })
})
