/**
 * The model of docs/PERFORMANCE.md against a simulation of what it speaks of: files that go from station to station, wait
 * for a free server of each, and begin again. No clock is read; random times come from a fixed seed.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

import { bounds, needs, stationsOf, throughput, type Plant, type Station, type Terms } from '../bench/shared/model.mjs'

/** Mulberry32: enough for service times. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Event {
  readonly at: number
  readonly station: number
}

/**
 * Files a second of a closed network, by discrete events: `atOnce` files visit the stations in order, first come, first
 * served, with exponential times; a file that has ended is another one at the first station. The first tenth is left out.
 */
function simulate(stations: readonly Station[], atOnce: number, files: number): number {
  const next = random(1)
  const queues = stations.map(() => 0)
  const free = stations.map(({ servers }) => servers)
  let events: Event[] = []
  let [now, ended, warmAt] = [0, 0, 0]
  const begin = (index: number): void => {
    const station = stations[index]
    if (station === undefined) throw new RangeError('no such station')
    while ((queues[index] ?? 0) > 0 && (free[index] ?? 0) > 0) {
      queues[index] = (queues[index] ?? 0) - 1
      free[index] = (free[index] ?? 0) - 1
      const event = { at: now - Math.log(1 - next()) * station.seconds, station: index }
      const later = events.findIndex(({ at }) => at > event.at)
      events = events.toSpliced(later < 0 ? events.length : later, 0, event)
    }
  }
  queues[0] = atOnce
  begin(0)
  const warm = files / 10
  while (ended < files + warm) {
    const event = events.shift()
    if (event === undefined) throw new Error('the network stands still')
    now = event.at
    free[event.station] = (free[event.station] ?? 0) + 1
    const following = (event.station + 1) % stations.length
    if (following === 0 && ++ended === warm) warmAt = now
    queues[following] = (queues[following] ?? 0) + 1
    begin(event.station)
    begin(following)
  }
  return files / (now - warmAt)
}

/** Times as they were measured in one place or another: what matters is that they differ. */
const TERMS: Terms = {
  workerCpu: 0.008,
  hsmCalls: 6,
  hsmCallsInARow: 3,
  hsmCall: 0.005,
  postgresCpu: 0.004,
  postgresCommits: 4,
  redisCpu: 0.0005,
  s3Requests: 1,
  objectBytes: 17_000,
  rowBytes: 2_000,
  jobBytes: 1_000,
}
const PLANT: Plant = {
  workers: 4,
  workerCores: 1,
  concurrency: 16,
  hsmSessions: 64,
  postgresCores: 8,
  s3RequestsPerSecond: 5_000,
  s3BytesPerSecond: 1e9,
}

/** The same fleet with another station at its limit each time. */
const FLEETS: [limit: string, terms: Partial<Terms>, plant: Partial<Plant>][] = [
  ['workers', {}, {}],
  ['HSM', { hsmCall: 0.02 }, { hsmSessions: 16 }],
  ['Postgres', { postgresCpu: 0.02 }, { postgresCores: 4 }],
  ['Redis', { redisCpu: 0.004 }, {}],
  ['S3 requests', { s3Requests: 3 }, { s3RequestsPerSecond: 600 }],
  ['S3 bandwidth', { objectBytes: 1e6 }, { s3BytesPerSecond: 1e8 }],
]

