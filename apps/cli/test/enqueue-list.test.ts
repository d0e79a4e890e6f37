import { batchProgress } from '@sealfleet/records/files'
import { openRecords, type Records } from '@sealfleet/records'
import { startTcpGate } from '@sealfleet/testkit'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { freePort } from '../../../tools/lib/ports.mjs'
import { Interrupted } from '../src/abort.js'
import { run } from '../src/program.js'
import { createWorld, type World } from './support/world.js'

let world: World
let records: Records
beforeAll(async () => {
  world = await createWorld()
  expect((await world.sealfleet(['keys', 'init'])).status).toBe(0)
  records = await openRecords(world.databaseUrl)
})
afterAll(async () => {
  await records.close()
  await world[Symbol.asyncDispose]()
})

/** A command in this process that is still running, with a list that is written to it. */
function started(args: readonly string[], o: { env?: Readonly<Record<string, string>> } = {}) {
  const list = new PassThrough()
  const abort = new AbortController()
  const said = { out: '', err: '' }
  const sink = (name: keyof typeof said): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        said[name] += chunk.toString()
        done()
      },
    })
  const status = run(args, {
    stdin: list,
    stdout: sink('out'),
    stderr: sink('err'),
    env: { ...world.env, ...o.env },
    cwd: world.data,
    user: 'tester',
    signal: abort.signal,
  })
  return { list, said, status, stop: () => abort.abort(new Interrupted('SIGINT')) }
}

const until = (check: () => unknown) => vi.waitFor(check, { timeout: 60_000, interval: 20 })
const acceptedOf = async (batch: string) => (await batchProgress(records, batch))?.accepted ?? 0
const linesOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

async function files(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await mkdir(path.dirname(path.join(world.data, name)), { recursive: true })
    await writeFile(path.join(world.data, name), name)
  }
}

describe('enqueue -', () => {
  it('names its batch, accepts what has come while the list goes on, and tells what of it is no file', async () => {
    await files('s/a', 's/b', 's/c', 's/folder/d')
    const { list, said, status } = started(['enqueue', '-', '-0'])
    await until(() => expect(said.err).toMatch(/^batch [0-9a-f-]{36}: /m))
    const [, batch = ''] = /^batch ([0-9a-f-]{36})/m.exec(said.err) ?? []
    list.write('s/a\0s/b\0')
    await until(async () => expect(await acceptedOf(batch)).toBe(2))
    list.write(Buffer.from('s/gone\0s/bad\xff\0s/folder\0s/a\0', 'latin1'))
    list.end('s/c')
    expect(await status, said.err).toBe(1)
    expect(await acceptedOf(batch)).toBe(4)
    expect(said.out).toMatch(/5 files, .*4 queued, 1 already-queued, 2 entries of the list not enqueued/)
    expect(said.err).toMatch(/SOURCE_MISSING: s\/gone does not exist/)
    expect(said.err).toMatch(/SOURCE_NAME: s\/bad/)
    expect(said.err).toContain(`follow them: sealfleet status --batch ${batch} --wait`)
  })

  it('--json: a line for each file, and the summary at the end; --skip-bad-names makes them no failure', async () => {
    await files('j/a', 'j/b')
    const { list, said, status } = started(['enqueue', '-', '--json', '--skip-bad-names', '--batch', 'list of J'])
    list.write('j/a\n')
    await until(() => expect(said.out).toContain('"relativePath":"j/a"'))
    list.end(Buffer.from('j/\xff\nj/b\n', 'latin1'))
    expect(await status).toBe(0)
    const lines = linesOf(said.out)
    expect(lines[0]).toEqual({ batchId: expect.stringMatching(/^[0-9a-f-]{36}$/) as string })
    expect(lines.at(-1)).toMatchObject({ summary: { files: 2, byOutcome: { queued: 2 }, refused: 0, skipped: 1 } })
    const shown = await world.sealfleet(['status', '--batch', 'list of J', '--json'])
    expect(shown.json<{ accepted: number }>().accepted).toBe(2)
  })

  it('--dry-run says the same and accepts nothing; an empty list is none', async () => {
    await files('d/a')
    const dry = started(['enqueue', '-', '--dry-run', '--json'])
    dry.list.end('d/a\nd/none\n')
    expect(await dry.status).toBe(4)
    expect(linesOf(dry.said.out).at(-1)).toMatchObject({
      dryRun: true,
      summary: { files: 1, byOutcome: { 'would be enqueued': 1 }, refused: 1 },
    })
    const listed = await world.sealfleet(['list', '--prefix', 'data:d/', '--json'])
    expect(listed.stdout.toString()).not.toContain('d/a')
    const empty = started(['enqueue', '-', '--json'])
    empty.list.end('\n')
    expect(await empty.status).toBe(4)
    expect(empty.said.out).toContain('SOURCE_MISSING')
  })

  it('is stopped while the list is open, and says how it goes on', async () => {
    await files('k/a')
    const { list, said, status, stop } = started(['enqueue', '-'])
    list.write('k/a\n')
    await until(() => expect(said.err).toMatch(/^batch /m))
    const [, batch = ''] = /^batch ([0-9a-f-]{36})/m.exec(said.err) ?? []
    await until(async () => expect(await acceptedOf(batch)).toBe(1))
    stop()
    expect(await status).toBe(1)
    expect(said.err).toMatch(new RegExp(`CANCELLED: .*\\n  fix: .*--batch ${batch}, adds the rest`))
  })
})

