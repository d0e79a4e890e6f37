import { expect, test } from 'vitest'
import { paced } from '../src/paced.js'

/** A measurement that takes so long by a clock of its own, and counts how often it was made. */
function measurement(takesMs: number) {
  let now = 0
  let made = 0
  const measure = (): Promise<number> => {
    now += takesMs
    return Promise.resolve(++made)
  }
  return { ask: paced(measure, () => now), pass: (ms: number) => (now += ms) }
}

test('what takes little is measured at each call', async () => {
  const { ask, pass } = measurement(99)
  expect((await ask()).value).toBe(1)
  pass(0)
  expect(await ask()).toEqual({ value: 2, ageSeconds: 0.099 })
})

test('what takes long is measured for a twentieth of the time, and says how old it is', async () => {
  const { ask, pass } = measurement(500)
  expect(await ask()).toEqual({ value: 1, ageSeconds: 0.5 })
  pass(9_499)
  expect(await ask()).toEqual({ value: 1, ageSeconds: 9.999 })
  pass(1)
  expect(await ask()).toEqual({ value: 2, ageSeconds: 0.5 })
})

test('a measurement that failed is made again at the next call, and no earlier figure stands for it', async () => {
  let now = 0
  const answers = [() => 1, () => Promise.reject(new Error('out')), () => 3]
  const ask = paced(
    async () => {
      now += 1_000
      return await answers.shift()?.()
    },
    () => now,
  )
  await ask()
  now += 20_000
  await expect(ask()).rejects.toThrow('out')
  expect((await ask()).value).toBe(3)
})
