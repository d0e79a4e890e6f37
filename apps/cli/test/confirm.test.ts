import { PassThrough, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { createContext } from '../src/context.js'
import { confirm } from '../src/input/confirm.js'

/** A context whose standard input someone types into, at a terminal or not. */
function typing(o: { terminal: boolean; json?: boolean; signal?: AbortSignal }) {
  const stdin = Object.assign(new PassThrough(), { isTTY: o.terminal })
  let said = ''
  const sink = (): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        said += chunk.toString()
        done()
      },
    })
  const io = { stdin, stdout: sink(), stderr: sink(), env: {}, user: 'tester', cwd: '/' }
  const signal = o.signal ?? new AbortController().signal
  return { context: createContext({ ...io, signal }, { json: o.json === true }), stdin, said: () => said }
}

test.each([['remove 3'], ['  remove 3 ']])('goes on when %o was typed, and has said what to type', async (typed) => {
  const { context, stdin, said } = typing({ terminal: true })
  stdin.write(`${typed}\n`)
  await confirm(context, 'remove 3')
  expect(said()).toContain('Type "remove 3"')
})

test.each([['yes'], ['remove 33'], ['']])('changes nothing when %o was typed', async (typed) => {
  const { context, stdin } = typing({ terminal: true })
  stdin.write(`${typed}\n`)
  await expect(confirm(context, 'remove 3')).rejects.toMatchObject({ code: 'CANCELLED', exitStatus: 1 })
})

test('changes nothing when the input ends, or the command is stopped, before anything was typed', async () => {
  const ended = typing({ terminal: true })
  ended.stdin.end()
  await expect(confirm(ended.context, 'remove 3')).rejects.toMatchObject({ code: 'CANCELLED' })
  const stop = new AbortController()
  const stopped = typing({ terminal: true, signal: stop.signal })
  const asking = confirm(stopped.context, 'remove 3')
  stop.abort(new Error('stopped'))
  await expect(asking).rejects.toThrow()
})

test.each([
  ['no terminal', { terminal: false }],
  ['a program', { terminal: true, json: true }],
])('asks no one where there is %s', async (_, o) => {
  const { context, stdin } = typing(o)
  stdin.write('remove 3\n')
  await expect(confirm(context, 'remove 3')).rejects.toMatchObject({ code: 'USAGE', exitStatus: 2, fix: 'use --yes' })
})
