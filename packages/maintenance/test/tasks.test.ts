import { listTasks } from '@sealfleet/records/upkeep'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { runTasks, type Task, type TaskEvents } from '../src/tasks.js'
import { openHouse, type House } from './support.js'

let house: House
beforeAll(async () => {
  house = await openHouse('s3rver')
})
afterAll(() => house?.[Symbol.asyncDispose]())

function events(): TaskEvents & { readonly ended: string[]; readonly errors: string[] } {
  const ended: string[] = []
  const errors: string[] = []
  return {
    ended,
    errors,
    onEnd: (task, outcome) => void ended.push(`${task.name} ${outcome}`),
    onError: (task, error) => void errors.push(`${task.name} ${(error as Error).message}`),
    codeOf: () => 'UNCLASSIFIED',
  }
}

test('of three processes one does a task, no sooner than it is due', async () => {
  const stop = new AbortController()
  let runs = 0
  let atOnce = 0
  const task: Task = {
    name: 'one-of-three',
    everySeconds: 1,
    run: async () => {
      runs++
      atOnce++
      expect(atOnce).toBe(1)
      await new Promise((resolve) => setTimeout(resolve, 50))
      atOnce--
      return { report: { runs }, found: runs === 1 }
    },
  }
  const heard = events()
  const all = ['a', 'b', 'c'].map((owner) =>
    runTasks(house.records, owner, [task], { signal: stop.signal, events: heard, pollMs: 20 }),
  )
  await expect.poll(() => runs, { timeout: 60_000 }).toBe(3)
  stop.abort(new Error('the test is over'))
  await Promise.all(all)
  const { rows } = await house.sql.query<{ seconds: number }>(
    `SELECT extract(epoch FROM clock_timestamp() - started_at)::float8 AS seconds FROM maintenance_tasks WHERE name = $1`,
    [task.name],
  )
  expect(rows[0]?.seconds).toBeLessThan(60)
  expect(heard.ended.slice(0, 2)).toEqual(['one-of-three found', 'one-of-three done'])
  expect(heard.errors).toEqual([])
  const [row] = await listTasks(house.records)
  expect(row).toMatchObject({ name: 'one-of-three', owner: null })
})

test('a task that failed is written down with its code and does not end the others', async () => {
  const stop = new AbortController()
  let good = 0
  const heard = events()
  const tasks: Task[] = [
    // Once, hours apart: a second run could fail while the test stops, and would be written down as SHUTDOWN.
    { name: 'bad', everySeconds: 3_600, run: () => Promise.reject(new Error('no luck')) },
    {
      name: 'good',
      everySeconds: 1,
      run: () => {
        good++
        return Promise.resolve({ report: {}, found: false })
      },
    },
  ]
  const running = runTasks(house.records, 'a', tasks, { signal: stop.signal, events: heard, pollMs: 20 })
  await expect.poll(() => good >= 2 && heard.errors.length > 0, { timeout: 60_000 }).toBe(true)
  stop.abort(new Error('the test is over'))
  await running
  expect(heard.errors[0]).toBe('bad no luck')
  const rows = await listTasks(house.records)
  expect(rows.find(({ name }) => name === 'bad')).toMatchObject({ outcome: 'UNCLASSIFIED', owner: null })
})

test('the task of a process that died is taken over when its lease has run out', async () => {
  const stop = new AbortController()
  await house.sql.query(
    `INSERT INTO maintenance_tasks (name, owner, lease_expires_at, started_at)
     VALUES ('orphaned', 'dead', now() + interval '1 second', now())`,
  )
  const heard = events()
  const task: Task = { name: 'orphaned', everySeconds: 3_600, run: () => Promise.resolve({ report: {}, found: false }) }
  const running = runTasks(house.records, 'b', [task], { signal: stop.signal, events: heard, pollMs: 20 })
  await expect.poll(() => heard.ended, { timeout: 60_000 }).toEqual(['orphaned done'])
  stop.abort(new Error('the test is over'))
  await running
})
