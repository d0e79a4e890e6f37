import { noStepHook, type StepHook } from '@sealfleet/attempts'
import { fileBalance, getFile, listFailures } from '@sealfleet/records/files'
import { expect } from 'vitest'

import type { RunningWorker } from '../src/run.js'
import type { Fleet } from './fleet.js'

export const FILES = 20
const CONCURRENCY = 4
export const SETTINGS = {
  SEALFLEET_CONCURRENCY: String(CONCURRENCY),
  SEALFLEET_HSM_AGENTS: '1',
  SEALFLEET_S3_MAX_ATTEMPTS: '1',
  SEALFLEET_DATABASE_CONNECT_TIMEOUT_MS: '5000',
  SEALFLEET_WORKER_PORT: '0',
  SEALFLEET_LEASE_SECONDS: '4',
  SEALFLEET_LEASE_RENEW_SECONDS: '1',
}

interface Line {
  readonly msg: string
  readonly level: number
  readonly code?: string
  readonly breaker?: string
  readonly dependency?: string
  readonly port?: number
  readonly durationMs?: number
}

/** A worker whose ways to S3, Postgres, Redis and the HSM can be broken without touching the servers that others use. */
export class Patient implements AsyncDisposable {
  readonly fleet: Fleet
  readonly worker: RunningWorker
  readonly #from: number

  private constructor(fleet: Fleet, worker: RunningWorker, from: number) {
    this.fleet = fleet
    this.worker = worker
    this.#from = from
  }

  static async start(fleet: Fleet, env: NodeJS.ProcessEnv = {}, step: StepHook = noStepHook): Promise<Patient> {
    const from = fleet.logs.length
    return new Patient(fleet, await fleet.startWorker({ env: { ...SETTINGS, ...env }, step }), from)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker.stop()
  }

  get lines(): Line[] {
    return this.fleet.logs.slice(this.#from).map((line) => JSON.parse(line) as Line)
  }

  said(breaker: 'open' | 'closed', dependency: string): Line[] {
    return this.lines.filter((line) => line.breaker === breaker && line.dependency === dependency)
  }

  async ask(what: 'healthz' | 'readyz' | 'metrics'): Promise<{ status: number; text: string }> {
    const port = this.lines.find(({ msg }) => msg === 'health and metrics')?.port ?? 0
    const answer = await fetch(`http://127.0.0.1:${port}/${what}`)
    return { status: answer.status, text: await answer.text() }
  }

  async metric(name: string): Promise<number | undefined> {
    const line = (await this.ask('metrics')).text.split('\n').find((one) => one.startsWith(`sealfleet_${name} `))
    return line === undefined ? undefined : Number(line.split(' ').at(-1))
  }
}

export async function enqueue(fleet: Fleet, name: string, count = FILES): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `${name}/${i}`)
  for (const one of names) await fleet.writeSource(one, one)
  const results = await fleet.producer.client.enqueueMany(names.map((one) => ({ root: 'in', path: one })))
  return results.map(({ fileId }) => fileId ?? '')
}

/** Every file is stored, none was blamed, and what was written about the outage is bounded. */
export async function expectWhole(fleet: Fleet, ids: readonly string[], rounds: number): Promise<void> {
  const states = await fleet.settled(ids)
  expect(ids.map((id) => states.get(id)?.state)).toEqual(ids.map(() => 'STORED'))
  const books = await fileBalance(fleet.records)
  expect(books).toMatchObject({ difference: 0, deadWithoutLetter: 0, strayCommits: 0, byState: { DEAD: 0 } })
  const failures = (await Promise.all(ids.map((id) => listFailures(fleet.records, id)))).flat()
  expect(failures.filter(({ disposition }) => disposition !== 'release')).toEqual([])
  expect(failures.length).toBeLessThanOrEqual(CONCURRENCY * rounds)
  const files = await Promise.all(ids.map((id) => getFile(fleet.records, id)))
  expect(files.map((found) => found?.file.crashes)).toEqual(ids.map(() => 0))
}
