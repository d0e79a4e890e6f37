import fc from 'fast-check'
import { Writable } from 'node:stream'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { displayWidth } from '../src/output/printable.js'
import { pairs, table } from '../src/output/table.js'
import { humanTime } from '../src/output/units.js'
import { inView } from '../src/output/view.js'

const ID = '0190b3c0-0000-7000-8000-000000000001'
const COLUMNS = [
  { title: 'ID' },
  { title: 'STATE' },
  { title: 'SIZE', align: 'right', gives: 1 },
  { title: 'ACCEPTED', gives: 2 },
  { title: 'SOURCE' },
] as const
const ROW = [ID, 'STORED', '17.0 MiB', '2026-11-30T09:41:00Z', `inbox:${'2026/quarter/'.repeat(8)}invoice-17.pdf`]

function terminal(columns: number | undefined) {
  const stdout = Object.assign(new Writable(), { isTTY: columns !== undefined, columns: columns ?? 80 })
  return { stdout }
}

/** What a command at a terminal of that width prints; undefined: into a pipe. */
function at<T>(columns: number | undefined, work: () => T, o = {}): Promise<T> {
  return inView(terminal(columns), o, () => Promise.resolve(work()))
}

const widest = (text: string): number => Math.max(...text.split('\n').map(displayWidth))

describe('tables', () => {
  it.each([60, 80, 110, 120])(
    'fit a terminal of %i columns: ids stay whole, paths lose their middle',
    async (columns) => {
      const text = await at(columns, () => table(COLUMNS, [ROW]))
      expect(widest(text)).toBeLessThanOrEqual(columns)
      expect(text).toContain(ID)
      expect(text).toMatch(/inbox:\S*…\S*\.pdf/)
      expect(text).toContain('--wide shows all')
      expect(text.includes('ACCEPTED')).toBe(columns >= 110)
    },
  )

  it.each([
    ['into a pipe', undefined, {}],
    ['with --wide', 60, { wide: true }],
    ['where there is room', 300, {}],
  ])('are whole %s', async (_where, columns, o) => {
    const text = await at(columns, () => table(COLUMNS, [ROW]), o)
    expect(text).toContain(ROW.join('  '))
    expect(text).not.toContain('…')
  })

  it('fold sentences in their last column and lose no word of them', async () => {
    const why = 'the store answered that the bucket is in another region, which the answer names: eu-central-1'
    const text = await at(60, () => table([{ title: 'CODE' }, { title: 'WHY', sentence: true }], [['S3_REGION', why]]))
    expect(widest(text)).toBeLessThanOrEqual(60)
    expect(text).not.toContain('…')
    expect(
      text
        .split('\n')
        .slice(1)
        .map((line) => line.slice(11))
        .join(' '),
    ).toBe(why)
  })

  it('never are wider than the terminal, whatever names are in them', async () => {
    const name = fc.string({
      unit: fc.constantFrom('a', '日', 'e\u0301', '\u202e', '\n', ' ', '\\', '🐟'),
      maxLength: 60,
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(name, name, name), { maxLength: 4 }),
        fc.integer({ min: 40, max: 90 }),
        async (rows, columns) => {
          const text = await at(columns, () =>
            table([{ title: 'A' }, { title: 'B' }, { title: 'C', sentence: true }], rows),
          )
          expect(widest(text.replace(/\n\(cut to the width.*$/, ''))).toBeLessThanOrEqual(columns)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('paint a cell by what it holds, also where it is cut', async () => {
    const seen: string[] = []
    await at(30, () =>
      table([{ title: 'ID' }, { title: 'X' }], [['a'.repeat(50), 'b']], (padded, cell) => (seen.push(cell), padded)),
    )
    expect(seen).toEqual(['a'.repeat(50), 'b'])
  })
})

it('values behind names are folded behind them: none begins a line of the terminal', async () => {
  const text = await at(40, () =>
    pairs([
      ['reason', `ok${' '.repeat(60)}expires  2099`],
      ['expires', '2026'],
    ]),
  )
  expect(widest(text)).toBeLessThanOrEqual(40)
  expect(text.split('\n').filter((line) => line.startsWith('expires'))).toEqual(['expires  2026'])
})

describe('times', () => {
  afterEach(() => void vi.unstubAllEnvs())
  const noon = new Date('2026-07-01T12:00:00.123Z')

  it.each([
    ['Europe/Berlin', '2026-07-01T14:00:00+02:00'],
    ['Asia/Kathmandu', '2026-07-01T17:45:00+05:45'],
    ['America/St_Johns', '2026-07-01T09:30:00-02:30'],
    ['UTC', '2026-07-01T12:00:00Z'],
  ])('are shown in the zone of the machine, %s, with its offset', async (zone, shown) => {
    vi.stubEnv('TZ', zone)
    expect(await at(80, () => humanTime(noon))).toBe(shown)
    expect(new Date(shown).getTime()).toBe(Math.floor(noon.getTime() / 1000) * 1000)
    expect(await at(80, () => humanTime(noon), { utc: true })).toBe('2026-07-01T12:00:00Z')
  })
})