describe('status --batch --wait', () => {
  it('sits out an outage of Postgres and says so, is stopped with how to go on, and ends as the files do', async () => {
    await files('w/a', 'w/b', 'w/c')
    const enqueued = await world.sealfleet(['enqueue', 'w/a', 'w/b', 'w/c', '--batch', 'W', '--json'])
    expect(enqueued.status).toBe(0)
    const stopped = started(['status', '--batch', 'W', '--wait'])
    await until(() => expect(stopped.said.err).toContain('no worker is running; waiting'))
    stopped.stop()
    expect(await stopped.status).toBe(1)
    expect(stopped.said.err).toContain('to wait again: sealfleet status --batch W --wait')

    await using gate = await startTcpGate(world.databaseUrl, await freePort())
    const waiting = started(['status', '--batch', 'W', '--wait', '--utc'], {
      env: { SEALFLEET_DATABASE_URL: gate.url },
    })
    await until(() => expect(waiting.said.err).toContain('no worker is running; waiting'))
    await gate.shut()
    await until(() => expect(waiting.said.err).toContain('Postgres does not answer this command; the wait continues'))
    await gate.open()
    await until(() => expect(waiting.said.err).toMatch(/over after .*Postgres does not answer/))
    {
      await using _worker = await world.worker()
      expect(await waiting.status, waiting.said.err).toBe(0)
    }
    expect(waiting.said.out).toMatch(/files +3 of 3 announced, 3 finished|files +3, 3 finished/)
    expect((await world.sealfleet(['status', '--wait'])).status).toBe(2)
    expect((await world.sealfleet(['status', '--batch', 'no such', '--wait'])).status).toBe(4)
  })

  it('has the exit status of the code that its dead files share', async () => {
    await files('x/a', 'x/b')
    expect((await world.sealfleet(['enqueue', 'x/a', 'x/b', '--batch', 'X'])).status).toBe(0)
    await rm(path.join(world.data, 'x'), { recursive: true })
    await using _worker = await world.worker()
    const ended = await world.sealfleet(['status', '--batch', 'X', '--wait', '--json'])
    expect([ended.status, ended.json<{ deadByCode: unknown }>().deadByCode]).toEqual([4, { SOURCE_MISSING: 2 }])
  })

  it('enqueue - --wait waits for the whole list, files of another command included', async () => {
    await files('y/a', 'y/b')
    expect((await world.sealfleet(['enqueue', 'y/a'])).status).toBe(0)
    await using _worker = await world.worker()
    const { list, said, status } = started(['enqueue', '-', '--wait', '--json'])
    list.end('y/a\ny/b\n')
    expect(await status, said.err).toBe(0)
    expect(linesOf(said.out).at(-1)).toMatchObject({ batch: { byState: { STORED: 1 } }, summary: { files: 2 } })
    const listed = (await world.sealfleet(['list', '--prefix', 'data:y/', '--json'])).stdout.toString()
    expect(listed.match(/"STORED"/g)).toHaveLength(2)
  })
})
