import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { Io } from '../src/io.js'
import { createPrinter, toJson } from '../src/output/printer.js'
import { Pace } from '../src/output/pace.js'
import { createProgress } from '../src/output/progress.js'
import { table } from '../src/output/table.js'
import { humanDuration, humanSize, humanTime } from '../src/output/units.js'

class Sink extends Writable {
  text = ''
  isTTY = false
  columns = 80
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

function sinks(terminal: boolean, env: NodeJS.ProcessEnv = {}): Io & { stdout: Sink; stderr: Sink } {
  const stdout = new Sink()
  const stderr = new Sink()
  stdout.isTTY = stderr.isTTY = terminal
  return { stdin: process.stdin, stdout, stderr, env, user: 'tester', cwd: '/', signal: new AbortController().signal }
}

describe('sizes for people', () => {
  it.each([
    [0, '0 B'],
    [1, '1 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1024 * 1024 - 1, '1.0 MiB'],
    [17 * 2 ** 20, '17.0 MiB'],
    [2 ** 44, '16.0 TiB'],
  ])('%i bytes are %s', (bytes, text) => {
    expect(humanSize(bytes)).toBe(text)
  })

  it('shows durations and times, and survives a date that is none', () => {
    expect([humanDuration(400), humanDuration(185_000), humanDuration(7_800_000)]).toEqual([
      '0.4 s',
      '3 min 05 s',
      '2 h 10 min',
    ])
    expect(humanTime(new Date('2026-01-02T03:04:05.678Z'))).toBe('2026-01-02T03:04:05Z')
    expect(humanTime(new Date(2 ** 62))).toBe('no date at all')
  })
})

describe('text that goes to a terminal', () => {
  it('aligns columns by what is seen', () => {
    const columns = [{ title: 'FILE' }, { title: 'SIZE', align: 'right' as const }, { title: 'ID' }]
    expect(
      table(columns, [
        ['日本', '1 B', 'x'],
        ['a', '1023 B', 'y'],
      ]),
    ).toBe(['FILE    SIZE  ID', '日本     1 B  x', 'a     1023 B  y'].join('\n'))
  })
})

describe('printing', () => {
  it('gives JSON alone on standard output with --json', async () => {
    const io = sinks(true)
    const print = createPrinter(io, true)
    await print.text('for people')
    await print.note('remark')
    await print.document({ bytes: Buffer.from([1, 255]), big: 2n ** 60n, at: new Date(0), none: undefined })
    expect(JSON.parse(io.stdout.text)).toEqual({
      bytes: '01ff',
      big: '1152921504606846976',
      at: '1970-01-01T00:00:00.000Z',
    })
    expect(io.stderr.text).toBe('')
  })

  it('lets nothing out that drives a terminal, whatever a command has forgotten; colours and lines of its own pass', async () => {
    const io = sinks(true)
    const print = createPrinter(io, false)
    await print.text(`${print.paint('bad', 'a\u202e')}\nb\u001b[2J\r`)
    await print.note('c\u200b')
    expect(io.stdout.text).toBe('\u001b[31ma\\u{202E}\u001b[39m\nb\\u{1B}[2J\\r\n')
    expect(io.stderr.text).toBe('c\\u{200B}\n')
  })

  it('gives names exactly in JSON, in escapes of JSON where a terminal would act on them', () => {
    const name = 'a\n\u0085\u202e\u{e0041}\\u{202E}é'
    expect(toJson({ name })).toBe('{"name":"a\\n\\u0085\\u202e\\udb40\\udc41\\\\u{202E}é"}')
    expect(JSON.parse(toJson({ name }))).toEqual({ name })
  })

  it('moves to standard error when standard output carries a file', async () => {
    const io = sinks(false)
    const print = createPrinter(io, true)
    print.yieldStdout()
    await print.line({ done: true })
    expect([io.stdout.text, io.stderr.text]).toEqual(['', '{"done":true}\n'])
  })

  it('colours on a terminal only, and not where NO_COLOR is set', () => {
    const painted = (io: Io): string => createPrinter(io, false).paint('good', 'ok')
    expect(painted(sinks(true))).toBe('\u001b[32mok\u001b[39m')
    expect([painted(sinks(false)), painted(sinks(true, { NO_COLOR: '1' }))]).toEqual(['ok', 'ok'])
  })

  it('keeps typed arrays of other sizes readable as JSON', () => {
    expect(toJson({ a: [new Uint8Array([16])], m: new Map([['k', 1]]) })).toBe('{"a":["10"],"m":{"k":1}}')
  })
})

describe('progress', () => {
  it('writes one plain line for each file off a terminal', () => {
    const io = sinks(false)
    const progress = createProgress(io, { noun: 'files', items: 2, totalBytes: 30, quiet: false })
    progress.update('a', 5, 10)
    progress.finish('a', 10, 'stored  a  10 B')
    progress.finish('b', 20, 'stored  b  20 B')
    progress.stop()
    expect(io.stderr.text).toBe('stored  a  10 B\nstored  b  20 B\n')
  })

  it('sums up off a terminal when there are many', () => {
    const io = sinks(false)
    const progress = createProgress(io, { noun: 'files', items: 60, totalBytes: 60, quiet: false })
    for (let n = 0; n < 60; n += 1) progress.finish(`f${n}`, 1, `stored  f${n}`)
    expect(io.stderr.text).toMatch(/^60\/60 files, 60 B of 60 B, .*\d+\.\d s\n$/)
  })

  it('draws bars on a terminal; that of the whole stays, full when all is over and as far as it came when not', () => {
    const io = sinks(true, {})
    const progress = createProgress(io, { noun: 'files', items: 2, totalBytes: 30, quiet: false })
    progress.update('file\u001b.bin', 5, 10)
    progress.finish('file\u001b.bin', 10, 'unused')
    progress.note('Redis is away')
    // Smaller than it was when it was counted.
    progress.finish('b', 15, 'unused')
    progress.stop()
    expect(io.stderr.text).toContain('0/2 files')
    expect(io.stderr.text).toContain('Redis is away\n')
    expect(io.stderr.text.slice(io.stderr.text.lastIndexOf('%') - 3)).toMatch(/^100% +25 B \/ 30 B +2\/2 files, /)
    expect(io.stderr.text).not.toContain('file\u001b.bin')
    expect(io.stdout.text).toBe('')
    const stopped = sinks(true, {})
    const half = createProgress(stopped, { noun: 'files', items: 2, totalBytes: 30, quiet: false })
    half.finish('a', 15, 'unused')
    half.stop()
    expect(stopped.stderr.text.slice(stopped.stderr.text.lastIndexOf('%') - 3)).toMatch(
      /^ 50% +15 B \/ 30 B +1\/2 files, /,
    )
  })

  it('says how fast it goes, how long it has taken, and how long it will take at the rate of late', () => {
    let now = 0
    const pace = new Pace(100 * 1024, { now: () => now })
    const at = (ms: number, kib: number): string => ((now = ms), pace.text(kib * 1024))
    expect(at(100, 0)).toBe('0.1 s')
    expect(at(1_000, 10)).toBe('10.0 KiB/s, 1.0 s, 9.0 s left')
    for (let s = 2; s < 20; s++) at(s * 1_000, 10 + s)
    expect(at(20_000, 30)).toBe('1.0 KiB/s, 20.0 s, 1 min 10 s left')
    expect(at(60_000, 30)).toBe('0 B/s, 1 min 00 s, stalled')
    expect(at(61_000, 100)).toMatch(/KiB\/s, 1 min 01 s$/)
  })

  it('says nothing with --json', () => {
    const io = sinks(true)
    const progress = createProgress(io, { noun: 'files', items: 1, totalBytes: 1, quiet: true })
    progress.update('a', 1, 1)
    progress.finish('a', 1, 'a')
    progress.stop()
    expect(io.stderr.text).toBe('')
  })
})
