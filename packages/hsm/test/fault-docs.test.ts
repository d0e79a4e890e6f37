import { readFile } from 'node:fs/promises'

import { beforeAll, describe, expect, it } from 'vitest'

import { FAULT_ROWS } from './fault-rows.js'

/** What must be tried, whatever else is; by a word of the row in docs/design/hsm-faults.md. */
const REQUIRED = [
  'DEVICE_ERROR once',
  'FUNCTION_FAILED twice',
  'all sessions closed',
  'login lost under 16 operations',
  'module finalized',
  'C_Sign hangs',
  'C_SignInit hangs',
  'C_Login hangs',
  '800 ms on 30 %',
  'module aborts',
  'SESSION_COUNT after three',
  'PIN rejected',
  'token absent at start, and coming',
  'token leaving and returning',
  'wrong key under the right label',
  'two keys under one label',
  'a flipped bit in an HMAC',
  'key destroyed elsewhere in flight',
  'an HMAC of 31 bytes',
  'SIGTERM to a worker with a hung call',
  'worker killed by SIGKILL',
  'network: all of it stalls',
  'rotation under load',
]

describe('the table of faults in docs/design/hsm-faults.md', () => {
  let rows: { fault: string; restarts: string; logins: string; file: string; title: string }[]

  beforeAll(async () => {
    const text = await readFile(new URL('../../../docs/design/hsm-faults.md', import.meta.url), 'utf8')
    const section = text.slice(text.indexOf('## What was tried'), text.indexOf('The damage is made'))
    rows = section.split('\n').flatMap((line) => {
      const [, fault = '', , , restarts = '', logins = '', test = ''] = line.split('|').map((cell) => cell.trim())
      const match = /^`([\w/-]+)` (.+)$/.exec(test)
      return match === null ? [] : [{ fault, restarts, logins, file: match[1] ?? '', title: match[2] ?? '' }]
    })
  })

  it.each(REQUIRED)('has a row for %s', (fault) => {
    expect(rows.map((row) => row.fault).join('\n')).toContain(fault)
  })

  it('says of each of them how many restarts and logins it took', () => {
    const silent = rows.filter(({ fault }) => REQUIRED.some((required) => fault.startsWith(required)))
    expect(silent.length).toBeGreaterThanOrEqual(REQUIRED.length)
    expect(silent.filter(({ restarts, logins }) => restarts === '' || logins === '').map(({ fault }) => fault)).toEqual(
      [],
    )
  })

  it('names tests that exist', async () => {
    for (const { file, title } of rows) {
      const [name = '', app] = file.split('/').toReversed()
      const path = app === undefined ? `./${name}.test.ts` : `../../../apps/${app}/test/${name}.test.ts`
      const titles =
        name === 'fault-matrix'
          ? FAULT_ROWS.map(({ fault }) => fault).join('\n')
          : await readFile(new URL(path, import.meta.url), 'utf8')
      expect([file, titles.includes(title) ? title : 'no such test']).toEqual([file, title])
    }
  })

  it('says of every row of the matrix what the matrix says', () => {
    const written = rows
      .filter(({ file }) => file === 'fault-matrix')
      .map(({ title, restarts, logins }) => [title, restarts, logins])
    const tested = FAULT_ROWS.map(({ fault, restarts = {}, logins = 0 }) => {
      const sum = Object.values(restarts).reduce((total, count) => total + count, 0)
      return [fault, String(sum), String(logins)]
    })
    expect(written.toSorted()).toEqual(tested.toSorted())
  })
})
