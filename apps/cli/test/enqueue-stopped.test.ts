import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Readable, Writable } from 'node:stream'
import { expect, it } from 'vitest'
import { Interrupted } from '../src/abort.js'
import { run } from '../src/program.js'
import { createWorld } from './support/world.js'

it('enqueue --wait of a list names its batch at the start, and when it is stopped how to follow it', async () => {
  await using world = await createWorld()
  expect((await world.inProcess(['keys', 'init'])).status).toBe(0)
  for (const name of ['a', 'b']) await writeFile(path.join(world.data, name), 'text')
  const abort = new AbortController()
  let said = ''
  const sink = (): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        said += chunk.toString()
        // No one works here: once the wait has begun, it would not end.
        if (said.includes('no worker is running')) abort.abort(new Interrupted('SIGINT'))
        done()
      },
    })
  const status = await run(['enqueue', '-', '-0', '--wait'], {
    stdin: Readable.from([Buffer.from('a\0b\0')]),
    stdout: sink(),
    stderr: sink(),
    env: world.env,
    cwd: world.data,
    user: 'tester',
    signal: abort.signal,
  })
  expect(status, said).toBe(1)
  const [, batch = ''] = /^batch ([0-9a-f-]{36}): the files of the list/m.exec(said) ?? []
  expect(said).toMatch(new RegExp(`CANCELLED: stopped by SIGINT\\n  fix: .*sealfleet status --batch ${batch}`))
})
