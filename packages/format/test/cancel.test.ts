import { describe, expect, it } from 'vitest'
import { endingWith, untilAborted } from '../src/cancel.js'

async function* counting(closed: string[]): AsyncGenerator<number, void, void> {
  try {
    for (let i = 0; ; i++) {
      await Promise.resolve()
      yield i
    }
  } finally {
    closed.push('closed')
  }
}

describe('untilAborted', () => {
  it('passes items on, with and without a signal, and closes its source when its consumer stops', async () => {
    for (const signal of [undefined, new AbortController().signal]) {
      const closed: string[] = []
      const seen: number[] = []
      for await (const item of untilAborted(counting(closed), signal)) {
        seen.push(item)
        if (item === 2) break
      }
      expect(seen).toEqual([0, 1, 2])
      expect(closed).toEqual(['closed'])
    }
  })

  it('ends with its source, also a synchronous one', async () => {
    const seen: number[] = []
    for await (const item of untilAborted([1, 2], new AbortController().signal)) seen.push(item)
    expect(seen).toEqual([1, 2])
  })

  it('throws what the source throws', async () => {
    const failing = function* () {
      yield 1
      throw new Error('disk')
    }
    const reading = untilAborted(failing(), new AbortController().signal)
    expect(await reading.next()).toEqual({ done: false, value: 1 })
    await expect(reading.next()).rejects.toThrow('disk')
  })

  it('starts nothing after an abort, and turns a reason that is no error into one', async () => {
    const closed: string[] = []
    await expect(untilAborted(counting(closed), AbortSignal.abort(new Error('no'))).next()).rejects.toThrow('no')
    const abort = new AbortController()
    const hanging = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) }
    const waiting = untilAborted<number>(hanging, abort.signal).next()
    abort.abort('a mere text')
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('leaves no listener behind', async () => {
    const abort = new AbortController()
    let listeners = 0
    const { signal } = abort
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1
      add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1
      remove(...args)
    }
    let seen = 0
    for await (const item of untilAborted(counting([]), signal))
      if (item === 50) break
      else seen = item
    expect(seen).toBe(49)
    expect(listeners).toBe(0)
  })
})

describe('endingWith', () => {
  it('calls back when the generator ends early, begun or not', async () => {
    for (const begun of [true, false]) {
      let ended = 0
      const outer = endingWith(counting([]), () => void (ended += 1))
      if (begun) await outer.next()
      expect(ended).toBe(0)
      await outer.return()
      expect(ended).toBe(1)
      expect(await outer.next()).toEqual({ done: true, value: undefined })
    }
  })
})