describe('the model of a fleet', () => {
  it.each(FLEETS)('%s at the limit: the simulated fleet does what the model allows, within a tenth', (limit, t, p) => {
    const stations = stationsOf({ ...TERMS, ...t }, { ...PLANT, ...p })
    const allowed = throughput(stations, 200)
    expect(allowed.limit).toBe(limit)
    const simulated = simulate(stations, 200, 4_000)
    expect(simulated / allowed.filesPerSecond).toBeGreaterThan(0.9)
    expect(simulated / allowed.filesPerSecond).toBeLessThan(1.1)
  })

  it.each(FLEETS)('%s at the limit: far below it, the simulated fleet grows with the files at once', (_, t, p) => {
    const stations = stationsOf({ ...TERMS, ...t }, { ...PLANT, ...p }).map((station) => ({
      ...station,
      alone: station.seconds,
    }))
    // Stations with one server are left out: two files meet there now and then however few there are.
    const wide = stations.filter(({ servers }) => servers > 3)
    for (const atOnce of [1, 2, 3]) {
      const allowed = throughput(wide, atOnce)
      expect(allowed.limit).toBe('files at once')
      expect(simulate(wide, atOnce, 10_000) / allowed.filesPerSecond).toBeCloseTo(1, 1)
    }
  })

  it('counts what a file does at once as one wait, and as all of it at the token', () => {
    const stations = stationsOf(TERMS, PLANT)
    const hsm = stations.find(({ name }) => name === 'HSM')
    expect(hsm).toMatchObject({ servers: 64, alone: 0.015 })
    expect(hsm?.seconds).toBeCloseTo(0.03)
  })

  it('lets no network exceed its bounds: two equal stations stay below', () => {
    const twins: Station[] = [1, 2].map((n) => ({ name: String(n), servers: 1, seconds: 0.01 }))
    const [least] = bounds(twins, 4)
    expect(least?.filesPerSecond).toBe(100)
    const simulated = simulate(twins, 4, 10_000)
    expect(simulated).toBeLessThan(100)
    // The exact value for two equal exponential stations: N / (N + 1) of the bound.
    expect(simulated / 80).toBeCloseTo(1, 1)
  })

  it('says what a rate needs, so that with exactly that the bound of each station is the rate', () => {
    const needed = needs(TERMS, { files: 1e8, filesPerSecond: 1_000, workerCores: 1 })
    expect(needed.days).toBeCloseTo(1.157, 3)
    expect(needed).toMatchObject({ workers: 8, hsmSessions: 30, postgresBytes: 2e11, redisBytesOfWaiting: 1e11 })
    const exactly = { ...PLANT, ...needed, s3BytesPerSecond: needed.objectBytesPerSecond }
    for (const { limit, filesPerSecond } of bounds(stationsOf(TERMS, exactly), Infinity)) {
      if (limit === 'Redis') expect(filesPerSecond).toBeCloseTo(2_000)
      else expect(filesPerSecond).toBeGreaterThanOrEqual(limit === 'files at once' ? Infinity : 999.999)
    }
  })

  it('gives the figures of the table in docs/PERFORMANCE.md, from the terms that the page names', () => {
    const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'PERFORMANCE.md'), 'utf8')
    const row = (name: string): number[] => {
      const cells = page.split('\n').find((line) => line.startsWith(`| ${name} `))
      return (cells?.split('|').slice(2, -1) ?? []).map((cell) => Number.parseFloat(cell.replaceAll(',', '')))
    }
    const terms: Terms = { ...TERMS, workerCpu: 0.008, postgresCpu: 0.0028, redisCpu: 0.00044, objectBytes: 16_832 }
    for (const [column, filesPerSecond] of [100, 1_000, 10_000].entries()) {
      const at = (name: string): number => row(name)[column] ?? NaN
      const needed = needs(terms, { files: 1e8, filesPerSecond, workerCores: 1 })
      expect(Math.ceil(at('worker processes, one core each'))).toBe(needed.workers)
      expect(at('HSM: calls a second')).toBe(needed.hsmCallsPerSecond)
      expect(at('HSM: sessions, at 5 ms')).toBe(needed.hsmSessions)
      expect(at('Postgres: cores')).toBeCloseTo(needed.postgresCores)
      expect(at('Postgres: commits a second')).toBe(needed.postgresCommitsPerSecond)
      expect(at('Redis: cores')).toBeCloseTo(needed.redisCores)
      expect(at('S3: requests a second')).toBe(needed.s3RequestsPerSecond)
      expect(at('S3: MB a second') / (needed.objectBytesPerSecond / 1e6)).toBeCloseTo(1, 1)
    }
  })
})
